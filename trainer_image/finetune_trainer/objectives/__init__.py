"""What is made of a task's examples: rows, a loss, scores. A file each.

Several tasks may have one objective. Apart from tasks/, because all of it needs torch, which takes
longer to load than `check` may take.
"""

from finetune_trainer.objectives.answer import AnswerObjective
from finetune_trainer.objectives.causal import CausalObjective
from finetune_trainer.objectives.objective import Objective, Row
from finetune_trainer.objectives.span import SpanObjective
from finetune_trainer.objectives.tag import TagObjective
from finetune_trainer.objectives.text_class import TextClassObjective
from finetune_trainer.recipe import Task

__all__ = ["OBJECTIVES", "Objective", "Row"]

OBJECTIVES: dict[Task, Objective] = {
    Task.CHAT: CausalObjective(),
    Task.INSTRUCTION: CausalObjective(),
    Task.COMPLETION: CausalObjective(),
    Task.QUESTION_ANSWERING: AnswerObjective(),
    Task.TRANSLATION: AnswerObjective(),
    Task.EXTRACTIVE_QUESTION_ANSWERING: SpanObjective(),
    Task.TEXT_CLASSIFICATION: TextClassObjective(),
    Task.TOKEN_CLASSIFICATION: TagObjective(),
}
