"""Only the newest attempt may commit to the volume.

A node that was given up for lost may still run an old attempt on the same volume. The file `fence`
holds the number of the newest attempt; an older one that sees it stops.
"""

from dataclasses import dataclass
from pathlib import Path

from finetune_trainer.errors import SupersededError
from finetune_trainer.workspace import write_durably


@dataclass(frozen=True)
class Fence:
    """The fence as one attempt sees it."""

    path: Path
    attempt: int

    def take(self) -> None:
        """Claim the volume for this attempt.

        Raises:
            SupersededError: a later attempt has claimed it.
        """
        self.hold()
        write_durably(self.path, str(self.attempt).encode())

    def hold(self) -> None:
        """Call before every commit.

        Raises:
            SupersededError: a later attempt has claimed the volume.
        """
        try:
            newest = int(self.path.read_text())
        except FileNotFoundError:
            return
        if newest > self.attempt:
            raise SupersededError(
                f"attempt {newest} has taken over; attempt {self.attempt} stops and commits nothing"
            )
