"""The ways a command may fail, one exception for each exit code.

The message of each reaches the user unchanged, so it says what was wrong, where, and what to do.
"""

from finetune_trainer.exit_codes import ExitCode


class TrainerError(Exception):
    """An end that has an exit code of its own; raise one of the subclasses."""

    exit_code: int
    step: int | None = None
    """The optimizer step of the newest checkpoint, where it matters."""

    @property
    def reason(self) -> str:
        """CamelCase, for termination messages, conditions and events."""
        return ExitCode(self.exit_code).reason


class ConfigurationError(TrainerError):
    """The recipe asks for what cannot work."""

    exit_code = ExitCode.CONFIGURATION_ERROR


class DataError(TrainerError):
    """The data cannot be used; names file and line where there is one."""

    exit_code = ExitCode.DATA_ERROR


class OutOfMemoryError(TrainerError):
    """Memory ran out; says what to lower."""

    exit_code = ExitCode.OUT_OF_MEMORY


class PreemptedError(TrainerError):
    """SIGTERM arrived; the next attempt goes on from `step`, if it is known."""

    exit_code = ExitCode.PREEMPTED

    def __init__(self, message: str, step: int | None = None) -> None:
        super().__init__(message)
        self.step = step


class DivergedError(TrainerError):
    """The loss became NaN or infinite."""

    exit_code = ExitCode.DIVERGED


class SupersededError(TrainerError):
    """A later attempt owns the volume."""

    exit_code = ExitCode.SUPERSEDED


class PeerLostError(TrainerError):
    """Another process of the same attempt went away."""

    exit_code = ExitCode.PEER_LOST


class UnavailableError(TrainerError):
    """Something outside the container is missing for now."""

    exit_code = ExitCode.UNAVAILABLE


class NoSpaceError(UnavailableError):
    """A volume is full."""


class CredentialsRefusedError(TrainerError):
    """A hub or registry answered 401 or 403."""

    exit_code = ExitCode.CREDENTIALS_REFUSED


class ProcessFailedError(TrainerError):
    """A process that we started has ended otherwise; passes on what it said."""

    def __init__(self, exit_code: int, reason: str, message: str, step: int | None = None) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.step = step
        self._reason = reason

    @property
    def reason(self) -> str:
        return self._reason
