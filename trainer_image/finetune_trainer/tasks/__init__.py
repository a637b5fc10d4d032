"""How a record becomes examples, a file each. Nothing here needs torch: `check` loads it.

Adding a task: a file with the members of `Task`, a line here, one in heads.py, one in objectives/
(an objective of its own where there is none yet), and in rules.py its formats and metrics.
"""

from finetune_trainer import recipe
from finetune_trainer.tasks.chat import ChatTask
from finetune_trainer.tasks.completion import CompletionTask
from finetune_trainer.tasks.extractive_question_answering import ExtractiveQuestionAnsweringTask
from finetune_trainer.tasks.instruction import InstructionTask
from finetune_trainer.tasks.preference import PreferenceTask
from finetune_trainer.tasks.question_answering import QuestionAnsweringTask
from finetune_trainer.tasks.task import Encoder, Task
from finetune_trainer.tasks.text_classification import TextClassificationTask
from finetune_trainer.tasks.token_classification import TokenClassificationTask
from finetune_trainer.tasks.translation import TranslationTask

__all__ = ["TASKS", "Encoder", "Task"]

TASKS: dict[recipe.Task, Task] = {
    recipe.Task.CHAT: ChatTask(),
    recipe.Task.INSTRUCTION: InstructionTask(),
    recipe.Task.COMPLETION: CompletionTask(),
    recipe.Task.QUESTION_ANSWERING: QuestionAnsweringTask(),
    recipe.Task.TRANSLATION: TranslationTask(),
    recipe.Task.EXTRACTIVE_QUESTION_ANSWERING: ExtractiveQuestionAnsweringTask(),
    recipe.Task.TEXT_CLASSIFICATION: TextClassificationTask(),
    recipe.Task.TOKEN_CLASSIFICATION: TokenClassificationTask(),
    recipe.Task.PREFERENCE: PreferenceTask(),
}
