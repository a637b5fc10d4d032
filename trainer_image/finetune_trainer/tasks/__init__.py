"""What the model is taught, a file each.

Adding a task: a file with the members of `Task`, a line here, one in heads.py, and in rules.py its
formats and metrics.
"""

from finetune_trainer import recipe
from finetune_trainer.tasks.chat import ChatTask
from finetune_trainer.tasks.completion import CompletionTask
from finetune_trainer.tasks.instruction import InstructionTask
from finetune_trainer.tasks.question_answering import QuestionAnsweringTask
from finetune_trainer.tasks.task import Encoder, Row, Task

__all__ = ["TASKS", "Encoder", "Row", "Task"]

TASKS: dict[recipe.Task, Task] = {
    recipe.Task.CHAT: ChatTask(),
    recipe.Task.INSTRUCTION: InstructionTask(),
    recipe.Task.COMPLETION: CompletionTask(),
    recipe.Task.QUESTION_ANSWERING: QuestionAnsweringTask(),
}
