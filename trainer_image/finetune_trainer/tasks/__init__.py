"""What the model is taught to say, a file each.

Adding a task: a file with `encoder(tokenizer, max_length)`, a line here, its formats in rules.py.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from finetune_trainer.data.examples import Example
from finetune_trainer.data.formats import Record
from finetune_trainer.recipe import Task
from finetune_trainer.tasks import chat, completion, instruction

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Encoder = Callable[[Record], list[Example]]
"""From a record to its examples; raises DataError about the record, without its place."""

TASKS: dict[Task, Callable[["PreTrainedTokenizerBase", int], Encoder]] = {
    Task.CHAT: chat.encoder,
    Task.INSTRUCTION: instruction.encoder,
    Task.COMPLETION: completion.encoder,
}
"""Each may complete the tokenizer (which is published with the result) and returns the encoder."""
