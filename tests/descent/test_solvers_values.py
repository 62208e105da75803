"""The expected values of the brief: weights and updates, solved in float64 independently of any library."""

import pytest
import torch
from solver_cases import J2, J3, J3B, gramian

from umbel.descent import (
    AlignedComponents,
    AlphaFair,
    ConflictAverse,
    ConflictFree,
    EqualProjections,
    GradientSurgery,
    GradientVaccine,
    MinimumNorm,
    NashBargaining,
    ProjectedMean,
    ProjectedRows,
)

JACOBIANS = {"J2": J2, "J3": J3, "J3b": J3B}
MAKERS = {
    "mgda": MinimumNorm,
    "upgrad": ProjectedRows,
    "dualproj": ProjectedMean,
    "imtl-g": EqualProjections,
    "aligned-mtl": AlignedComponents,
    "cagrad": lambda: ConflictAverse(0.5),
    "nash": lambda: NashBargaining(max_norm=0.0),
    "fairgrad-1": lambda: AlphaFair(1.0),
    "pcgrad": GradientSurgery,
    "gradvac": GradientVaccine,  # its first step is PCGrad's, up to eps
}
WEIGHTS = {
    "J2": {
        "mgda": [0.6, 0.4],
        "upgrad": [10 / 9, 15 / 19],
        "dualproj": [11 / 18, 0.5],
        "imtl-g": [0.592330, 0.407670],
        "aligned-mtl": [0.559072, 0.408261],
        "cagrad": [0.704124, 0.5],
        "nash": [0.591461, 0.407071],
        "pcgrad": [20 / 9, 30 / 19],
    },
    "J3": {
        "mgda": [0.389610, 0.231911, 0.378479],
        "upgrad": [17 / 36, 1 / 3, 7 / 15],
        "dualproj": [1 / 3, 1 / 3, 1 / 3],
        "imtl-g": [0.388871, 0.230115, 0.381014],
        "aligned-mtl": [0.336191, 0.258982, 0.330330],
        "cagrad": [0.566646, 0.337289, 0.550456],
        "nash": [0.530707, 6**-0.5, 0.519984],
        "pcgrad": [17 / 12, 1.0, 7 / 5],
    },
    "J3b": {
        "mgda": [36 / 49, 9 / 49, 4 / 49],
        "upgrad": [1 / 3, 1 / 3, 1 / 3],
        "dualproj": [1 / 3, 1 / 3, 1 / 3],
        "imtl-g": [0.436429, 0.317798, 0.245773],
        "aligned-mtl": [0.264582, 0.152162, 0.109358],
        "cagrad": [0.898527, 1 / 3, 1 / 3],
        "nash": [0.564171, 0.371273, 0.272896],
        "pcgrad": [1.0, 1.0, 1.0],
    },
}
for expected in WEIGHTS.values():
    expected["fairgrad-1"], expected["gradvac"] = expected["nash"], expected["pcgrad"]
UPDATES = {
    "J2": {
        "mgda": [0.0, 1.0, 1.0],
        "upgrad": [0.292398, 1.900585, 1.900585],
        "dualproj": [5 / 9, 10 / 9, 10 / 9],
        "imtl-g": [0.076697, 1.0, 1.0],
        "aligned-mtl": [0.213279, 0.967333, 0.967333],
        "cagrad": [0.183503, 1.204124, 1.204124],
        "nash": [0.076584, 0.998533, 0.998533],
        "pcgrad": [0.584795, 3.801170, 3.801170],
    },
    "J3": {
        "mgda": [0.115028, 0.632653, 0.988868, -0.011132],
        "upgrad": [0.038889, 0.811111, 1.266667, -0.005556],
        "dualproj": [-0.166667, 0.666667, 1.0, 0.0],
        "imtl-g": [0.119148, 0.626843, 0.992143, -0.007857],
        "aligned-mtl": [-0.016609, 0.601034, 0.919641, -0.005861],
        "cagrad": [0.167296, 0.920126, 1.438202, -0.016190],
        "nash": [-0.025798, 0.949677, 1.448217, -0.010722],
        "pcgrad": [0.116667, 2.433333, 3.8, -0.016667],
    },
    "J3b": {
        "mgda": [0.734694, 0.367347, 0.244898, 1.0],
        "upgrad": [1 / 3, 2 / 3, 1.0, 1.0],
        "dualproj": [1 / 3, 2 / 3, 1.0, 1.0],
        "imtl-g": [0.436429, 0.635597, 0.737318, 1.0],
        "aligned-mtl": [0.264582, 0.304325, 0.328074, 0.526103],
        "cagrad": [0.898527, 0.666667, 1.0, 1.565194],
        "nash": [0.564171, 0.742547, 0.818687, 1.208340],
        "pcgrad": [1.0, 2.0, 3.0, 3.0],
    },
}
OTHERS = {  # updates of methods that are in the brief's tables only, to five digits
    ("config", "J2"): [0.15881, 2.07061, 2.07061],
    ("config", "J3"): [0.35710, 1.87869, 2.97353, -0.02355],
    ("config", "J3b"): [1.41243, 2.05700, 2.38621, 3.23633],
    ("fairgrad-2", "J2"): [0.03127, 0.79082, 0.79082],
    ("fairgrad-2", "J3"): [0.03268, 0.74198, 1.14050, -0.01015],
    ("fairgrad-2", "J3b"): [0.49601, 0.51930, 0.50471, 0.92389],
    ("nash-1", "J2"): [0.05415, 0.70607, 0.70607],
    ("nash-1", "J3"): [-0.01489, 0.54830, 0.83613, -0.00619],
    ("nash-1", "J3b"): [0.32572, 0.42871, 0.47267, 0.69764],
}
OTHER_MAKERS = {"config": ConflictFree, "fairgrad-2": lambda: AlphaFair(2.0), "nash-1": NashBargaining}
CASES = [(name, which) for which, values in WEIGHTS.items() for name in values]


@pytest.mark.parametrize(("name", "which"), CASES)
def test_weights_of_the_brief(name, which):
    weights = MAKERS[name]()(gramian(JACOBIANS[which]))
    assert torch.allclose(weights, torch.tensor(WEIGHTS[which][name], dtype=torch.float64), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("name", "which"), [(n, w) for w, values in UPDATES.items() for n in values])
def test_updates_of_the_brief(name, which):
    jacobian = JACOBIANS[which]
    update = MAKERS[name]()(gramian(jacobian)) @ jacobian
    assert torch.allclose(update, torch.tensor(UPDATES[which][name], dtype=torch.float64), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("name", "which"), OTHERS)
def test_updates_that_the_brief_prints_to_five_digits(name, which):
    jacobian = JACOBIANS[which]
    update = OTHER_MAKERS[name]()(gramian(jacobian)) @ jacobian
    # Those of FairGrad and Nash-MTL come from solvers that stop early; their last digit may be off.
    tolerance = 6e-6 if name == "config" else 3e-5
    assert torch.allclose(update, torch.tensor(OTHERS[name, which], dtype=torch.float64), rtol=0, atol=tolerance)


def test_aligned_mtl_in_its_other_two_scales():
    """J3b's Gramian has eigenvalues λ; w = √(s/λ_min) times the weights at s = λ_min."""
    product = gramian(J3B)
    eigenvalues = torch.linalg.eigvalsh(product)
    smallest = AlignedComponents()(product)
    for mode, scale in {"median": eigenvalues[1], "rmse": eigenvalues.mean()}.items():
        expected = smallest * (scale / eigenvalues[0]).sqrt()
        assert torch.allclose(AlignedComponents(scale_mode=mode)(product), expected, rtol=1e-12)
