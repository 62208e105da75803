"""Compare ways of joint training with one network for each task, over several seeds.

This is the study `umbel run compare` in small, written out so that you can change anything. The command does more:
tuned weights, time and memory, resuming, a page with figures. Three seeds of 80 steps show how it is done, and little
about the descents: their intervals overlap.
"""

from umbel import FitSettings, Learner, MultiTaskData, build_model, evaluate, fit, load_data, make_descent, open_runtime
from umbel.metrics import confidence_interval, mean_relative_improvement

DESCENTS = ["equal", "uncertainty", "upgrad"]
SEEDS = range(3)
SETTINGS = FitSettings(steps=80, validate_every=20, learning_rate=3e-3, precision="float32", tensorboard=False)

runtime = open_runtime()
data = load_data("digits")
direction = {task.name: task.higher_is_better for task in data.tasks}


def trained(part: MultiTaskData, descent: str, seed: int) -> dict[str, float]:
    """Task -> main metric on the test split, of one network trained for the tasks of `part`."""
    # The same seed gives the same encoder and the same heads, whichever tasks there are: the comparison is fair.
    learner = Learner(build_model(part.input_shape, part.tasks, "mlp", width=64, seed=seed), part.tasks)
    settings = SETTINGS.replace(seed=seed)
    fit(learner, make_descent(descent), part.train, part.validation, settings, runtime=runtime)
    return evaluate(learner, part.test, runtime).main()


single = {}  # seed -> the reference: a network for each task
for seed in SEEDS:
    single[seed] = {}
    for task in data.tasks:
        single[seed] |= trained(data.only([task.name]), "equal", seed)

print("mean change against one network for each task (positive: joint training is better)")
changes = {}
for descent in DESCENTS:
    joint = {seed: trained(data, descent, seed) for seed in SEEDS}
    changes[descent] = [mean_relative_improvement(joint[seed], single[seed], direction) for seed in SEEDS]
    mean, half_width = confidence_interval(changes[descent])
    clear = "clear" if abs(mean) > half_width else "not clear"
    print(f"  {descent:12} {mean:+5.2f} ± {half_width:.2f} %   {clear}")
