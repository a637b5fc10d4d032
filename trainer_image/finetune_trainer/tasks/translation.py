"""Translation: a text and the same in another language."""

from collections.abc import Sequence

from finetune_trainer import recipe
from finetune_trainer.data.formats import Record, Role, Turn
from finetune_trainer.tasks.answer import AnswerTask, several


class TranslationTask(AnswerTask):
    """The prompt names the languages that the recipe names."""

    def turns(self, record: Record, recipe: recipe.Recipe) -> Sequence[Turn]:
        asked = f"{_request(recipe.translation)}\n\n{record.columns.source}"
        return Turn(Role.USER, asked), Turn(Role.ASSISTANT, self.right(record)[0])

    def right(self, record: Record) -> tuple[str, ...]:
        return several(record.columns.target)


def _request(languages: recipe.Translation) -> str:
    source = f" from {languages.source_language}" if languages.source_language else ""
    target = f" into {languages.target_language}" if languages.target_language else ""
    return f"Translate{source}{target}:"
