"""Settings of an audit."""

import dataclasses
from dataclasses import dataclass, field
from typing import Literal

from umbel.arguments import check_numbers, one_of
from umbel.audit.settings import ATTACKER_NAMES
from umbel.errors import UmbelError
from umbel.recipes.settings import MOST_SEEDS, DataSettings, names

LEAST_NETWORKS = 4
"""Of an attack on the membership of training samples."""


@dataclass(frozen=True)
class EncoderSettings:
    """An encoder of your own, instead of a run."""

    encoder: str = ""
    """What makes it: package.module:function, as torchvision.models:resnet18, or file.py:function."""
    weights: str = ""
    """Its weights: a file of safetensors, or of torch.save with nothing but a state dict; unset: as it is made."""
    layer: str = ""
    """Inner module whose output is released, as "avgpool"; unset: what the encoder gives."""
    serves: str = ""
    """Tasks that its features are meant for, with commas between; unset: none."""
    resize: str = ""
    """Size of the pictures that the encoder gets, as 224 or 96x160; unset: as the data has them."""
    normalise: Literal["none", "imagenet"] = "none"
    """How pictures from 0 to 1 are normalised for the encoder."""

    @property
    def size(self) -> tuple[int, int] | None:
        """Height and width of what the encoder gets; None for those of the data.

        Raises:
            UmbelError: Neither one number nor two.
        """
        parts = self.resize.lower().split("x") if self.resize else []
        if any(not part.strip().isdecimal() or not 0 < int(part) <= 10_000 for part in parts) or len(parts) > 2:
            raise UmbelError(f"--resize {self.resize}: give pixels as 224, or height and width as 96x160")
        return (int(parts[0]), int(parts[-1])) if parts else None


@dataclass(frozen=True)
class AttackFlags:
    """At which operating points a network is attacked, and how hard."""

    point: str = ""
    """Operating point: "name=value,name=value"; widths of a controllable network as in `umbel search`; unset: the
    network's first."""
    sigma: str = ""
    """Noise levels of a network that releases features with noise, with commas between: 0,1,2.16."""
    epsilon: str = ""
    """Noise levels by what they guarantee: epsilons of one release of all features together (replace-one neighbours),
    with commas between: 1,4."""
    releases: str = "1"
    """How many releases of the same input attackers average, with commas between: 1,10."""
    seeds: int = 3
    """Repetitions of every attacker, with seeds 0, 1, 2, ..."""
    effort: Literal["quick", "full"] = "full"
    """How hard attackers try: quick for a first look."""
    attackers: str = ""
    """Only these attackers, with commas between: linear, neighbours, trees, mlp, convolutional; unset: all that fit."""
    most: int = 20_000
    """Training samples at most, drawn at random; of validation and test a third of it each."""
    delta: float | None = None
    """Delta of the guarantee of features that are clipped and noisy; unset: 1e-5 where there is one."""
    membership: int = 0
    """Also train so many networks as the run was trained, on halves of its data, to tell members from others."""
    no_reconstruction: bool = False
    """Leave out the attacks that rebuild the input."""

    def __post_init__(self) -> None:
        check_numbers(self, {"seeds": 1, "most": 10})
        if self.seeds > MOST_SEEDS:
            raise UmbelError(f"seeds is {self.seeds}; give at most {MOST_SEEDS}")
        if 0 < self.membership < LEAST_NETWORKS:
            raise UmbelError(f"membership is {self.membership}; at least {LEAST_NETWORKS} networks are needed, or 0")
        if self.delta is not None and not 0 < self.delta < 1:
            raise UmbelError(f"delta is {self.delta:g}; give a number above 0 and below 1, as 1e-5")
        _ = self.sigmas, self.epsilons, self.counts, self.tried  # refuse what they cannot read

    @property
    def sigmas(self) -> tuple[float, ...]:
        """Noise levels; none where the point's own is taken.

        Raises:
            UmbelError: One is no number of 0 or more.
        """
        return tuple(_number(part, "--sigma", self.sigma, float) for part in names(self.sigma))

    @property
    def epsilons(self) -> tuple[float, ...]:
        """Guarantees that are asked for.

        Raises:
            UmbelError: One is no number of 0 or more.
        """
        return tuple(_number(part, "--epsilon", self.epsilon, float) for part in names(self.epsilon))

    @property
    def tried(self) -> tuple[str, ...]:
        """The attackers.

        Raises:
            UmbelError: There is none of that name.
        """
        for name in names(self.attackers):
            one_of(name, "attacker", ATTACKER_NAMES)
        return names(self.attackers) or ATTACKER_NAMES

    @property
    def counts(self) -> tuple[int, ...]:
        """Numbers of releases that are averaged.

        Raises:
            UmbelError: One is no whole number of 1 or more, or there is none.
        """
        counts = tuple(int(_number(part, "--releases", self.releases, int)) for part in names(self.releases))
        if not counts or min(counts) < 1:
            raise UmbelError(f"--releases {self.releases!r}: give whole numbers, at least 1, as 1,10")
        return tuple(dict.fromkeys(counts))


@dataclass(frozen=True)
class AuditSettings(AttackFlags):
    """What is audited, at which operating points, and how hard."""

    run: str = ""
    """Checkpoint or folder of a training; of a study, that of one of its networks."""
    own: EncoderSettings = field(default_factory=EncoderSettings)
    data: DataSettings = field(default_factory=lambda: DataSettings(data=""))

    def check_subject(self) -> None:
        """Refuse settings that name nothing to audit, two things, or what changes nothing.

        Raises:
            UmbelError: As said.
        """
        own = self.own.encoder
        if bool(self.run) == bool(own):
            both = "names a run and an encoder; give one of them" if own else "needs the folder of a training"
            raise UmbelError(f"umbel audit {both}, as `umbel audit runs/train-digits`, or --encoder module:function")
        if self.run:
            for entry in dataclasses.fields(EncoderSettings):
                if getattr(self.own, entry.name) != entry.default:
                    raise UmbelError(f"--{entry.name} is for an encoder of your own (--encoder); a run says it itself")
            usual = DataSettings(data="", tasks=self.data.tasks)
            for entry in dataclasses.fields(DataSettings):
                if getattr(self.data, entry.name) != getattr(usual, entry.name):
                    flag = entry.name.replace("_", "-")
                    raise UmbelError(f"--{flag} is for an encoder of your own (--encoder); a run knows its data")
        elif not self.data.data:
            raise UmbelError("say which data the encoder is audited on with --data, as --data digits")

    @property
    def wanted(self) -> tuple[str, ...]:
        """The tasks that are inferred; none stands for all."""
        return names(self.data.tasks)


def _number(part: str, flag: str, text: str, kind: type) -> float:
    try:
        value = kind(part)
    except ValueError:
        value = -1
    if not 0 <= value < 1e9:
        raise UmbelError(f"{flag} {text}: {part!r} is no {'whole ' if kind is int else ''}number of 0 or more")
    return value
