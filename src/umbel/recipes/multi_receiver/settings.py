"""Settings of the study of several receivers. Free of torch, so that the command's help stays quick."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from umbel.arguments import check_numbers
from umbel.engine.settings import FitSettings
from umbel.errors import UmbelError
from umbel.recipes.communications.settings import LinkSettings, numbers, whole_numbers
from umbel.recipes.settings import DataSettings, check_seeds, names

FIT = FitSettings(steps=500, learning_rate=2e-3, clip_norm=1.0, monitor="loss", validate_every=125, tensorboard=False)
"""How each network of the full study is trained."""


@dataclass(frozen=True)
class MultiReceiverSettings:
    """One transmission for several receivers, against one transmission for each."""

    data: DataSettings = field(default_factory=lambda: DataSettings(data="mnist", train_size=10_000))
    encoder: str = "conv"
    """Encoder of every network; `umbel list` shows them."""
    encoder_options: str = "widths=8/16/32"
    """Options of the encoder: "widths=16/32/64,norm=group"."""
    pairs: str = "parity/large,digit/parity"
    """Tasks that share a transmission, one receiver each, with / between; several such groups with commas between."""
    uses: str = "2/4/8/16"
    """Channel uses of the shared transmission, with / between; each a multiple of the number of receivers."""
    sweep_uses: int = 4
    """Uses at which weights are swept, transmitters are reused and SNRs are unequal; one of --uses."""
    sweep_weights: str = "0.1/0.3/0.5/0.7/0.9"
    """Weights of the first task (the others share the rest), on the first channel; "" leaves the sweep out."""
    unequal_snr_db: str = "3/10"
    """SNR of the first receiver/of all others, for a network trained for that; "" leaves it out."""
    link: LinkSettings = field(default_factory=LinkSettings)
    digital: bool = True
    """Compare with digital links too: the label that the transmitter classified, and the coded picture."""
    digital_uses: str = "49/98/196"
    """Channel uses at which the coded picture is sent; a few are too few for any file."""
    digital_pictures: int = 500
    """Test pictures that are coded, at most."""
    seeds: int = 3
    """Repetitions, with seeds 0, 1, 2, ..."""
    descent: str = "equal"
    """How the receivers' conflicts are settled; `umbel list` shows the choices."""
    fit: FitSettings = FIT

    def __post_init__(self) -> None:
        check_numbers(self)
        check_seeds(self.seeds, self.fit.seed)
        if self.digital_pictures < 1:
            raise UmbelError(f"digital_pictures is {self.digital_pictures}; at least 1 is needed")
        if self.sweep_uses not in self.use_values:
            raise UmbelError(f"--sweep-uses {self.sweep_uses} is not among --uses {self.uses}")
        _ = self.digital_values
        _check_groups(self.groups, self.pairs, self.use_values)
        for weight in self.weight_values:
            if not 0 < weight < 1:
                raise UmbelError(f"--sweep-weights {self.sweep_weights}: {weight:g} is not between 0 and 1")
        if self.unequal_snr_db and len(numbers(self.unequal_snr_db, "--unequal-snr-db")) != 2:
            raise UmbelError(f"--unequal-snr-db {self.unequal_snr_db}: give the first receiver's/that of all others")

    @property
    def groups(self) -> list[tuple[str, ...]]:
        """The names of the tasks of each group."""
        return [tuple(part.strip() for part in group.split("/") if part.strip()) for group in names(self.pairs)]

    @property
    def use_values(self) -> list[int]:
        """Channel uses of the shared transmission, rising."""
        return sorted(set(whole_numbers(self.uses, "--uses")))

    @property
    def single_uses(self) -> dict[str, list[int]]:
        """Task -> uses of its single-task networks: those of the shared transmission, and their even shares."""
        uses_of: dict[str, set[int]] = {}
        for group in self.groups:
            for task in group:
                shares = {uses // len(group) for uses in self.use_values}
                uses_of[task] = uses_of.get(task, set()) | shares | set(self.use_values)
        return {task: sorted(uses) for task, uses in uses_of.items()}

    @property
    def digital_values(self) -> list[int]:
        """Channel uses of the coded picture, rising."""
        return sorted(set(whole_numbers(self.digital_uses, "--digital-uses")))

    @property
    def weight_values(self) -> list[float]:
        """Swept weights of the first task, rising."""
        return sorted(set(numbers(self.sweep_weights, "--sweep-weights"))) if self.sweep_weights else []

    @property
    def unequal_values(self) -> tuple[float, float] | None:
        """SNR of the first receiver and of all others, in dB."""
        if not self.unequal_snr_db:
            return None
        first, others = numbers(self.unequal_snr_db, "--unequal-snr-db")
        return first, others

    def unequal_of(self, group: Sequence[str]) -> dict[str, float]:
        """Receiver -> its SNR in dB, where they differ; empty where that is left out."""
        if self.unequal_values is None:
            return {}
        first, others = self.unequal_values
        return {name: others if index else first for index, name in enumerate(group)}

    def unequal_ranges(self, group: Sequence[str]) -> dict[str, tuple[float, float]]:
        """Receiver -> range of its SNR in training: from the training range's nearer end to its own SNR."""
        low, high = self.link.train_range
        return {
            name: (min(low, snr), snr) if snr <= (low + high) / 2 else (snr, max(high, snr))
            for name, snr in self.unequal_of(group).items()
        }

    @property
    def swept(self) -> tuple[str, int]:
        """Channel and uses at which weights are swept."""
        return self.link.channel_names[0], self.sweep_uses

    @property
    def middle_snr_db(self) -> float:
        """The test SNR at which claims and the main table are read: the middle one."""
        values = self.link.test_values
        return values[(len(values) - 1) // 2]


def _check_groups(groups: list[tuple[str, ...]], text: str, uses: list[int]) -> None:
    if not groups:
        raise UmbelError('--pairs names no tasks; for example "parity/large"')
    if len(set(groups)) < len(groups):
        raise UmbelError(f"--pairs {text}: a group is named twice")
    for group in groups:
        if len(group) < 2:
            raise UmbelError(f"--pairs {text}: {'/'.join(group)!r} is one task only; two receivers want a task each")
        if len(set(group)) < len(group):
            raise UmbelError(f"--pairs {text}: a task is twice in {'/'.join(group)!r}")
        for count in uses:
            if count % len(group):
                raise UmbelError(
                    f"--uses {count} cannot be shared evenly by the {len(group)} transmissions of single tasks in "
                    f"{'/'.join(group)!r}; use a multiple of {len(group)}"
                )


QUICK = MultiReceiverSettings(
    data=DataSettings(data="digits"),
    pairs="parity/loops,digit/parity",
    uses="2/4/8",
    sweep_weights="0.1/0.5/0.9",
    link=LinkSettings(draws=10),
    digital_uses="128/256",
    digital_pictures=120,
    seeds=1,
    fit=replace(FIT, steps=180, learning_rate=3e-3, validate_every=60),
)
"""The embedded digits, one seed."""
