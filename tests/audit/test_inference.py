import math

import pytest
import torch

from umbel import tasks
from umbel.audit import Attacker, AttackSettings, Observed, Problem, infer, label_floor, receivers_of
from umbel.audit.attackers import ATTACKERS
from umbel.audit.settings import ATTACKER_NAMES
from umbel.core import Task, UmbelError

SIZES = {"train": 1200, "validation": 400, "test": 800}
QUICK = AttackSettings(seeds=1, resamples=100)
Y = tasks.classification("y", 2)


def draw(count: int, seed: int, *size: int) -> torch.Tensor:
    return torch.randn(count, *size, generator=torch.Generator().manual_seed(seed))


def attacked(make, *what: Task, serves=(), settings: AttackSettings = QUICK):
    """Attacks on features "a"; `make(count, seed)` gives features and targets of a split."""
    splits = []
    for seed, count in enumerate(SIZES.values()):
        features, targets = make(count, seed)
        targets = targets if isinstance(targets, dict) else {"y": targets}
        splits.append(Observed({"a": features}, {"a": serves}, targets, torch.zeros(count, 1)))
    return infer(*splits, what or (Y,), settings)[0]


def by(*attackers: str, seeds: int = 1) -> AttackSettings:
    return AttackSettings(seeds=seeds, resamples=100, attackers=attackers)


def shorter(make, most):
    def less(count, seed):
        features, targets = make(count, seed)
        return features[:most], targets[:most]

    return less


def parity(count, seed):
    x = draw(count, seed, 6)
    return x, ((x[:, 0] > 0) ^ (x[:, 1] > 0)).long()


def radius(count, seed):
    x = draw(count, seed, 4)
    return x, (x.square().sum(1) > 3.36).long()


def position(count, seed):
    """Whether a bright spot of noisy maps is in the left or the right half; its height and sign mean nothing."""
    place = torch.randint(8, (count, 2), generator=torch.Generator().manual_seed(seed))
    maps = 0.3 * draw(count, seed + 10, 2, 8, 8)
    maps[torch.arange(count), 1, place[:, 0], place[:, 1]] += 4 * draw(count, seed + 20).sign()
    return maps, (place[:, 1] >= 4).long()


@pytest.mark.parametrize(("make", "strong"), [(parity, ("mlp", "trees")), (radius, ("neighbours", "trees"))])
def test_what_no_line_can_tell_is_told_by_others(make, strong):
    found = attacked(shorter(make, 800), settings=by("linear", *strong))
    assert found.attackers["linear"][0] < 0.65
    assert all(found.attackers[name][0] > 0.85 for name in strong), found.attackers
    assert found.score > 0.85 and found.chosen[0] in strong


def test_where_something_is_on_a_map_is_found_by_convolutions():
    found = attacked(shorter(position, 450), settings=by("linear", "convolutional"))
    assert found.attackers["linear"][0] < 0.62 and found.attackers["convolutional"][0] > 0.9
    assert found.chosen == ("convolutional",)


def mixture(count, seed):
    """Five Gaussians; the nearest mean is the best answer that there is."""
    means = 0.8 * draw(5, 99, 8)
    y = torch.randint(5, (count,), generator=torch.Generator().manual_seed(seed))
    return means[y] + draw(count, seed + 30, 8), y


def test_the_best_attacker_of_a_gaussian_mixture_is_near_the_best_possible():
    x, y = mixture(SIZES["test"], 2)
    possible = (torch.cdist(x, 0.8 * draw(5, 99, 8)).argmin(1) == y).float().mean().item()
    found = attacked(mixture, tasks.classification("y", 5), settings=by("linear", "neighbours", "mlp"))
    assert abs(found.score - possible) < 0.02
    assert found.low < possible < found.high and found.high - found.low < 0.08
    assert set(found.attackers) == {"linear", "neighbours", "mlp"}


def test_features_that_say_nothing_score_as_the_floor():
    def nothing(count, seed):
        return draw(count, seed, 6), (draw(count, seed + 40) > 0.6).long()

    found = attacked(nothing, settings=by("linear", "neighbours", "trees", seeds=2))
    assert found.low <= found.blind <= found.high and found.label_floor == found.blind
    assert found.low <= found.score <= found.high
    low, high = found.leakage_interval(1.0)
    assert low <= 0 <= high and found.leakage(1.0) == pytest.approx(0, abs=0.1)


def test_features_that_are_a_label_leak_what_the_label_does():
    first, second = tasks.classification("k", 4), tasks.classification("j", 4)

    def correlated(count, seed):
        k = torch.randint(4, (count,), generator=torch.Generator().manual_seed(seed))
        j = torch.where(draw(count, seed + 50) > 0.5, (3 * draw(count, seed + 60)).long() % 4, (k + 1) % 4)
        return torch.nn.functional.one_hot(k, 4).float(), {"k": k, "j": j}

    found = attacked(correlated, second, first, serves=("k",), settings=by("linear", "neighbours"))
    assert found.label_floor > 0.7 > found.blind + 0.3
    assert found.score == pytest.approx(found.label_floor, abs=1e-6) and found.leakage(1.0) == pytest.approx(0)


