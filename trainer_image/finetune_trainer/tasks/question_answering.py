"""QuestionAnswering: a question, where given the text that it is about, and its answer."""

from collections.abc import Sequence

from finetune_trainer import recipe
from finetune_trainer.data.formats import Record, Role, Turn
from finetune_trainer.tasks.answer import AnswerTask, one_question


class QuestionAnsweringTask(AnswerTask):
    """The context comes before the question, a blank line between them."""

    def turns(self, record: Record) -> Sequence[Turn]:
        if record.turns:
            return one_question(record, recipe.Task.QUESTION_ANSWERING)
        columns = record.columns
        asked = "\n\n".join(part for part in (columns.context, columns.question) if part)
        return Turn(Role.USER, asked), Turn(Role.ASSISTANT, answers(record)[0])


def answers(record: Record) -> tuple[str, ...]:
    """Every answer that is right, the one to learn first."""
    if record.turns:
        return (record.turns[-1].content,)
    given = record.columns.answer
    return (given,) if isinstance(given, str) else given
