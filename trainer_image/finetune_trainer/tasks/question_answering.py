"""QuestionAnswering: a question, where given the text that it is about, and its answer."""

from collections.abc import Sequence

from finetune_trainer.data.formats import Record, Role, Turn
from finetune_trainer.recipe import Recipe
from finetune_trainer.tasks.answer import AnswerTask, one_question, several


class QuestionAnsweringTask(AnswerTask):
    """The context comes before the question, a blank line between them."""

    def turns(self, record: Record, recipe: Recipe) -> Sequence[Turn]:
        if record.turns:
            return one_question(record, recipe.task)
        columns = record.columns
        asked = "\n\n".join(part for part in (columns.context, columns.question) if part)
        return Turn(Role.USER, asked), Turn(Role.ASSISTANT, self.right(record)[0])

    def right(self, record: Record) -> tuple[str, ...]:
        return super().right(record) if record.turns else several(record.columns.answer)
