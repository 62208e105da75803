"""Jacobians for the solvers' tests: the brief's, random ones with conflict, and degenerate ones."""

import torch

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

J2 = torch.tensor([[-4.0, 1, 1], [6, 1, 1]], dtype=torch.float64)
J3 = torch.tensor([[1.0, 2, 0, -1], [-2, 1, 1, 0], [0.5, -1, 2, 1]], dtype=torch.float64)
J3B = torch.tensor([[1.0, 0, 0, 1], [0, 2, 0, 1], [0, 0, 3, 1]], dtype=torch.float64)

STEADY = {
    "mgda": MinimumNorm,
    "upgrad": ProjectedRows,
    "dualproj": ProjectedMean,
    "cagrad": lambda: ConflictAverse(0.5),
    "cagrad-1": lambda: ConflictAverse(1.0),
    "cagrad-3": lambda: ConflictAverse(3.0),
    "nash": lambda: NashBargaining(max_norm=0.0),
    "fairgrad-0.5": lambda: AlphaFair(0.5),
    "fairgrad-2": lambda: AlphaFair(2.0),
    "imtl-g": EqualProjections,
    "aligned-min": AlignedComponents,
    "aligned-median": lambda: AlignedComponents(scale_mode="median"),
    "aligned-rmse": lambda: AlignedComponents(scale_mode="rmse"),
    "config": ConflictFree,
}
"""Weightings that draw nothing and keep nothing."""
DRAWN = {"pcgrad": GradientSurgery, "gradvac": lambda: GradientVaccine(eps=0.0)}
"""Those that draw an order."""
EVERY = STEADY | DRAWN
LENGTH_POWER = {"nash": -1.0, "fairgrad-0.5": -2 / 3, "fairgrad-2": -4 / 3}
"""Rows s times as long give weights times s to this power; 0 for all others."""


def rows(tasks: int, size: int | None = None, seed: int = 0) -> torch.Tensor:
    """Random rows [T, P], a part of each along or against one common direction, so that many pairs conflict."""
    generator = torch.Generator().manual_seed(seed)
    size = 2 * tasks + 2 if size is None else size
    jacobian = torch.randn(tasks, size, generator=generator, dtype=torch.float64)
    signs = torch.randint(0, 2, (tasks, 1), generator=generator) * 2 - 1
    return jacobian + 0.5 * signs * torch.randn(size, generator=generator, dtype=torch.float64)


def stretched(tasks: int, decades: float, seed: int = 0) -> torch.Tensor:
    """Rows whose lengths differ by up to 10^(2 · decades)."""
    exponents = torch.linspace(-decades, decades, tasks, dtype=torch.float64)
    order = torch.randperm(tasks, generator=torch.Generator().manual_seed(seed))
    return rows(tasks, seed=seed) * 10 ** exponents[order][:, None]


def degenerate(tasks: int, seed: int = 0) -> dict[str, torch.Tensor]:
    """Jacobians at the edges, by what is odd about them."""
    usual = rows(tasks, seed=seed)

    def last(row: torch.Tensor) -> torch.Tensor:
        return torch.cat([usual[:-1], row[None]])

    return {
        "a zero row": last(0 * usual[0]),
        "all zero": 0 * usual,
        "identical rows": last(usual[0]),
        "all identical": usual[:1].repeat(tasks, 1),
        "opposed rows": last(-usual[0]),
        "opposed, other length": last(-3 * usual[0]),
        "nearly identical": last(usual[0] + 1e-7 * usual[-1]),
        "nearly opposed": last(-usual[0] + 1e-7 * usual[-1]),
        "in balance": last(-usual[:-1].sum(0)) if tasks > 1 else usual,
        "more rows than parameters": rows(tasks, max(2, tasks // 2), seed=seed),
        "one parameter": rows(tasks, 1, seed=seed),
        "tiny": 1e-12 * usual,
        "huge": 1e12 * usual,
        "very different lengths": stretched(tasks, 12.0, seed),
    }


def gramian(jacobian: torch.Tensor) -> torch.Tensor:
    """G = J Jᵀ."""
    return jacobian @ jacobian.T
