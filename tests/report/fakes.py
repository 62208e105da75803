"""Realistic results of studies that never ran."""

import math
import random

from umbel.report import (
    Chart,
    Claim,
    Conflict,
    Curve,
    DataInfo,
    MethodInfo,
    Results,
    Run,
    Series,
    TaskInfo,
    chart_series,
)

METHODS = (
    MethodInfo("single", "Single-task networks", "One network for each task.", 836_214, (0.0301, 0.0312, 0.0298)),
    MethodInfo("sum", "Equal weights", "One network, losses added.", 287_118, (0.0112, 0.0115, 0.0111)),
    MethodInfo("upgrad", "UPGrad", "Gradients projected so that none is hurt.", 287_118, (0.0241, 0.0243, 0.0247)),
)
TASKS = (
    TaskInfo("left digit", "classification", "accuracy", True, "", tuple("0123456789"), ("accuracy", "macro F1")),
    TaskInfo("right digit", "classification", "accuracy", True, "", tuple("0123456789"), ("accuracy", "macro F1")),
    TaskInfo("distance", "regression", "RMSE", False, "pixels", (), ("RMSE", "MAE")),
)
BASE = {"accuracy": 0.94, "macro F1": 0.93, "RMSE": 7.54, "MAE": 5.2}


def _run(rng, method, strength, seed, tasks, point=None):
    values, validation = {}, {}
    for index, task in enumerate(tasks):
        change = strength * (0.012 if index % 3 else -0.006) + rng.gauss(0, 0.004)
        values[task.name] = {
            m: BASE[m] * (1 + change if task.higher_is_better else 1 - 3 * change) for m in task.metrics
        }
        validation[task.name] = {m: v * 0.99 for m, v in values[task.name].items()}
    return Run(method.key, seed, values, point or {}, validation, 2400, 61.5 + seed, 2100)


def _curves(rng, methods, seeds, tasks):
    curves = []
    steps = list(range(0, 2401, 60))
    for index, method in enumerate(methods):
        for seed in seeds:
            for task in tasks:
                noise = [rng.gauss(0, 0.006) for _ in steps]
                rate = 500 + 120 * index
                top = BASE[task.metric]
                if task.higher_is_better:
                    values = [top * (1 - 0.85 * math.exp(-s / rate)) + n for s, n in zip(steps, noise, strict=True)]
                else:
                    values = [top * (1 + 2 * math.exp(-s / rate) + n) for s, n in zip(steps, noise, strict=True)]
                curves.append(Curve(method.key, seed, task.metric, steps, values, "validation", task.name))
                loss = [2.3 * math.exp(-s / rate) + 0.1 + abs(n) for s, n in zip(steps, noise, strict=True)]
                curves.append(Curve(method.key, seed, "loss", steps, loss, "train", task.name))
    return curves


def _cosines(rng, methods, seeds, tasks):
    curves, conflicts = [], []
    steps = list(range(0, 2401, 60))
    for method in methods:
        for a in range(len(tasks)):
            for b in range(a + 1, len(tasks)):
                everything = []
                for seed in seeds:
                    level = 0.25 - 0.2 * ((a + b) % 3)
                    values = [level * math.exp(-s / 900) + rng.gauss(0, 0.06) for s in steps]
                    curves.append(
                        Curve(method.key, seed, "cosine", steps, values, "train", tasks[a].name, tasks[b].name)
                    )
                    everything += values
                conflicts.append(Conflict.of(method.key, tasks[a].name, tasks[b].name, everything))
    return curves, conflicts


def claims():
    return (
        Claim.measured("pays", "Equal weights is better than single-task networks (Δm)", 1.2, 0.0, ">", 0.4, "%"),
        Claim.measured("aggregation", "UPGrad improves on equal weights (Δm)", 0.3, 0.5, ">=", 0.6, "points"),
        Claim.measured("price", "UPGrad costs nothing (time of a step)", 115.0, 10.0, "<=", 20.0, "%"),
        Claim.not_measured("speed", "A step takes at most 1.03 of a hand-written loop", 1.03, "no benchmark ran", "<="),
    )


def small(seeds=3, tasks=TASKS, methods=METHODS, sweep=(None,), **changes):
    """Three methods, three tasks, three seeds."""
    rng = random.Random(5)
    numbers = range(seeds)
    runs = [
        _run(rng, method, strength, seed, tasks, point)
        for strength, method in enumerate(methods)
        for point in sweep
        for seed in numbers
    ]
    cosines, conflicts = _cosines(rng, methods[1:], numbers, tasks[:6])
    values = {
        "study": "compare",
        "title": "Comparison on overlaid digits",
        "command": "umbel run compare --data overlay-digits --seeds 3 --out runs/compare",
        "data": DataInfo(
            "overlay-digits",
            "Overlaid digits",
            "Two real handwritten digits of scikit-learn's set in one picture.",
            {"train": 12_000, "validation": 2_000, "test": 2_000},
        ),
        "tasks": tasks,
        "methods": methods,
        "runs": runs,
        "reference": "single",
        "settings": {"encoder": {"name": "convnet", "widths": [16, 32, 64]}, "steps": 2400, "batch_size": 128},
        "environment": {"python": "3.11.2", "torch": "2.14.1", "cpu": "Some CPU", "threads": 2, "precision": "float32"},
        "curves": _curves(rng, methods, numbers, tasks) + cosines,
        "conflicts": conflicts,
        "claims": claims(),
        "verdict": (
            "Joint training helps right digit and distance, and hurts left digit a little.",
            "UPGrad is the best way to train them together, with Δm +1.9 % over single-task networks.",
        ),
        "warnings": ("Only 2,400 steps: longer training may change the order.",),
        "created": "2026-01-02T03:04:05+00:00",
    }
    return Results(**{**values, **changes})


