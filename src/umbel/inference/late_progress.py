"""Progress that is told only when it takes long."""

import time

from umbel.engine.progress import Reporter

_QUIET_SECONDS = 2.0


class LateProgress:
    """Tells a reporter how far the predictions are, once they have taken two seconds.

    Args:
        reporter: Hears it.
        count: How many steps there will be.
    """

    def __init__(self, reporter: Reporter, count: int) -> None:
        self._reporter = reporter
        self._count = count
        self._began = time.monotonic()
        self._told = False
        self._done = 0

    def at(self, done: int) -> None:
        """So many steps are over."""
        if not self._told and time.monotonic() - self._began > _QUIET_SECONDS:
            self._told = True
            self._reporter.begin("predicting", max(self._count, done), self._done)
        self._done = done
        if self._told:
            self._reporter.step(done, {})

    def end(self) -> None:
        """All is done."""
        if self._told:
            self._reporter.end()
