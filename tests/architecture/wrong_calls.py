"""Public functions with arguments that are right, and what comes of each argument that is not; see the test beside it.

Run by itself, without the checks of shapes that the tests install: users do not have them either.
"""

import json

import torch

from umbel import data, descent, losses, metrics, privacy, search, tasks
from umbel.core import UmbelError

WRONG = (None, -1, "", "no such thing", [], {}, object(), torch.zeros(2, 3), [None], True)

MAPS, VECTORS, CLASSES = torch.rand(2, 3, 4, 4), torch.rand(4, 3), torch.tensor([0, 1, 2, 1])
SCORES = torch.rand(4)
MANY = torch.rand(4, 5)
LABELS = ["a", "b", "c"]
METRICS = {"a": search.TaskMetric("accuracy"), "b": search.TaskMetric("error", False)}
TABLE = {
    "encoder_widths": (0.5, 1.0),
    "head_widths": (0.5, 1.0),
    "tasks": ("a", "b"),
    "metrics": METRICS,
    "quality": torch.rand(2, 2, 2).tolist(),
    "encoder_costs": {"macs": [1, 2]},
    "head_costs": {"macs": [[[1, 2], [1, 2]], [[1, 2], [1, 2]]]},
    "machine": "",
    "batch_size": 1,
}
SEARCHED = {"table": search.ConfigurationTable(**TABLE), "budget": "100% macs", "preferences": "a=1"}

