"""A descent of your own: how the tasks' losses become gradients.

`WorstFirst` gives most weight to the task whose loss has fallen least since the start. It is compared with equal
weights; one seed shows how that is done, not which is better. What a descent must do is written in the docstring of
`umbel.core.Descent`: on return, every parameter's `.grad` is that of the whole batch. `shares` and `sum_gradients`
make this true for batches that are cut into pieces and for several processes; the descent need not think of either.
"""

import torch

from umbel import Descent, FitSettings, Learner, build_model, evaluate, fit, load_data, make_descent, open_runtime
from umbel.core import shares, sum_gradients, total, trained_parameters


class WorstFirst(Descent):
    """Descend Σ w_t L_t with w = T softmax(sharpness · L_t / L_t at the start)."""

    def __init__(self, sharpness: float = 2.0) -> None:
        super().__init__()
        self.sharpness = sharpness

    def prepare(self, learner):
        """Called once, before training. State lives in buffers: checkpoints save it, a resume restores it."""
        self.register_buffer("first", torch.zeros(len(learner.tasks)))
        self.register_buffer("last", torch.zeros(len(learner.tasks)))

    def weights(self):
        """One for each task; all 1 before there is anything to compare."""
        progress = self.last / self.first if self.first.any() else torch.zeros_like(self.first)
        return len(progress) * torch.softmax(self.sharpness * progress, 0)

    def forward(self, learner, batch, point, runtime):
        """Write the gradients of one step; return the losses for the log."""
        weights, summed = self.weights(), 0.0
        for share in shares(learner, batch, point, runtime):  # the losses of one piece of the batch
            values = share.stack()
            (weights * values).sum().backward()
            summed = summed + values.detach()
        sum_gradients(trained_parameters(learner), runtime)  # over the processes
        losses = total(summed, list(share), runtime)
        self.last.copy_(losses.stack())
        if not self.first.any():
            self.first.copy_(self.last)
        return losses


data = load_data("digits")  # 8x8 digits that come with scikit-learn: which digit, odd or even, number of loops
settings = FitSettings(steps=100, learning_rate=3e-3, precision="float32", tensorboard=False)
results = {}
for name, descent in {"equal": make_descent("equal"), "worst first": WorstFirst()}.items():
    learner = Learner(build_model(data.input_shape, data.tasks, "mlp", width=32, seed=0), data.tasks)
    fit(learner, descent, data.train, data.validation, settings)
    results[name] = evaluate(learner, data.test, open_runtime()).main()

for name, scores in results.items():
    print(f"{name:12}", "  ".join(f"{task.name} {task.main_metric} {scores[task.name]:.3f}" for task in data.tasks))
print("weights at the end:", [round(weight, 2) for weight in descent.weights().tolist()])
