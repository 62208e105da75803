"""Sentences and claims for results written by hand, where what is true is known."""

import pytest

from umbel.recipes.compare.findings import findings
from umbel.recipes.compare.study import TUNED
from umbel.recipes.references import SINGLE
from umbel.report import NOT_SHOWN, REFUTED, SHOWN, Conflict, DataInfo, MethodInfo, Results, Run, TaskInfo

ACCURACY = TaskInfo("kind", "classification", "accuracy", True, "", ("a", "b"), ("accuracy",))
ERROR = TaskInfo("size", "regression", "RMSE", False, "mm", (), ("RMSE",))
TASKS = (ACCURACY, ERROR)


def results(arms, seeds=3, tasks=TASKS, spread=0.001, validation=None, conflicts=()):
    """Runs whose reference is 0.5 everywhere; `arms` has the factor by which each task's metric is better.

    Args:
        arms: Arm -> factor for each task on the test split (1.1: 10 % better, whichever direction that is).
        seeds: How many, each a little different (by `spread`).
        tasks: The tasks.
        spread: How far the seeds are apart.
        validation: The same as `arms` on the validation split; unset: equal to it.
        conflicts: Of the results.
    """

    def metrics(factors, seed):
        return {
            task.name: {
                task.metric: 0.5 * (f + spread * (seed - 1) if task.higher_is_better else 2 - f - spread * seed)
            }
            for task, f in zip(tasks, factors, strict=True)
        }

    everything = {SINGLE: [1.0] * len(tasks), **arms}
    seen = everything | (validation or {})
    runs = []
    for arm, factors in everything.items():
        for seed in range(seeds):
            noise = 1 if arm == SINGLE else seed
            runs.append(Run(arm, seed, metrics(factors, noise), {}, metrics(seen[arm], noise), 10, 1.0, 5))
    methods = [MethodInfo(a, a.title() if a in (SINGLE, TUNED) else a, "", 300 if a == SINGLE else 120) for a in arms]
    single = MethodInfo(SINGLE, "Single-task", "", 300)
    made = Results(
        study="compare",
        title="By hand",
        command="umbel run compare",
        data=DataInfo("toy", "Toy", "", {}),
        tasks=tasks,
        methods=[single, *methods],
        runs=runs,
        reference=SINGLE,
        conflicts=conflicts,
    )
    return made


def verdict(made):
    return findings(made).verdict


def claims(made):
    return findings(made).claims


def text(made):
    return " ".join(verdict(made))


def test_help_is_said_with_its_size():
    sentences = verdict(results({"equal": [1.10, 1.20]}))
    assert sentences[0].startswith("Joint training helps on the whole")
    assert "(equal)" in sentences[0]
    assert "+15." in sentences[0] or "+14." in sentences[0]
    assert sentences[1].startswith("It helps kind (+10.")
    assert "size (+" in sentences[1]


def test_harm_is_said_for_the_tasks_that_have_it():
    sentences = verdict(results({"equal": [1.10, 0.60]}))
    assert sentences[0].startswith("Joint training hurts on the whole")
    assert any(s.startswith("It helps kind (+") for s in sentences)
    assert any(s.startswith("It hurts size (-") for s in sentences)


def test_what_may_be_chance_is_not_called_a_difference():
    sentences = verdict(results({"equal": [1.001, 1.001]}, spread=0.05))
    assert sentences[0].startswith("Joint training makes no clear difference on the whole")
    assert sentences[1].startswith("No clear difference for kind")


def test_one_seed_says_nothing_for_certain():
    sentences = verdict(results({"equal": [1.5, 1.5]}, seeds=1))
    assert sentences[0].startswith("One seed says nothing for certain")
    assert "±" not in " ".join(sentences)
    assert "helps" not in " ".join(sentences)


