"""`python -m finetune_trainer COMMAND` on this machine: start it, stop it, hear how it ended."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

from pydantic import ValidationError

from finetune_trainer.exit_codes import ExitCode
from finetune_trainer.manifest import Failure

_OFFLINE = {"HF_HUB_OFFLINE": "1"}
_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class TrainerFailed(Exception):  # noqa: N818 - how it ended, not a mistake of ours
    """The command ended with anything but 0."""

    def __init__(self, exit_code: int, failure: Failure) -> None:
        self.exit_code = exit_code
        self.failure = failure
        super().__init__(failure.message)


class TrainerProcess:
    """One command of the trainer. What it says is appended to a log, its last words come back.

    Its output is not its result: libraries write there too.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        log: Path,
        scratch: Path,
        environment: Mapping[str, str] | None = None,
        online: bool = False,
    ) -> None:
        self._command = arguments[0]
        self._log = log
        self._last_words = scratch / f"{arguments[0]}.json"
        self._last_words.unlink(missing_ok=True)
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "finetune_trainer", *arguments],
                stdout=output,
                stderr=subprocess.STDOUT,
                # A session of its own: a terminal's Ctrl-C reaches us, and we say what it means.
                start_new_session=True,
                env={
                    **os.environ,
                    **({} if online else _OFFLINE),
                    **(environment or {}),
                    "FINETUNE_TERMINATION_LOG": str(self._last_words),
                },
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing outlives us, whatever went wrong here."""
        if self.running:
            self.kill()
            self._process.wait()

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def stop(self) -> None:
        """Ask for a checkpoint and the end."""
        if self.running:
            self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the command and all that it has started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def result(self) -> bytes:
        """Wait for the end; returns its termination message, which is one JSON object.

        Raises:
            TrainerFailed: with the trainer's own words, or where its log lies.
        """
        code = self._process.wait()
        if code == ExitCode.OK:
            return self._last_words.read_bytes()
        try:
            raise TrainerFailed(code, Failure.model_validate_json(self._last_words.read_bytes()))
        except (OSError, ValidationError):
            said = f"{self._command} ended with {code} and no message; its log is {self._log}"
            raise TrainerFailed(code, Failure(reason="Error", message=said)) from None


@contextlib.contextmanager
def stopped_by_signals(process: TrainerProcess) -> Iterator[threading.Event]:
    """The first Ctrl-C (or SIGTERM, SIGHUP) asks the process to stop, the second kills it.

    The event is set once it was asked.
    """
    asked = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:
        if asked.is_set():
            process.kill()
        asked.set()
        process.stop()

    before = {number: signal.signal(number, handle) for number in _STOPPING}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
