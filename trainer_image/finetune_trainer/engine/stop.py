"""SIGTERM: at once where nothing would be lost, after a checkpoint while training."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from finetune_trainer.errors import PreemptedError


class StopRequest:
    """Whether this process was asked to stop."""

    def __init__(self) -> None:
        self.requested = False
        self.agreed = False
        """All processes know that one of them was asked, and stop after the same step."""
        self._deferred = False
        self._step = 0

    def listen(self) -> None:
        """Handle SIGTERM from now on."""
        signal.signal(signal.SIGTERM, self._handle)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """While training: the signal only sets `requested`."""
        self._deferred = True
        try:
            yield
        finally:
            self._deferred = False

    def checkpoint_saved(self, step: int) -> None:
        """Remember from where the next attempt goes on."""
        self._step = step

    def preempted(self) -> PreemptedError:
        """The end to raise."""
        return PreemptedError(
            f"stopped by SIGTERM; the next attempt goes on from step {self._step}", self._step
        )

    def _handle(self, _signal: int, _frame: FrameType | None) -> None:
        first, self.requested = not self.requested, True
        if first and not self._deferred:
            raise self.preempted()