def test_a_mean_that_cannot_be_known_is_not_called_one_seed():
    made = results({"equal": [1.1, 1.1], TUNED: [1.1, 1.1]})
    runs = [
        Run(r.method, r.repeat, r.metrics | {"kind": {"accuracy": float("nan")}}, {}, r.validation) for r in made.runs
    ]
    sentences = verdict(results({"equal": [1.1, 1.1], TUNED: [1.1, 1.1]}).__class__(**{**vars(made), "runs": runs}))
    assert "unknown" in sentences[0]
    assert "One seed" not in " ".join(sentences)
    assert "not tuned" not in " ".join(sentences)
    assert "size (+" in " ".join(sentences)


def test_many_tasks_are_counted_rather_than_listed():
    many = tuple(TaskInfo(f"t{i}", "classification", "accuracy", True, "", ("a",), ("accuracy",)) for i in range(20))
    sentences = verdict(results({"equal": [1.1] * 20}, tasks=many))
    assert "t7" in sentences[1]
    assert "t8" not in sentences[1]
    assert "and 12 more" in sentences[1]


def test_the_best_descent_is_chosen_on_validation_and_measured_on_test():
    """The arm that is best on the test split must not be the headline when validation prefers another."""
    made = results(
        {"equal": [1.02, 1.02], "pcgrad": [1.30, 1.30]},
        validation={"equal": [1.40, 1.40], "pcgrad": [1.01, 1.01]},
    )
    sentences = verdict(made)
    assert "(equal)" in sentences[0]
    assert "+2." in sentences[0] or "+1.9" in sentences[0]
    assert "(equal, chosen on validation)" in claims(made)[0].statement


@pytest.mark.parametrize(
    ("special", "words", "state"),
    [(1.2, "more than", SHOWN), (1.0, "less than", REFUTED)],
)
def test_descents_are_weighed_against_tuned_weights(special, words, state):
    made = results({"pcgrad": [special, special], TUNED: [1.1, 1.1]})
    assert f"its delta-m is {words} that of tuned fixed weights" in text(made)
    claim = claims(made)[1]
    assert (claim.name, claim.state, claim.comparison, claim.bar) == ("gradients-beat-weights", state, ">", 0.0)
    assert claim.value == pytest.approx(100 * (special - 1.1), abs=0.5)


def test_an_equal_descent_is_not_clearly_different():
    made = results({"pcgrad": [1.1, 1.1], TUNED: [1.1, 1.1]})
    assert "not clearly different from" in text(made)
    assert claims(made)[1].state != SHOWN, "equal is not better"


def test_nothing_is_said_of_weights_that_were_not_tuned():
    made = results({"equal": [1.1, 1.1], "pcgrad": [1.1, 1.1]})
    assert "were not tuned" in text(made)
    assert [c.name for c in claims(made)] == ["joint-not-worse"]


def test_descents_that_only_weigh_losses_make_no_claim_on_gradients():
    made = results({"equal": [1.1, 1.1], "dwa": [1.1, 1.1], TUNED: [1.1, 1.1]})
    assert [c.name for c in claims(made)] == ["joint-not-worse"]


@pytest.mark.parametrize(
    ("factor", "spread", "state"),
    [(1.1, 0.001, SHOWN), (0.997, 0.001, SHOWN), (0.97, 0.001, REFUTED), (0.997, 0.01, NOT_SHOWN)],
)
def test_the_claim_that_joint_training_is_not_worse(factor, spread, state):
    claim = claims(results({"equal": [factor, factor]}, spread=spread))[0]
    assert claim.state == state
    assert claim.bar == -1.0
    low, high = claim.interval
    assert low < claim.value < high


def test_a_claim_from_one_seed_has_no_interval():
    assert claims(results({"equal": [1.1, 1.1]}, seeds=1))[0].interval is None


def test_conflicts_are_told_by_the_pair_that_agrees_least():
    pairs = (Conflict.of("equal", "kind", "size", [-0.5, -0.1]), Conflict.of("equal", "kind", "other", [0.5, 0.7]))
    said = text(results({"equal": [1.1, 1.1]}, conflicts=pairs))
    assert "mean cosine of +0.15" in said
    assert "kind and size, with -0.30 (negative in 100%" in said


def test_the_price_in_parameters_is_told():
    assert "120 parameters; the 2 single-task networks have 300" in text(results({"equal": [1.1, 1.1]}))
