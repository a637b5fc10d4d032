"""What is taught, and where: the job, its model and its task."""

from enum import StrEnum

from pydantic import Field

from finetune_trainer.frozen import Frozen


class Task(StrEnum):
    """What the model is taught to say: see tasks/."""

    CHAT = "Chat"
    INSTRUCTION = "Instruction"
    COMPLETION = "Completion"
    QUESTION_ANSWERING = "QuestionAnswering"
    TRANSLATION = "Translation"
    EXTRACTIVE_QUESTION_ANSWERING = "ExtractiveQuestionAnswering"
    TEXT_CLASSIFICATION = "TextClassification"
    TOKEN_CLASSIFICATION = "TokenClassification"  # noqa: S105 - no password
    PREFERENCE = "Preference"


class PreferenceLoss(StrEnum):
    """What is learned from which replies people prefer: see objectives/dpo.py and kto.py."""

    DPO = "DPO"
    KTO = "KTO"


class JobIdentity(Frozen):
    """Whose run this is; written into checkpoints, model card and completion manifest."""

    namespace: str = Field(min_length=1)
    name: str = Field(min_length=1)
    generation: int = Field(ge=1)


class Model(Frozen):
    """The base model: fetched into inputs/model before the run."""

    storage_uri: str = Field(min_length=1)
    revision: str = ""
    adapter_uri: str = ""
    """What training goes on from, fetched into inputs/adapter; empty where it is the model."""
    adapter_revision: str = ""


class Preference(Frozen):
    """How far preferences move the model; names as in TRL."""

    loss: PreferenceLoss
    beta: float = Field(gt=0.0, le=10.0)
    """Reward of a nat that a reply has become more likely: the more, the closer the model stays to
    the one that it starts from."""
    desirable_weight: float = Field(default=1.0, gt=0.0, le=100.0)
    """KTO: factor of the loss of desirable replies."""
    undesirable_weight: float = Field(default=1.0, gt=0.0, le=100.0)
    """KTO: factor of the loss of undesirable ones."""


class Translation(Frozen):
    """What the prompt of task Translation names; empty is not named."""

    source_language: str = ""
    target_language: str = ""
