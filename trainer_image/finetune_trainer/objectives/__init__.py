"""What is made of a task's examples: rows, a loss, scores. A file each.

Several tasks may have one objective. Apart from tasks/, because all of it needs torch, which takes
longer to load than `check` may take.
"""

from collections.abc import Callable

from finetune_trainer.objectives.answer import AnswerObjective
from finetune_trainer.objectives.causal import CausalObjective
from finetune_trainer.objectives.dpo import DPOObjective
from finetune_trainer.objectives.kto import KTOObjective
from finetune_trainer.objectives.objective import (
    Objective,
    ReferencedObjective,
    Row,
    StepObjective,
)
from finetune_trainer.objectives.span import SpanObjective
from finetune_trainer.objectives.tag import TagObjective
from finetune_trainer.objectives.text_class import TextClassObjective
from finetune_trainer.recipe import Preference, PreferenceLoss, Recipe, Task

__all__ = [
    "OBJECTIVES",
    "Objective",
    "ReferencedObjective",
    "Row",
    "StepObjective",
    "objective_of",
]

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
"""Of every task but Preference, which has several."""

PREFERENCE_OBJECTIVES: dict[PreferenceLoss, Callable[[Preference], Objective]] = {
    PreferenceLoss.DPO: DPOObjective,
    PreferenceLoss.KTO: KTOObjective,
}


def objective_of(recipe: Recipe) -> Objective:
    """The objective of a recipe's task, as the recipe has set it."""
    if recipe.preference:
        return PREFERENCE_OBJECTIVES[recipe.preference.loss](recipe.preference)
    return OBJECTIVES[recipe.task]
