import pytest
import torch

from umbel import UmbelError
from umbel.nn.detection import PseudoLabels, pseudo_labels


def detections(*pictures: list[tuple[float, int]]) -> torch.Tensor:
    """Boxes of given scores and classes, surest first; where a box is says which it is (picture, place)."""
    most = max(map(len, pictures))
    made = torch.full((len(pictures), most, 6), -1.0)
    for number, rows in enumerate(pictures):
        for place, (score, kind) in enumerate(rows):
            made[number, place] = torch.tensor([number, place, number + 9, place + 9, score, kind])
    return made


def places(boxes: torch.Tensor) -> list[list[int]]:
    """Which boxes they are, of each picture."""
    return [[int(row[1]) for row in rows if row[0] >= 0] for rows in boxes]


GIVEN = detections([(0.9, 0), (0.8, 1), (0.6, 0), (0.3, 1), (0.1, 0)], [], [(0.55, 1)])


def test_each_class_has_its_threshold_and_its_band_of_doubt():
    labels = pseudo_labels(GIVEN, (0.7, 0.5), least=0.5)
    assert isinstance(labels, PseudoLabels)
    assert places(labels.target) == [[0, 1], [], [0]]
    assert labels.target[0, :, 4].tolist() == [0, 1]
    assert places(labels.ignored) == [[2, 3], [], []]
    assert labels.counts().tolist() == [2, 0, 1]
    assert labels.target.shape[2] == 5 and labels.ignored.shape[2] == 4


def test_a_score_on_the_threshold_teaches():
    assert places(pseudo_labels(detections([(0.5, 0)]), 0.5).target) == [[0]]


def test_one_threshold_is_for_all_and_nothing_is_ignored_unless_asked_for():
    labels = pseudo_labels(GIVEN, 0.5)
    assert places(labels.target) == [[0, 1, 2], [], [0]]
    assert places(labels.ignored) == [[], [], []]


def test_the_surest_of_each_class_are_kept_and_the_others_ignored():
    given = detections([(0.9, 0), (0.85, 1), (0.8, 0), (0.75, 0), (0.7, 1)])
    labels = pseudo_labels(given, 0.5, 0.5, most_per_class=1)
    assert places(labels.target) == [[0, 1]]
    assert places(labels.ignored) == [[2, 3, 4]]
    assert places(pseudo_labels(given, 0.5, 0.5, most_per_class=2).target) == [[0, 1, 2, 4]]


def test_nothing_is_one_row_of_padding():
    for given in (detections([], [], [(0.1, 0)]), torch.full((3, 1, 6), -1.0)):
        labels = pseudo_labels(given, 0.5, 0.9)
        assert labels.target.shape == (3, 1, 5) and (labels.target == -1).all()
        assert labels.ignored.shape == (3, 1, 4) and (labels.ignored == -1).all()
        assert labels.counts().tolist() == [0, 0, 0]


def test_mistakes_are_one_line():
    with pytest.raises(UmbelError, match="1 thresholds for detections of 2 classes"):
        pseudo_labels(GIVEN, [0.5])
    for wrong in ((1.5, 1.0), (0.5, -0.1)):
        with pytest.raises(UmbelError, match="no score"):
            pseudo_labels(GIVEN, *wrong)
