"""Labels of several receivers sent digitally: together or apart, never worse than either, exact at the ends."""

import pytest
import torch

from umbel.channels.digital import LabelCombinations, LabelGenie
from umbel.errors import UmbelError


def combinations(**labels):
    return LabelCombinations({name: torch.tensor(values) for name, values in labels.items()})


BITS = {"a": [0, 0, 1, 1, -1], "b": [0, 1, 0, 1, 1]}
NESTED = {"a": [0, 1, 2, 3, 3], "b": [0, 0, 1, 1, 1]}


def test_the_combinations_that_occur_are_found_without_samples_that_lack_a_label():
    assert {name: labels.tolist() for name, labels in combinations(**BITS).labels.items()} == {
        "a": [0, 0, 1, 1],
        "b": [0, 1, 0, 1],
    }
    assert len(combinations(**NESTED).labels["a"]) == 4


def test_without_noise_it_is_the_classifier_and_with_nothing_but_noise_a_guess():
    clean, sent = {"a": 0.9, "b": 0.8}, combinations(**BITS)
    assert sent.accuracies(clean, 2, 60.0) == pytest.approx(clean, abs=1e-6)
    assert sent.accuracies(clean, 2, -60.0) == pytest.approx({"a": 0.5, "b": 0.5}, abs=0.01)


@pytest.mark.parametrize("fading", [None, "rayleigh"])
def test_the_better_of_two_ways_is_taken(fading):
    """Two independent bits in two uses: apart, each is one bit in one use; together they can do no worse."""
    sent, clean = combinations(**BITS), {"a": 1.0, "b": 1.0}
    apart, together = LabelGenie(2, 1).success(3.0, fading), LabelGenie(4, 2).success(3.0, fading)
    total = sum(sent.accuracies(clean, 2, 3.0, fading).values())
    lost = (1 - together) / 3  # one of the three wrong combinations has each label right
    assert total == pytest.approx(2 * max(apart, together + lost), abs=1e-9)


def test_nested_labels_cost_no_more_than_the_finer_one():
    accuracies = combinations(**NESTED).accuracies({"a": 1.0, "b": 1.0}, 2, 0.0)
    assert accuracies["a"] >= LabelGenie(4, 2).success(0.0) - 1e-9
    assert accuracies["b"] > accuracies["a"], "a lost combination may still have the right coarse label"


def test_one_use_is_too_few_to_send_labels_apart():
    assert combinations(**BITS).accuracies({"a": 1.0, "b": 1.0}, 1, 60.0) == pytest.approx({"a": 1.0, "b": 1.0})


@pytest.mark.parametrize(
    "labels", [{"a": [0, 0], "b": [1, 1]}, {"a": [0, 1], "b": [1, 1]}, {"a": [0, -1], "b": [-1, 1]}]
)
def test_labels_that_never_differ_are_refused(labels):
    with pytest.raises(UmbelError, match=r"a/b: among the samples with all labels, '.' has fewer than two classes"):
        combinations(**labels)
