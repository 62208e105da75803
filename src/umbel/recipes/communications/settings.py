"""Settings that the studies of communications share. Free of torch, so that the command's help stays quick."""

from dataclasses import dataclass

from umbel.arguments import check_numbers
from umbel.errors import UmbelError
from umbel.recipes.settings import numbers


@dataclass(frozen=True)
class LinkSettings:
    """Between transmitter and receivers."""

    channels: str = "awgn/rayleigh"
    """Channels, each with networks of its own, with / between; "rician:k_factor=10" gives options."""
    train_snr_db: str = "0/10"
    """SNR in training: lowest/highest, drawn anew for each step; or one number."""
    test_snr_db: str = "-5/0/5/10/15"
    """SNRs of the evaluation, with / between."""
    draws: int = 5
    """Noise and fading draws for each test sample."""

    def __post_init__(self) -> None:
        check_numbers(self)
        if self.draws < 1:
            raise UmbelError(f"draws is {self.draws}; each sample must be sent at least once")
        if not self.channel_names:
            raise UmbelError("--channels names none; for example awgn/rayleigh")
        low, high = self.train_range
        if low > high:
            raise UmbelError(f"--train-snr-db {self.train_snr_db}: the lowest comes first")
        numbers(self.test_snr_db, "--test-snr-db")

    @property
    def channel_names(self) -> list[str]:
        """The channels, as they are written."""
        return [part.strip() for part in self.channels.split("/") if part.strip()]

    @property
    def train_range(self) -> tuple[float, float]:
        """Lowest and highest SNR in training, in dB."""
        values = numbers(self.train_snr_db, "--train-snr-db")
        if len(values) > 2:
            raise UmbelError(f"--train-snr-db {self.train_snr_db}: give lowest/highest, or one number")
        return values[0], values[-1]

    @property
    def test_values(self) -> list[float]:
        """The SNRs of the evaluation, in dB, rising."""
        return sorted(set(numbers(self.test_snr_db, "--test-snr-db")))


def whole_numbers(text: str, flag: str) -> list[int]:
    """The whole numbers from 1 on in "a/b/c": channel uses, usually.

    Raises:
        UmbelError: None, or one that is not a whole number of at least 1.
    """
    values = numbers(text, flag)
    for value in values:
        if value < 1 or value != int(value):
            raise UmbelError(f"{flag} {text}: {value:g} is no number of channel uses; every part needs at least 1")
    return [int(value) for value in values]
