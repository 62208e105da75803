"""Pictures of the study: detections before and after adaptation, and both ends of the split."""

from pathlib import Path

import torch

from umbel.data.boxes.building import BOXES
from umbel.recipes.adapting.pictures import BEFORE_AFTER, ENDS, both_ends, draw_sheet
from umbel.recipes.source_free_detection.networks import DETECTOR, Networks
from umbel.recipes.source_free_detection.settings import OURS, SOURCE
from umbel.report import SampleSheet
from umbel.study import Job, Study

_SHOWN = 3
_TITLES = {
    BEFORE_AFTER: ("Before and after", "pictures of the test fold with the boxes of three detectors"),
    ENDS: ("Both ends of the split", "pictures that dropout moves most and least, with the source detector's boxes"),
}


def draw(folder: Path, networks: Networks) -> None:
    """Draw both sheets, of repeat 0."""
    start = Job(DETECTOR, 0)
    detectors = {
        "source only": networks.bench.learner(start).model,
        "norms": networks.with_norms(start).model,
        "adapted": networks.bench.learner(Job(OURS, 0, needs=(start,))).adapted,
    }
    test = networks.worlds.target(0).test.samples[slice(0, _SHOWN)]
    headings = [f"test {number + 1}" for number in range(len(test))]
    draw_sheet(folder / BEFORE_AFTER, test, detectors, headings, networks.task.labels, test.targets[BOXES])
    ends, headings = both_ends(torch.tensor(networks.variances(start)["sum"]))
    pictures = networks.worlds.pictures(0)[ends]
    before = {"source only": detectors["source only"]}
    draw_sheet(folder / ENDS, pictures, before, headings, networks.task.labels, pictures.targets[BOXES])


def sheets(study: Study) -> tuple[SampleSheet, ...]:
    """The pictures beside the results."""
    arms = {BEFORE_AFTER: OURS, ENDS: SOURCE}
    return tuple(SampleSheet(arms[file], file, *told) for file, told in _TITLES.items() if (study.out / file).exists())
