"""Pictures of the study: faces of a place that the network never saw, with the maps it makes of them."""

from pathlib import Path

from umbel.core import Batch, join_batches
from umbel.data.source import first_samples
from umbel.engine import decoded_predictions
from umbel.recipes.physical_proxies.networks import Networks
from umbel.recipes.physical_proxies.places import ATTACK, UNSEEN
from umbel.recipes.physical_proxies.settings import LIVENESS, OURS, PROXIES
from umbel.report import SampleSheet, draw_samples
from umbel.study import Job, Study

_KINDS, _EACH = 4, 2


def draw(folder: Path, networks: Networks) -> None:
    """For each place, two faces of each kind there, and two masks, with what the network of repeat 0 says of them."""
    for place in networks.settings.places:
        job = Job.at(OURS, 0, held_out=place)
        learner, data = networks.bench.learner(job), networks.data(job)
        batch = _faces(networks, place)
        point, runtime = learner.sweep()[0], networks.bench.runtime
        decoded = decoded_predictions(learner, batch, runtime, point)
        draw_samples(folder / sheet_file(place), batch.inputs, data.tasks, batch.targets, decoded)


def _faces(networks: Networks, place: str) -> Batch:
    tests = dict(networks.places.tests(place, 0))
    chosen = []
    for kind in range(_KINDS):
        source = tests[UNSEEN if kind < _KINDS - 1 else ATTACK]
        samples = first_samples(source, len(source))
        chosen.append(samples[(samples.targets[LIVENESS] == kind).nonzero()[:_EACH, 0]])
    tasks = (LIVENESS, *PROXIES)
    return join_batches([Batch(one.inputs, {name: one.targets[name] for name in tasks}) for one in chosen])


def sheet_file(place: str) -> str:
    """Beside the results."""
    return f"faces-without-{place}.png"


def sheets(study: Study, places: tuple[str, ...]) -> tuple[SampleSheet, ...]:
    """The pictures beside the results."""
    alt = "faces of the place held out, live, printed and replayed, and masks of other places, with the network's maps"
    return tuple(
        SampleSheet(OURS, sheet_file(place), f"Without place {place}", alt)
        for place in places
        if (study.out / sheet_file(place)).exists()
    )
