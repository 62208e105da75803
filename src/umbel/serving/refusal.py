"""What a request gets that cannot be answered."""

from umbel.errors import UmbelError


class Refusal(UmbelError):
    """A request that is not answered, and why.

    Args:
        status: Of HTTP: 413 too large, 415 of a kind that the run does not take, 422 content that does not fit.
        sentence: For the client; names nothing of this machine.
    """

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
