"""What is trained for each arm of the study, and what is measured of it."""

from collections.abc import Iterator
from functools import partial
from typing import Any

from umbel.core import Descent, Learner, Task
from umbel.data import MultiTaskData
from umbel.data.rendered_faces import ATTRIBUTES
from umbel.descent import make_descent
from umbel.methods.physical_proxies import physical_proxies
from umbel.methods.physical_proxies_rivals import central_difference, single_side
from umbel.nn import build_model
from umbel.recipes.build import describe, with_options
from umbel.recipes.liveness import keep_liveness
from umbel.recipes.physical_proxies.measuring import Judge
from umbel.recipes.physical_proxies.places import Places
from umbel.recipes.physical_proxies.settings import (
    AUXILIARY,
    BINARY,
    BINARY_CHANGED,
    CENTRAL,
    CHANGED,
    DEPTH,
    DOMAINS,
    LEARNT,
    LIVENESS,
    MATERIAL,
    MINED,
    NO_ATTENTION,
    NO_MINING,
    NO_REGULARISER,
    OURS,
    PROXIES,
    REFLECTION,
    SIGMOID,
    SINGLE_SIDE,
    SOFTMAX,
    TEXTURE,
    PhysicalProxiesSettings,
)
from umbel.recipes.physical_proxies.texture import TextureClassifier
from umbel.recipes.settings import TrainedModelSettings
from umbel.report import Profile
from umbel.study import Bench, Job, Measurement, Trained, Training

_PROXIES = {
    DEPTH: ("depth",),
    REFLECTION: ("reflection",),
    MATERIAL: ("material",),
    BINARY: (),
    MINED: (),
    BINARY_CHANGED: (),
}
"""Arm -> its proxies, where it has not all three."""


class Networks:
    """Makes and measures the networks of the study.

    Args:
        settings: Of the study.
        places: Its pictures.

    Attributes:
        bench: Set by the study before anything is made.
    """

    bench: Bench[PhysicalProxiesSettings]

    def __init__(self, settings: PhysicalProxiesSettings, places: Places) -> None:
        self.settings, self.places = settings, places

    # -- training ----------------------------------------------------------------------------------------------------

    def make(self, job: Job) -> Any:
        """How what a job gives comes to be: a training, or a function for what has no training loop."""
        data = self.data(job)
        if job.arm == TEXTURE:
            return partial(TextureClassifier.fitted, data)
        learner = with_options(self.settings.encoder_options, partial(self._learner, job, data))
        described = self._described(job, data) if job.arm == OURS else None
        return Training(learner, self._descent(job.arm, learner.tasks), data=data, describe=described)

    def data(self, job: Job) -> MultiTaskData:
        """What a job's network learns from: the tasks that its arm has."""
        names = (LIVENESS, *_proxies(job.arm))
        changed = job.arm in (CHANGED, BINARY_CHANGED)
        return self.places.seen(job.place["held_out"], job.repeat, changed).only(names)

    def _described(self, job: Job, data: MultiTaskData) -> dict[str, object]:
        """What makes a network of ours one that `umbel predict` opens."""
        settings = self.settings
        more = f"branch={settings.branch},kl={settings.kl!r}"
        model = TrainedModelSettings(
            encoder=settings.encoder,
            encoder_options=f"{settings.encoder_options},{more}" if settings.encoder_options else more,
            hidden=settings.hidden,
            proxies=",".join(PROXIES),
            mining=settings.mining,
            attributes=",".join(ATTRIBUTES) if settings.mining else "",
        )
        where = self.places.data_settings(job.place["held_out"], job.repeat)
        return describe(where, model, data, job.repeat, maps=True)

    def _descent(self, arm: str, tasks: tuple[Task, ...]) -> Descent:
        """The weighted sum of the losses, or weights that are learnt beside the network."""
        if arm == LEARNT:
            return make_descent("uncertainty")
        settings = self.settings
        weights = {
            LIVENESS: 1.0,
            "depth": settings.depth_weight,
            "reflection": settings.reflection_weight,
            "material": settings.material_weight,
        }
        return make_descent("equal", weights={task.name: weights[task.name] for task in tasks})

    def _learner(self, job: Job, data: MultiTaskData, **options: Any) -> Learner:
        """A fresh network; the same seed gives every arm the same encoder, but that of central differences."""
        settings, arm = self.settings, job.arm
        shape, tasks, seed = data.input_shape, data.tasks, job.repeat
        options |= {"hidden": settings.hidden, "keep_maps": True}
        if arm == CENTRAL:
            return central_difference(shape, tasks, main=LIVENESS, depth="depth", seed=seed, **options)
        network = shape, tasks, settings.encoder or None
        if arm == AUXILIARY:
            return Learner(build_model(*network, seed=seed, vector_head="conv", **options), tasks)
        if arm == SINGLE_SIDE:
            weights = {"triplet": settings.triplet, "adversary": settings.adversary}
            return single_side(*network, main=LIVENESS, domains=len(DOMAINS), seed=seed, **weights, **options)
        mining = 0.0 if arm in (BINARY, BINARY_CHANGED, NO_MINING) else settings.mining
        return physical_proxies(
            *network,
            main=LIVENESS,
            proxies=_proxies(arm),
            attention=_ATTENTIONS.get(arm, "gaussian"),
            kl=0.0 if arm == NO_REGULARISER else settings.kl,
            mining=mining,
            attributes=ATTRIBUTES if mining else (),
            branch=settings.branch,
            seed=seed,
            **options,
        )

    # -- measurements ------------------------------------------------------------------------------------------------

    def measure(self, trained: Trained) -> Iterator[Measurement | Profile]:
        """Errors on all kinds of test pictures, with the threshold of validation."""
        judge = Judge(trained, self.data(trained.job), self.places)
        yield from judge.measurements()
        if trained.job.arm in (OURS, BINARY):
            yield from judge.curves()
        if trained.job.arm == OURS:
            keep_liveness(self.bench.study.folder(trained.job.key), trained.model, trained.data, trained.runtime)


_ATTENTIONS = {
    BINARY: "none",
    BINARY_CHANGED: "none",
    MINED: "none",
    NO_ATTENTION: "none",
    SIGMOID: "sigmoid",
    SOFTMAX: "softmax",
}


def _proxies(arm: str) -> tuple[str, ...]:
    if arm == CENTRAL:
        return ("depth",)
    return () if arm in (SINGLE_SIDE, TEXTURE) else _PROXIES.get(arm, PROXIES)
