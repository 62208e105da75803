"""The study of physical proxies: liveness detectors in a place, and against an attack, that they were not trained on.

Every place (camera, light, print and screen) is held out once. Networks learn from the others, thresholds come from
other people in those same places, and all is measured once on the place held out. No training has a mask.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from statistics import fmean

from umbel.core import Task
from umbel.recipes.physical_proxies.measuring import CONSTANT, HTER, LIVE_DEPTH, LIVENESS
from umbel.recipes.physical_proxies.networks import Networks
from umbel.recipes.physical_proxies.pictures import draw, sheets
from umbel.recipes.physical_proxies.places import UNSEEN, Places
from umbel.recipes.physical_proxies.settings import (
    AUXILIARY,
    BINARY,
    BINARY_CHANGED,
    CENTRAL,
    CHANGED,
    DEPTH,
    EACH,
    LEARNT,
    MATERIAL,
    MINED,
    NO_ATTENTION,
    NO_MINING,
    NO_REGULARISER,
    OURS,
    REFLECTION,
    REPEATED,
    SIGMOID,
    SINGLE_SIDE,
    SOFTMAX,
    TEXTURE,
    PhysicalProxiesSettings,
)
from umbel.report import Results, Run, TaskInfo
from umbel.study import Arm, Bench, Job, Study

Metrics = dict[str, dict[str, float]]


def arms() -> list[Arm]:
    """The arms, in the order of the tables."""
    return [
        Arm(OURS, "Physical proxies", "Depth, reflection and material, Gaussian attention, mining by attributes"),
        Arm(BINARY, "Binary", "The detector alone: the same encoder, branch and head without proxies"),
        Arm(AUXILIARY, "Plain multi-task", "The same four tasks with ordinary heads on the shared features"),
        Arm(SINGLE_SIDE, "Single side (SSDG)", "Live of all places as one, attacks apart; an adversary on places"),
        Arm(
            BINARY_CHANGED,
            "Binary, camera changes",
            "The detector alone, pictures changed as by other cameras",
        ),
        Arm(CHANGED, "Proxies, camera changes", "Physical proxies, pictures changed in the same way"),
        Arm(CENTRAL, "Central differences (CDCN)", "Such convolutions, scored by the mean of a depth map"),
        Arm(TEXTURE, "Colour textures", "Local binary patterns in two colour spaces, the best of three classifiers"),
        Arm(DEPTH, "Depth alone", "As physical proxies, with one proxy"),
        Arm(REFLECTION, "Reflection alone", "As physical proxies, with one proxy"),
        Arm(MATERIAL, "Material alone", "As physical proxies, with one proxy"),
        Arm(NO_ATTENTION, "… no attention", "Branches joined as they are"),
        Arm(SIGMOID, "… sigmoid attention", "Attention without uncertainty"),
        Arm(SOFTMAX, "… softmax attention", "Attention that shares 1 among the branches"),
        Arm(LEARNT, "… learnt loss weights", "Weights of the losses by homoscedastic uncertainty (Kendall)"),
        Arm(NO_MINING, "… without mining", "No loss over hard pairs"),
        Arm(NO_REGULARISER, "… without regulariser", "Gaussian attention whose sigma is free"),
        Arm(MINED, "Binary, with mining", "The detector alone, with the loss over hard pairs"),
    ]


def physical_proxies_study(settings: PhysicalProxiesSettings, study: Study) -> Results:
    """Run the study.

    Raises:
        UmbelError: An encoder that is not known, sizes that are too small, ...; before anything is trained.
    """
    places = Places(settings)
    study.reporter.say("rendering faces")
    first = places.seen(settings.places[0], 0)
    networks = Networks(settings, places)
    bench = Bench(study, settings, settings.fit, first)
    networks.bench = bench
    bench.run(list(jobs(settings)), networks.make, networks.measure)
    bench.runs = [*bench.runs, *means(bench.runs)]
    if study.runtime.is_main:
        study.reporter.say("drawing the pictures")
        draw(study.out, networks)
    study.runtime.barrier()
    return bench.results(
        "physical_proxies",
        "Physical proxy tasks for liveness in unseen places: rendered faces",
        arms(),
        samples=sheets(study, settings.places),
        counted=lambda job: job.place["held_out"] == settings.places_of(job.arm)[0],
        tasks=[_shown(task) for task in first.tasks],
        headline=({"held_out": EACH, "pictures": UNSEEN},),
    )


def jobs(settings: PhysicalProxiesSettings) -> Iterator[Job]:
    """Every arm with every place held out; first the arms that have all seeds."""
    for repeated in (True, False):
        for repeat in range(settings.seeds):
            for place in settings.places:
                for arm in settings.chosen_arms:
                    if (arm in REPEATED) != repeated or place not in settings.places_of(arm):
                        continue
                    if repeat < settings.repeats(arm):
                        yield Job.at(arm, repeat, held_out=place)


def means(runs: Iterable[Run]) -> Iterator[Run]:
    """Of each arm, seed and kind of pictures, a run that is the mean over the places held out: the main table's.

    An arm without some of the places has none: its mean would be over others.
    """
    together: dict[tuple[str, int, str], list[Run]] = {}
    for run in runs:
        together.setdefault((run.method, run.repeat, str(run.point["pictures"])), []).append(run)
    most = max(map(len, together.values()), default=0)
    for (arm, repeat, pictures), places in together.items():
        if len(places) < most:
            continue
        metrics, validation = (_mean([getattr(run, split) for run in places]) for split in ("metrics", "validation"))
        yield Run(arm, repeat, metrics, {"held_out": EACH, "pictures": pictures}, validation)


def _mean(places: Sequence[Metrics]) -> Metrics:
    """Of what every place has."""
    return {
        task: {
            name: fmean(place[task][name] for place in places)
            for name in metrics
            if all(name in place.get(task, {}) for place in places)
        }
        for task, metrics in places[0].items()
    }


def _shown(task: Task) -> TaskInfo:
    """A task with the metrics that the study measures of it."""
    info = TaskInfo.of(task)
    further = {LIVENESS: (HTER, "APCER", "BPCER", "ACER"), "depth": (LIVE_DEPTH, CONSTANT)}
    return replace(info, metrics=(info.metric, *further.get(task.name, ())))
