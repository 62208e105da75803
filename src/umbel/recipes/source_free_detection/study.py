"""The study of source-free detection: a detector of one place is adapted to another, with a fold of it held out.

Every repeat has a source detector of its own seed and another fold of the target as its test. Arms differ in how they
use the unlabelled pictures of the other folds; none sees a label of the target but the oracle.
"""

from collections.abc import Iterator

from umbel.recipes.source_free_detection.networks import DETECTOR, Networks
from umbel.recipes.source_free_detection.pictures import draw, sheets
from umbel.recipes.source_free_detection.settings import (
    FAST,
    FIXED,
    NORMS,
    ORACLE,
    OURS,
    PAPER,
    RANDOM,
    REVERSED,
    SLOW,
    SOURCE,
    UNALIGNED,
    SourceFreeSettings,
)
from umbel.recipes.source_free_detection.worlds import Worlds
from umbel.report import Results
from umbel.study import Arm, Bench, Job, Study

PLACE = {"pictures": "test fold"}
"""Where arms are compared."""


def arms() -> list[Arm]:
    """The arms, in the order of the tables."""
    return [
        Arm(SOURCE, "Source only", "The source's detector as it is"),
        Arm(NORMS, "Norms re-estimated", "Statistics of batch norms taken from the target's pictures (AdaBN)"),
        Arm(FIXED, "Fixed labels", "Norms, then the boxes that the source's detector gives, once and for all"),
        Arm(FAST, "Fast mean teacher", "Norms, then a student and a teacher that follows it quickly"),
        Arm(SLOW, "Slow mean teacher", "The same, and the teacher follows slowly"),
        Arm(OURS, "Source-free", "Norms, slow teacher, alignment of similar and dissimilar pictures, mosaics"),
        Arm(UNALIGNED, "… without alignment", "The same without discriminators: all pictures teach"),
        Arm(RANDOM, "… split at random", "The same, similar pictures drawn at random"),
        Arm(REVERSED, "… split reversed", "The same, similar pictures are those that dropout moves least"),
        Arm(PAPER, "As in the paper", "No norms, threshold 0.8, no ignored boxes, a fifth similar, alignment 1"),
        Arm(ORACLE, "Oracle", "The source's detector, taught by the target's labels"),
    ]


def source_free_study(settings: SourceFreeSettings, study: Study) -> Results:
    """Run the study.

    Raises:
        UmbelError: Sets that cannot be had, classes that differ, no such detector, ...; before anything is trained.
    """
    worlds = Worlds(settings)
    networks = Networks(settings, worlds)
    bench = Bench(study, settings, settings.fit, worlds.adapting(0))
    networks.bench = bench
    bench.run(list(jobs(settings)), networks.make, networks.measure)
    if study.runtime.is_main:
        study.reporter.say("drawing the pictures")
        draw(study.out, networks)
    study.runtime.barrier()
    return bench.results(
        "source_free_detection",
        f"A detector of {worlds.source.title.lower()}, adapted to {worlds.target(0).title.lower()}",
        arms(),
        samples=sheets(study),
        headline=(PLACE,),
        repeats="folds",
    )


def jobs(settings: SourceFreeSettings) -> Iterator[Job]:
    """A source detector for each repeat, and behind it every arm."""
    for repeat in range(settings.seeds):
        yield (start := Job(DETECTOR, repeat))
        yield from (Job(arm, repeat, needs=(start,)) for arm in settings.chosen_arms)
