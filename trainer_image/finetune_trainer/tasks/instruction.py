"""Instruction: an instruction and its answer."""

from collections.abc import Sequence

from finetune_trainer.data.formats import Record, Turn
from finetune_trainer.recipe import Recipe
from finetune_trainer.tasks.answer import AnswerTask, one_question


class InstructionTask(AnswerTask):
    """A system message before them is allowed."""

    def turns(self, record: Record, recipe: Recipe) -> Sequence[Turn]:
        return one_question(record, recipe.task)
