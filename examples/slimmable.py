"""One network whose width is turned after training: small for a slow device, full for a fast one.

Encoder and heads are trained at several widths at once and share their weights. After training a search over measured
numbers says which widths serve a budget and your preferences best; nothing is trained again.
"""

import torch

from umbel import FitSettings, OperatingPoint, evaluate, fit, load_data, make_descent, open_runtime
from umbel.control import Dial, calibrate, configuration_table
from umbel.methods.controllable import controllable
from umbel.nn import dense_model

data = load_data("digits")
learner = controllable(data.input_shape, data.tasks, "conv", grid=(0.25, 0.5, 1.0), hidden=32)
settings = FitSettings(steps=80, learning_rate=3e-3, precision="float32", tensorboard=False)
runtime = open_runtime()
fit(learner, make_descent("equal"), data.train, data.validation, settings, runtime=runtime)

# Batch norms need statistics of their own at every width; then quality (on validation) and cost of each configuration.
calibrate(learner, data.train, runtime)
table = configuration_table(learner, data.validation, runtime)

print("all widths alike, on the test split:")
by_width = {}
for point in learner.sweep():
    by_width[point["width"]] = evaluate(learner, data.test, runtime, point).main()
    numbers = "  ".join(f"{name} {value:.3f}" for name, value in by_width[point["width"]].items())
    print(f"  width {point['width']:<4}  {numbers}")

# A dial serves requests at the widths that the search chose, from any number of threads.
dial = Dial(learner.model, table, budget="40% macs", preferences={"digit": 3})
print("at 40 % of the multiply-accumulates, digit preferred:", dial.point.as_dict())
dial.turn(budget="100% macs")
print("at 100 %:", dial.point.as_dict())

# To ship one size: an ordinary network of that size, with nothing of the others in it.
dial.turn(budget="40% macs")
small = dense_model(learner.model, dial.point).eval()
sizes = [sum(p.numel() for p in network.parameters()) for network in (learner.model, small)]
print(f"parameters: {sizes[0]:,} in the whole network, {sizes[1]:,} in the small one")

pictures = torch.rand(2, *data.input_shape)
difference = (small(pictures, OperatingPoint())["digit"] - dial(pictures)["digit"]).abs().max().item()
print(f"the small one answers as the whole one did at these widths: largest difference {difference:.1e}")