def test_values_yes_or_no_and_missing_labels():
    kinds = (tasks.regression("v", 2), tasks.multilabel("m", 2), tasks.classification("c", 3))

    def several(count, seed):
        x = draw(count, seed, 5)
        v = torch.stack([100 + 5 * x[:, 0] * x[:, 1], x[:, 2]], 1)
        m = (x[:, :2] > torch.tensor([0.0, 1.5])).float()
        c = torch.bucketize(x[:, 3].contiguous(), torch.tensor([-1.0, 1.0]))
        v[::5], m[1::5, 0], c[2::5] = torch.nan, torch.nan, -1
        return x, {"v": v, "m": m, "c": c}

    splits = [
        Observed({"a": x}, {"a": ("c",)}, targets, torch.zeros(len(x), 1))
        for x, targets in (several(count, seed) for seed, count in enumerate((700, 250, 400)))
    ]
    values, answers, classes = infer(*splits, kinds, by("linear", "neighbours", "trees"))
    assert values.score < 0.5 * values.floor and values.chosen[0] != "linear" and not values.higher_is_better
    assert answers.metric == "F1" and answers.score > 0.93
    assert classes.score > 0.93 and classes.served and set(classes.attackers) == {"linear", "neighbours", "trees"}
    assert math.isclose(values.blind, values.label_floor, rel_tol=0.05)


def dense(count, seed):
    """Maps whose sign at a position is the class of the four pixels there; a boundary is where it changes."""
    maps = draw(count, seed, 2, 4, 4)
    classes = (maps[:, 0] > 0).long().repeat_interleave(2, 1).repeat_interleave(2, 2)
    edge = torch.zeros(count, 1, 8, 8)
    edge[:, 0, :, 1:] = (classes[:, :, 1:] != classes[:, :, :-1]).float()
    return maps, {"y": classes, "edge": edge}


def test_maps_of_classes_and_boundaries():
    classes, edges = tasks.segmentation("y", 2), tasks.boundaries("edge")
    splits = [
        Observed({"a": x, "b": x}, {"a": ("y",), "b": ("edge",)}, targets, torch.zeros(len(x), 1))
        for x, targets in (dense(count, seed) for seed, count in enumerate((160, 24, 24)))
    ]
    first, again = infer(*splits, [classes], by("linear", "neighbours"))
    assert min(score for scores in first.attackers.values() for score in scores) > 0.7 > first.blind
    assert again.scores == first.scores and (again.served, first.served) == (False, True)
    (found,) = infer(*splits, [edges], by("linear", "convolutional"), receivers=[("a",)])
    assert found.attackers["linear"][0] < 0.6 and found.score > 0.75 and found.chosen == ("convolutional",)
    known = label_floor(edges, [classes], *(split.targets for split in splits))
    assert known > 0.9  # where classes change is known from the classes


def test_the_same_seed_gives_the_same_numbers_and_leaves_generators_alone():
    settings = by("neighbours", "mlp", seeds=2)
    before = torch.get_rng_state()
    with torch.no_grad():
        first = attacked(shorter(parity, 32), settings=settings)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(3)
    again = attacked(shorter(parity, 32), settings=settings)
    assert first == again
    assert len({(first.validation["mlp"][seed], first.attackers["mlp"][seed]) for seed in (0, 1)}) == 2
    assert first.attackers["neighbours"][0] == first.attackers["neighbours"][1]  # its seed changes nothing


def test_who_attacks():
    x, y, z = (torch.zeros(4, 2) + i for i in range(3))
    serves = {name: (name,) for name in "abc"}
    apart = Observed({"a": x, "b": y, "c": z}, serves, {}, x)
    together = [("b", "c"), ("a", "c"), ("a", "b"), ("a", "b", "c")]
    assert receivers_of(apart) == [("a",), ("b",), ("c",), *together]
    assert receivers_of(apart, groups=False) == receivers_of(Observed(dict.fromkeys("abc", x), serves, {}, x))


def test_what_cannot_be_attacked_is_said():
    x, y = parity(40, 0)
    good = Observed({"a": x}, {"a": ()}, {"y": y}, x)
    with pytest.raises(UmbelError, match="'b'"):
        infer(good, good, good, [Y], QUICK, receivers=[("b",)])
    with pytest.raises(UmbelError, match="not finite"):
        infer(Observed({"a": x / 0}, {"a": ()}, {"y": y}, x), good, good, [Y], QUICK)
    with pytest.raises(UmbelError, match="no label"):
        infer(good, good, Observed({"a": x}, {"a": ()}, {"y": y - 9}, x), [Y], QUICK)
    with pytest.raises(UmbelError, match="convolutional"):
        infer(good, good, good, [Y], by("convolutional"))
    with pytest.raises(UmbelError, match="attacker"):
        by("oracle")
    assert tuple(ATTACKERS) == ATTACKER_NAMES


def test_attackers_say_what_they_can_attack():
    def fitting(features, targets, task) -> set[str]:
        problem = Problem(task, features, targets, features, targets, "quick", 0)
        attackers: list[Attacker] = list(ATTACKERS.values())
        return {one.name for one in attackers if one.fits(problem)}

    few, many, maps = torch.zeros(4, 8), torch.zeros(4, 80), torch.zeros(4, 3, 4, 4)
    classes, picture = torch.zeros(4, dtype=torch.int64), torch.zeros(4, 8, 8, dtype=torch.int64)
    assert fitting(few, classes, Y) == {"linear", "neighbours", "trees", "mlp"}
    assert fitting(many, classes, Y) == {"linear", "neighbours", "mlp"}
    assert fitting(maps, classes, Y) == {"linear", "neighbours", "trees", "mlp", "convolutional"}
    assert fitting(few, picture, tasks.segmentation("y", 2)) == {"linear", "convolutional"}
    assert fitting(maps, picture, tasks.segmentation("y", 2)) == {"linear", "neighbours", "convolutional"}
    assert fitting(maps, torch.zeros(4, 3, 8, 8), tasks.surface_normals("y")) == {"linear", "convolutional"}
