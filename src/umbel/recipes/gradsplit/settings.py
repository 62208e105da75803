"""Settings of the gradient split study. Free of torch, so that the command's help stays quick."""

from dataclasses import dataclass, field
from typing import Literal

from umbel.arguments import check_numbers
from umbel.engine.settings import FitSettings
from umbel.errors import UmbelError
from umbel.recipes.settings import DataSettings, ModelSettings, check_seeds, names, options

CROSS = {"utkface64": "lfw64:gender", "lfw64": "utkface64:gender"}
"""Set that teaches gender -> the other set on which it is tested by default."""


@dataclass(frozen=True)
class GradSplitSettings:
    """Groups of filters that learn only from tasks that agree, against joint training and other ways."""

    data: DataSettings = field(default_factory=lambda: DataSettings(data="utkface64", resolution=32))
    model: ModelSettings = field(
        default_factory=lambda: ModelSettings(encoder="resnet", encoder_options="width=16,blocks=1/1/1")
    )
    others: str = "own,random,pcgrad,upgrad,mtan"
    """What is trained beside single-task references, joint training and the measured split, with commas between: own
    (each group its own task), random (as many entries as were measured, elsewhere), mtan (an attention for each task),
    and descents that `umbel list` shows."""
    layers: float = 0.5
    """Part of the encoder's layers that is split, the deepest ones."""
    warm_up: float = 0.2
    """Part of the training in which all groups accept all tasks while conflicts are measured."""
    every: int = 2
    """Steps between measurements."""
    look_ahead: float = 0.003
    """Length of a measured step, in lengths of a group's filters; long ones look harmful because losses are curved."""
    unsure: Literal["accept", "refuse"] = "accept"
    """What a group does with a task whose measured effect may be 0."""
    cross_set: str = "auto"
    """Test a task on another set's test split, as in lfw64:gender; auto: gender for faces, where the other set is
    found; none."""
    seeds: int = 3
    """Repetitions, with seeds 0, 1, 2, ..."""
    reference_passes: float = 1.0
    """How often a single-task reference sees each labelled sample, relative to joint training."""
    fit: FitSettings = field(default_factory=lambda: FitSettings(steps=1000, learning_rate=3e-3, tensorboard=False))

    def __post_init__(self) -> None:
        check_numbers(self)
        check_seeds(self.seeds, self.fit.seed)
        if not 0 < self.layers <= 1:
            raise UmbelError(f"layers is {self.layers}; it is a part of the encoder's layers, above 0 and at most 1")
        if not 0 < self.warm_up < 1:
            raise UmbelError(f"warm_up is {self.warm_up}; it is a part of a training, above 0 and below 1")
        if self.every < 1:
            raise UmbelError(f"every is {self.every}; at least one step lies between measurements")
        if not self.look_ahead > 0:
            raise UmbelError(f"look_ahead is {self.look_ahead}; it must be greater than 0")
        if self.reference_passes <= 0:
            raise UmbelError(f"reference_passes is {self.reference_passes}; it must be greater than 0")
        _ = self.other_set

    @property
    def beside(self) -> list[str]:
        """The arms beside the references, joint training and the measured split."""
        return [name for name in dict.fromkeys(names(self.others)) if name not in ("joint", "equal", "measured")]

    @property
    def other_set(self) -> tuple[str, str] | None:
        """The set and the task that `cross_set` names, or that are usual for the data; None for none."""
        wanted = self.cross_set
        if wanted == "auto":
            wanted = CROSS.get(self._gender_from, "none")
        if wanted == "none":
            return None
        name, colon, task = wanted.partition(":")
        if not (name and colon and task):
            raise UmbelError(f"--cross-set {wanted}: write a set and one of its tasks, as in lfw64:gender, or none")
        return name, task

    @property
    def _gender_from(self) -> str:
        """The set that teaches gender: the data itself, or a part of the mixture "faces"."""
        if self.data.data != "faces":
            return self.data.data
        return str(options(self.data.options, "--options").get("gender", "lfw64"))

    def warm_up_steps(self, steps: int) -> int:
        """Steps of the warm-up in a training of so many."""
        return max(1, round(self.warm_up * steps))


QUICK = GradSplitSettings(
    data=DataSettings(data="overlay-digits", train_size=6000, tasks="left,right,gap"),
    model=ModelSettings(encoder="conv", encoder_options="widths=16/32/64"),
    every=1,
    seeds=2,
    fit=FitSettings(steps=600, learning_rate=3e-3, tensorboard=False),
)