def large(tasks=20, methods=8, seeds=3):
    """Twenty tasks and eight methods."""
    names = ["aquatic mammals", "fish", "flowers", "food containers", "fruit and vegetables", "household devices"]
    made = tuple(
        TaskInfo(
            names[i] if i < len(names) else f"superclass {i}", "classification", "accuracy", True, "", tuple("abcde"),
            ("accuracy", "macro F1"),
        )
        for i in range(tasks)
    )  # fmt: skip
    extra = tuple(
        MethodInfo(f"m{i}", f"{n}", "Another way.", 412_000, (0.02, 0.021, 0.0205))
        for i, n in enumerate(("PCGrad", "MGDA", "CAGrad", "Nash-MTL", "Uncertainty", "Tuned weights", "FAMO", "DWA"))
    )
    return small(seeds, made, (METHODS + extra)[:methods], title="Twenty tasks of CIFAR-100")


CHANNELS, LAYERS, SNRS = ("awgn", "rayleigh"), (1, 2, 3), (-5.0, 0.0, 5.0, 10.0, 15.0, 20.0)
IMAGE_TASKS = (
    TaskInfo("picture", "reconstruction", "PSNR", True, "dB", (), ("PSNR", "SSIM")),
    TaskInfo("class", "classification", "accuracy", True, "", tuple("0123456789"), ("accuracy", "confidence")),
)
IMAGE_METHODS = (
    MethodInfo("multires", "Layers trained together", "Three layers; each decoder reads all before it.", 1_204_116),
    MethodInfo("no_past", "Without past layers", "Each decoder reads its own layer alone.", 1_104_116),
)


def _received(rng, method, channel, layer, snr_db):
    """A saturating PSNR and accuracy of one layer at one SNR."""
    top = 21 + 3.2 * layer - (1.2 if method == "no_past" else 0) - (2.4 if channel == "rayleigh" else 0)
    rise = 1 / (1 + math.exp(-(snr_db - 1) / (4 if channel == "awgn" else 6)))
    psnr = 13 + (top - 13) * rise + rng.gauss(0, 0.12)
    accuracy = 0.1 + (0.52 + 0.1 * layer) * rise + rng.gauss(0, 0.006)
    return {
        "picture": {"PSNR": psnr, "SSIM": min(0.99, psnr / 34)},
        "class": {"accuracy": accuracy, "confidence": min(0.99, accuracy + 0.04)},
    }


def transmission(seeds=3, **changes):
    """Two methods over two channels, three layers and six SNRs, with charts."""
    rng = random.Random(11)
    runs = [
        Run(
            m.key, seed, _received(rng, m.key, channel, layer, snr), {"channel": channel, "layer": layer, "snr_db": snr}
        )
        for m in IMAGE_METHODS
        for channel in CHANNELS
        for layer in LAYERS
        for snr in SNRS
        for seed in range(seeds)
    ]
    values = {
        "study": "multires_jscc",
        "title": "Layers for receivers of different quality",
        "data": DataInfo("cifar10", "CIFAR-10", "60,000 pictures of ten classes.", {"train": 45_000, "test": 10_000}),
        "tasks": IMAGE_TASKS,
        "methods": IMAGE_METHODS,
        "runs": runs,
        "reference": "no_past",
        "command": "umbel run multires_jscc --data cifar10 --seeds 3 --out runs/multires",
        "settings": {"steps": 24_000, "layers": {"uses": [170, 170, 172]}},
        "claims": claims(),
        "charts": tuple(chart for channel in CHANNELS for chart in _charts(runs, channel)),
        "headline": ({"snr_db": 10.0, "layer": 3}, {"snr_db": 0.0, "layer": 1, "channel": "awgn"}),
        "verdict": ("Past layers are worth 1.2 dB.",),
    }
    return Results(**{**values, **changes})


def _charts(runs, channel):
    for task, metric, label in (("picture", "PSNR", "PSNR in dB"), ("class", "accuracy", "accuracy")):
        lines = [
            chart_series(
                runs, m.key, "snr_db", task, metric, {"channel": channel, "layer": layer}, group=m.key,
                label=f"{m.title}, layer {layer}",
            )
            for m in IMAGE_METHODS
            for layer in LAYERS
        ]  # fmt: skip
        if task == "picture":
            fixed = (math.nan, 14.3, 14.3, 27.9, 27.9, 27.9)
            whole = (14.3, 14.3, 22.9, 27.9, 31.0, 33.1)
            bound = [17 + 0.6 * i for i in range(26)]
            lines += [
                Series("WebP, whole file, best LDPC and QAM at each SNR (envelope)", SNRS, whole, style="dashed"),
                Series("WebP, whole file, 16-QAM at rate 1/2 everywhere (cliff)", SNRS, fixed, style="dashed"),
                Series("WebP without its header at capacity", range(-5, 21), bound, style="dashed"),
            ]
        note = "Mean over 10,000 test pictures and ten draws of the channel each; 512 channel uses in all."
        name = {"awgn": "AWGN", "rayleigh": "Rayleigh, one fade for each picture"}[channel]
        yield Chart(f"{metric} over SNR", "SNR (Es/N0) in dB", label, lines, note, name)