TASKS = {
    tasks.classification: {"name": "n", "labels": LABELS, "class_weights": torch.ones(3)},
    tasks.with_class_weights: {"task": tasks.classification("n", 3), "class_weights": torch.ones(3)},
    tasks.multilabel: {"name": "n", "labels": LABELS},
    tasks.segmentation: {"name": "n", "labels": LABELS, "class_weights": torch.ones(3)},
    tasks.regression: {"name": "n", "outputs": 2, "centre": 0.0, "scale": 1.0, "labels": ("a", "b"), "unit": "m"},
    tasks.dense_regression: {"name": "n", "centre": 0.0, "scale": 1.0, "unit": "m", "kind": "depth"},
    tasks.boundaries: {"name": "n"},
    tasks.boxes: {"name": "n", "labels": LABELS},
    tasks.liveness: {"name": "n", "attacks": LABELS},
    tasks.proxy_map: {"name": "n", "contrast": 0.0, "error": "squared"},
    tasks.surface_normals: {"name": "n"},
    tasks.reconstruction: {"name": "n", "channels": 3},
    tasks.picture: {"name": "n", "channels": 3, "scale": 1.0},
}
DESCENTS = {
    descent.make_descent: {"name": "equal"},
    descent.option_names: {"name": "equal"},
    descent.Fixed: {"weights": {"a": 1.0}},
    descent.DynamicWeightAverage: {"temperature": 2.0},
    descent.FAMO: {"learning_rate": 0.1, "weight_decay": 0.1},
    descent.RandomWeights: {"seed": 0},
    descent.WeightedSum: {"weighting": descent.Fixed()},
    descent.Jacobian: {"aggregator": descent.ProjectedRows(), "seed": 0, "engine": "auto", "directions": 4},
    descent.DPSGD: {
        "clip_norm": 1.0, "noise_multiplier": 1.0, "delta": 0.1, "expected_batch_size": 8, "auxiliary": ["size"],
        "chunk": 4, "unit": "row",
    },
    descent.GradSplit: {"accept": "own", "layers": 0.5, "engine": "auto"},
    descent.Measured: {
        "warm_up": 10, "every": 2, "step": 0.1, "start": "all", "threshold": 0.0, "confidence": 0.9, "unsure": "accept",
    },
    descent.GradientVaccine: {"beta": 0.5, "eps": 0.0},
    descent.ConflictAverse: {"c": 0.1, "norm_eps": 0.1},
    descent.NashBargaining: {"max_norm": 1.0},
    descent.AlphaFair: {"alpha": 1.0, "max_iters": 3},
    descent.AlignedComponents: {"pref_vector": [1.0, 1.0], "scale_mode": "min"},
    descent.ConflictFree: {"pref_vector": [1.0, 1.0]},
    descent.AfterWarmUp: {"accept": torch.eye(2), "warm_up": 3, "layers": 0.5},
    descent.random_matrix: {"measured": torch.eye(3).bool(), "seed": 0},
    descent.ConflictProbe: {"tasks": ["a"]},
    descent.gradient_cosines: {"jacobian": torch.ones(2, 3)},
    descent.minimum_norm_weights: {"gramian": torch.eye(2)},
    descent.nash_weights: {"gramian": torch.eye(2)},
    descent.projection_weights: {"gramian": torch.eye(2), "start": torch.ones(2)},
}  # fmt: skip
OTHERS = {
    data.load_data: {"name": "digits", "size": 100, "resolution": 8, "reconstruction": False},
    data.Shares: {"train": 0.7, "validation": 0.15, "test": 0.15},
    data.Folds: {"count": 5, "fold": 0},
    data.RandomSplit: {"seed": 0, "group": "a", "stratify": "b", "parts": data.Shares()},
    data.TimeSplit: {"column": "a", "shares": data.Shares()},
    data.ColumnSplit: {"column": "a", "seed": 0},
    losses.cross_entropy: {"logits": VECTORS, "classes": CLASSES, "weight": torch.ones(3)},
    losses.focal_cross_entropy: {"logits": VECTORS, "classes": CLASSES, "gamma": 2.0},
    losses.attribute_mining: {
        "embeddings": VECTORS, "classes": CLASSES, "attributes": CLASSES[:, None], "margin": 0.3,
    },
    losses.mined_pairs: {"embeddings": VECTORS, "classes": CLASSES, "attributes": CLASSES[:, None]},
    losses.group_triplets: {"embeddings": VECTORS, "groups": CLASSES, "margin": 0.1},
    losses.least_squares_domain: {"logits": MAPS[:, :1], "classes": torch.tensor([0, 1])},
    losses.bernoulli: {"logits": MAPS, "target": MAPS},
    losses.squared_error: {"prediction": MAPS, "target": MAPS},
    losses.absolute_error: {"prediction": MAPS, "target": MAPS},
    losses.contrastive_depth: {"prediction": MAPS, "target": MAPS},
    losses.mean_squared_error_of_each: {"prediction": MAPS, "target": MAPS, "scale": 1.0},
    losses.standardised_squared_error: {
        "prediction": VECTORS, "target": VECTORS, "centre": torch.zeros(3), "scale": torch.ones(3),
    },
    losses.angular: {"prediction": MAPS, "normals": MAPS},
    losses.prefix_distance: {"features": MAPS, "full": MAPS},
    losses.relational_distance: {"features": MAPS, "full": MAPS},
    losses.attention_distance: {"features": MAPS, "full": MAPS},
    losses.class_divergence: {"logits": MAPS, "full": MAPS},
    losses.cross_covariance: {"one": VECTORS, "other": MANY},
    losses.hsic: {"one": VECTORS, "other": MANY, "estimator": "biased", "widths": [1.0, 2.0]},
    losses.attention_overlap: {"one": VECTORS, "other": VECTORS},
    losses.joint_dependence: {"sets": [VECTORS, MANY], "kind": "hsic"},
    losses.joint_overlap: {"gates": MAPS.flatten(2)},
    privacy.sampled_epsilon: {
        "noise_multiplier": 2.0, "sampling": 1.0, "steps": 5, "delta": 0.1, "accountant": "rdp",
    },
    privacy.sampled_noise: {"epsilon": 1.0, "sampling": 1.0, "steps": 5, "delta": 0.1},
    privacy.training_guarantee: {
        "clip_norm": 1.0, "noise_multiplier": 2.0, "sampling": 1.0, "steps": 5, "samples": 9, "delta": 0.01,
        "unit": "row",
    },
    privacy.usual_delta: {"samples": 100},
    privacy.most_found: {"false_positives": 0.1, "epsilon": 1.0, "delta": 0.1},
    privacy.gaussian_delta: {"epsilon": 1.0, "sigma": 1.0, "sensitivity": 2.0},
    privacy.gaussian_epsilon: {"delta": 0.1, "sigma": 1.0, "sensitivity": 2.0},
    privacy.gaussian_sigma: {"epsilon": 1.0, "delta": 0.1, "sensitivity": 2.0},
    privacy.gaussian_zcdp: {"sigma": 1.0, "sensitivity": 2.0},
    privacy.zcdp_epsilon: {"rho": 1.0, "delta": 0.1},
    privacy.sensitivity: {"clip_norm": 1.0, "neighbours": "add-remove"},
    privacy.Release: {"clip_norm": 1.0, "sigma": 1.0, "times": 2},
    privacy.guarantee: {
        "releases": [privacy.Release(1.0, 1.0)], "delta": 0.1, "neighbours": "add-remove", "unit": "image",
    },
    metrics.age_of_information: {"delay": torch.ones(3), "success": torch.ones(3)},
    metrics.expected_calibration_error: {"probabilities": VECTORS.softmax(1), "labels": CLASSES, "bins": 4},
    metrics.reliability: {"probabilities": VECTORS.softmax(1), "labels": CLASSES, "bins": 4},
    metrics.fit_temperature: {"logits": VECTORS, "labels": CLASSES},
    metrics.PresentationAttackErrors: {"value": "AUC", "threshold": 0.0, "distinct": 8},
    metrics.eer_threshold: {"scores": SCORES, "kinds": CLASSES},
    metrics.det_curve: {"scores": SCORES, "kinds": CLASSES},
    metrics.attack_errors: {"scores": SCORES, "kinds": CLASSES, "threshold": 0.5, "labels": LABELS},
    metrics.by_video: {"scores": SCORES, "kinds": CLASSES, "videos": CLASSES},
    metrics.fit_platt: {"logits": SCORES, "kinds": CLASSES},
    metrics.relative_improvement: {"value": 1.0, "reference": 2.0, "higher_is_better": True},
    metrics.mean_relative_improvement: {
        "values": {"a": 1.0}, "references": {"a": 1.0}, "higher_is_better": {"a": True},
    },
    metrics.confidence_interval: {"values": [1.0, 2.0], "test_to_train": 0.25},
    metrics.rank_correlation: {"one": [1.0, 2.0], "other": [2.0, 1.0]},
    search.ConfigurationTable: TABLE,
    search.TaskMetric: {"name": "accuracy", "higher_is_better": True},
    search.Budget: {"amount": 1.0, "kind": "macs", "percent": False},
    search.parse_budget: {"text": "4ms"},
    search.parse_preferences: {"text": "a=1", "tasks": ("a", "b")},
    search.complete_preferences: {"preferences": {"a": 1.0}, "tasks": ("a", "b")},
    search.format_cost: {"kind": "macs", "amount": 3.0},
    search.search: SEARCHED,
    search.proportional_rule: {**SEARCHED, "encoder_share": 0.5},
    search.equal_widths: SEARCHED,
    search.pareto_front: {"points": [[1.0, 2.0]], "directions": ["max", "min"]},
    search.group_losses: {"losses": {"a": 1.0}, "references": {"a": 1.0}, "groups": [["a"]]},
    search.hypervolume: {"points": [[1.0, 2.0]], "reference": [3.0, 3.0]},
    search.uniformity: {"losses": [1.0, 2.0], "preferences": [1.0, 1.0]},
    search.control_response: {"preferences": [1.0, 2.0], "qualities": [1.0, 2.0]},
    search.budget_error: {"cost": 1.0, "budget": 1.0},
}  # fmt: skip
CALLS = TASKS | DESCENTS | OTHERS


def strange(function, arguments: dict) -> str:
    """Empty where the call works or is refused in one line; otherwise what was raised."""
    try:
        function(**arguments)
    except UmbelError as error:
        return f"more than one line: {error}" if "\n" in str(error) else ""
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def outcomes() -> dict[str, dict[str, object]]:
    """Function -> whether the right call works, what is strange, and how many calls were refused."""
    results = {}
    for function, right in CALLS.items():
        said = {f"{name}={wrong!r}": strange(function, {**right, name: wrong}) for name in right for wrong in WRONG}
        try:
            function(**right)
            error = ""
        except Exception as raised:
            error = repr(raised)
        results[function.__name__] = {"right": error, "strange": {call: text for call, text in said.items() if text}}
    return results


def main() -> None:
    """Print the outcomes."""
    print(json.dumps(outcomes()))
