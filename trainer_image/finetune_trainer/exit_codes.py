"""How a container of the trainer image ends: the exit codes and their reasons.

The operator reads these codes from pods and writes them into podFailurePolicy rules,
so a number, once released, never changes its meaning.
"""

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of every command; any other non-zero code is a failure like any program's."""

    OK = 0
    CONFIGURATION_ERROR = 10
    """The recipe cannot work; the same recipe fails again."""
    DATA_ERROR = 11
    """The data cannot be used; the same data fails again."""
    OUT_OF_MEMORY = 12
    """Memory of the container or of the GPU ran out; the message says what to lower."""
    PREEMPTED = 13
    """SIGTERM arrived and a checkpoint was saved; the next attempt goes on from it."""
    DIVERGED = 14
    """The loss became NaN or infinite."""
    SUPERSEDED = 15
    """A later attempt owns the volume; this one wrote nothing more."""
    PEER_LOST = 16
    """Another process of the same attempt went away; how that one ended decides."""
    UNAVAILABLE = 17
    """Something outside (network, registry, hub, disk space) is missing for now; try again."""
    CREDENTIALS_REFUSED = 18
    """A hub or registry answered 401 or 403."""

    @property
    def reason(self) -> str:
        """The CamelCase name used in termination messages, conditions and events."""
        return "".join(word.capitalize() for word in self.name.split("_"))


TERMINAL = frozenset(
    {
        ExitCode.CONFIGURATION_ERROR,
        ExitCode.DATA_ERROR,
        ExitCode.OUT_OF_MEMORY,
        ExitCode.DIVERGED,
        ExitCode.CREDENTIALS_REFUSED,
    }
)
"""Another attempt cannot help: the user has to change something first."""

FREE = frozenset({ExitCode.PREEMPTED, ExitCode.SUPERSEDED})
"""Another attempt follows and nothing is counted against restarts.limit."""
