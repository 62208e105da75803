import math

import pytest
import torch
from torchmetrics.regression import MeanAbsoluteError

from umbel import tasks
from umbel.audit import blind_floor, label_floor
from umbel.audit.forms import form_of
from umbel.audit.judging import Tally, interval, tally
from umbel.core import Task


def splits(make, counts=(1500, 500, 1000)):
    return [make(torch.Generator().manual_seed(seed), count) for seed, count in enumerate(counts)]


def test_the_blind_floor_is_the_best_constant_of_each_metric():
    def skewed(generator, count):
        values = torch.rand(count, 1, generator=generator) ** 8
        return {
            "c": (torch.rand(count, generator=generator) < 0.3).long(),
            "v": values,
            "m": (torch.rand(count, 2, generator=generator) < 0.3).float(),
            "s": (torch.arange(16).reshape(1, 4, 4).expand(count, 4, 4) > 9).long(),
        }

    train, held, test = splits(skewed)
    value = tasks.regression("v").fitted([train["v"]])
    absolute = Task("v", 1, value.loss, {"MAE": MeanAbsoluteError}, False, decode=value.decode)
    assert blind_floor(tasks.classification("c", 2), train, held, test) == pytest.approx(
        (test["c"] == 0).float().mean()
    )
    assert blind_floor(value, train, held, test) == pytest.approx(
        (test["v"] - train["v"].mean()).square().mean().sqrt()
    )
    assert blind_floor(absolute, train, held, test) == pytest.approx((test["v"] - train["v"].median()).abs().mean())
    share = test["m"].mean().item()  # F1 of who always says yes
    assert blind_floor(tasks.multilabel("m", 2), train, held, test) == pytest.approx(2 * share / (1 + share))
    assert blind_floor(tasks.segmentation("s", 2), train, held, test) == 1  # every position has its class


def test_the_label_floor_is_what_labels_tell_together():
    a, b, either = tasks.classification("a", 2), tasks.classification("b", 2), tasks.classification("y", 2)

    def parity(generator, count):
        a, b = torch.randint(2, (2, count), generator=generator)
        a[::7] = -1  # a missing label is no help
        return {"a": a, "b": b, "y": torch.where(a < 0, b, a ^ b), "v": (a + 2.0 * b)[:, None]}

    data = splits(parity)
    assert label_floor(either, [a], *data) == pytest.approx(0.5, abs=0.1)
    assert label_floor(either, [a, b], *data) == 1
    assert label_floor(tasks.regression("v"), [a, b], *data) < 0.05
    alone = label_floor(tasks.regression("v"), [b], *data)
    assert alone == pytest.approx(0.70, abs=0.05)  # the spread of a, -1 in a seventh of the samples


def test_values_and_maps_tell_of_others_too():
    def wave(generator, count):
        x = 3 * torch.rand(count, 1, generator=generator)
        noise = torch.rand(count, 6, 6, generator=generator)
        shares = (noise < x[:, :, None] / 3).long()
        return {"x": x, "y": (torch.sin(4 * x[:, 0]) > 0).long(), "s": shares}

    data = splits(wave, (800, 300, 300))
    value, answer, area = tasks.regression("x"), tasks.classification("y", 2), tasks.segmentation("s", 2)
    value = value.fitted([data[0]["x"]])
    assert label_floor(answer, [value], *data) > 0.93
    blind = blind_floor(value, *data)
    assert label_floor(value, [answer], *data) < 0.97 * blind  # the mean of each class
    assert label_floor(area, [value], *data) > blind_floor(area, *data) + 0.05
    assert [form_of(t, data[0][t.name]) for t in (value, answer, area)] == ["values", "classes", "classes"]


def test_the_form_is_read_from_the_decoding():
    assert form_of(tasks.multilabel("m", 2), torch.zeros(3, 2)) == "yes/no"
    assert form_of(tasks.boundaries("e"), torch.zeros(3, 1, 4, 4)) == "yes/no"
    assert form_of(tasks.dense_regression("d", 1.0, 2.0), torch.zeros(3, 1, 4, 4)) == "values"
    assert form_of(tasks.surface_normals("n"), torch.zeros(3, 3, 4, 4)) is None
    assert form_of(tasks.reconstruction("p", 1), torch.zeros(3, 1, 4, 4)) is None


def test_a_target_that_cannot_be_averaged_has_a_learnt_constant():
    normals = torch.tensor([0.0, 0.6, 0.8]).reshape(1, 3, 1, 1).expand(20, 3, 4, 4)
    data = [{"n": normals}] * 3
    assert blind_floor(tasks.surface_normals("n"), *data) < 2  # degrees


class Share:
    """A metric that costs nothing: the share of what is right."""

    def reset(self):
        pass

    def compute(self):
        return self.right / self.count


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    truth, held, repeats, samples = 0.8, 0, 150, 120
    generator = torch.Generator().manual_seed(0)
    for repeat in range(repeats):
        right = (torch.rand(samples, generator=generator) < truth).long()
        one = Tally(tasks.classification("y", 2), Share(), {"right": right, "count": torch.ones_like(right)}, [])
        low, high = interval([one], 100, seed=repeat)
        held += low <= truth <= high
    assert 0.87 <= held / repeats <= 0.99


def test_intervals_count_what_seeds_differ_by_and_recompute_what_does_not_add_up():
    y = torch.arange(200) % 2
    better, worse = ((y + (torch.arange(200) % k == 0)) % 2 for k in (20, 4))
    task = tasks.classification("y", 2)
    tallies = [tally(task, lambda x: torch.nn.functional.one_hot(x, 2).float(), some, y) for some in (better, worse)]
    (low, high), (narrow, wide) = interval([tallies[0]] * 2, 100, 0), interval(tallies, 100, 0)
    assert high - low < 0.09 and wide - narrow > 0.2  # scores of .95 and .75
    ranking = Task("y", 1, task.loss, dict(list(tasks.multilabel("m", 1).metrics.items())[1:2]), True)
    scores = torch.randn(150, 1, generator=torch.Generator().manual_seed(0))
    ordered = tally(ranking, lambda x: x, scores, (scores + 0.5 * scores.flip(0) > 0).float())
    assert not ordered.is_quick and tallies[0].is_quick
    low, high = interval([ordered], 30, 0)
    assert 0.8 < low < high < 1 and not math.isnan(low)
