"""A part and a learner of your own: features that travel over a noisy radio channel, at any signal-to-noise ratio.

The channel reads `snr_db` from the operating point, an argument of every forward pass, and says itself how it is drawn
in training and where it is evaluated. The learner adds what is special about its training. The loop knows neither.
(`umbel.channels` has real channels; this one is written out to show that nothing is hidden.)
"""

import torch

from umbel import (
    FitSettings,
    Learner,
    MultiTaskModel,
    PointModule,
    build_model,
    evaluate,
    fit,
    load_data,
    make_descent,
    open_runtime,
)
from umbel.core import Uniform


class NoisyChannel(PointModule):
    """Features [B, F], scaled to power 1, plus white noise at the point's signal-to-noise ratio."""

    def forward(self, features, point):
        """The features as they arrive."""
        sent = features / features.square().mean(1, keepdim=True).sqrt().clamp(min=1e-6)
        noise = 10 ** (-point.require("snr_db") / 20)  # its standard deviation
        return sent + noise * torch.randn_like(sent)

    def axes(self):
        """Drawn anew in every step, so that one network serves all; validation looks at the first of the sweep."""
        return {"snr_db": Uniform(-10, 20, sweep=(0.0, -10.0, 10.0, 20.0))}


class HarderAndHarder(Learner):
    """The channel is good at first; the full range of noise comes with the progress of the training."""

    def draw_point(self, generator, progress):
        """Of one training step. What other parts of the model want stays in the point that is passed on."""
        point = super().draw_point(generator, progress)
        return point.with_values(snr_db=(1 - progress) * 20 + progress * point["snr_db"])


data = load_data("digits")  # 8x8 digits that come with scikit-learn: which digit, odd or even, number of loops
plain = build_model(data.input_shape, data.tasks, "mlp", width=64)
channel = NoisyChannel()
heads = {name: plain.heads[name] for name in plain.task_names}
model = MultiTaskModel(plain.encoder, heads, links=dict.fromkeys(heads, channel))  # encoder -> link -> head
learner = HarderAndHarder(model, data.tasks)

settings = FitSettings(steps=300, learning_rate=3e-3, precision="float32", tensorboard=False)
fit(learner, make_descent("equal"), data.train, data.validation, settings)

runtime = open_runtime()
print("SNR in dB  " + "  ".join(f"{task.name:>6}" for task in data.tasks) + "   (accuracy)")
accuracy = {}
for point in sorted(learner.sweep(), key=lambda point: point["snr_db"]):
    accuracy[point["snr_db"]] = evaluate(learner, data.test, runtime, point, draws=5).main()  # each sample sent 5 times
    print(f"{point['snr_db']:9g}  " + "  ".join(f"{value:6.3f}" for value in accuracy[point["snr_db"]].values()))
