"""The last words of a container: one JSON object where the kubelet looks for it."""

import os
from pathlib import Path

from finetune_trainer.errors import TrainerError
from finetune_trainer.frozen import Frozen
from finetune_trainer.manifest import TERMINATION_MESSAGE_LIMIT, Failure

PATH_VARIABLE = "FINETUNE_TERMINATION_LOG"
DEFAULT_PATH = "/dev/termination-log"


def failure(error: TrainerError) -> Failure:
    """The message of a failed command."""
    return Failure(reason=error.reason, message=str(error), step=error.step)


def write_termination_message(message: Frozen) -> None:
    """Write the message; without a kubelet (no such file) it is only printed by the caller."""
    path = Path(os.environ.get(PATH_VARIABLE, DEFAULT_PATH))
    if PATH_VARIABLE in os.environ or path.exists():
        path.write_text(fit(message), encoding="utf-8")


def fit(message: Frozen) -> str:
    """The message as JSON of at most 4096 bytes: a long failure text is cut in its middle."""
    text = message.model_dump_json(exclude_none=True)
    if not isinstance(message, Failure):
        return text
    kept = len(message.message)
    while len(text.encode()) > TERMINATION_MESSAGE_LIMIT:
        kept = kept * 3 // 4
        cut = message.message[: kept // 2] + " … " + message.message[-(kept - kept // 2) :]
        text = message.model_copy(update={"message": cut}).model_dump_json(exclude_none=True)
    return text
