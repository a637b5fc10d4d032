"""What a model ends in, by task. Pure: the operator reads it too."""

from enum import StrEnum

from finetune_trainer.recipe import Task


class Head(StrEnum):
    """The values are PEFT's task types."""

    CAUSAL_LM = "CAUSAL_LM"
    SEQUENCE_CLASSIFICATION = "SEQ_CLS"
    TOKEN_CLASSIFICATION = "TOKEN_CLS"  # noqa: S105 - no password
    SPAN = "QUESTION_ANS"


HEADS = {
    Task.CHAT: Head.CAUSAL_LM,
    Task.INSTRUCTION: Head.CAUSAL_LM,
    Task.COMPLETION: Head.CAUSAL_LM,
    Task.QUESTION_ANSWERING: Head.CAUSAL_LM,
    Task.TRANSLATION: Head.CAUSAL_LM,
    Task.EXTRACTIVE_QUESTION_ANSWERING: Head.SPAN,
    Task.TEXT_CLASSIFICATION: Head.SEQUENCE_CLASSIFICATION,
    Task.TOKEN_CLASSIFICATION: Head.TOKEN_CLASSIFICATION,
    Task.PREFERENCE: Head.CAUSAL_LM,
}

OTHER_HEADS = tuple(task for task, head in HEADS.items() if head is not Head.CAUSAL_LM)
"""Tasks whose model does not go on with a text."""

POSITIONS_AT_ONCE = 256
"""Whose logits are there at a time. On a processor, with SmolLM2's vocabulary, all at once take 1.5
to 1.8 times as long, and 64 at a time 1.3 to 1.4 times."""

PLAIN = frozenset({"gemma", "gemma3_text", "llama", "mistral", "phi3", "qwen2", "qwen3", "smollm3"})


def is_plain(model_type: str, *, capped: bool) -> bool:
    """Whether a model's logits are what its language-model head gives, with nothing after it. Of
    any other, all logits are there at once.

    Args:
        capped: whether they go through tanh.
    """
    return model_type in PLAIN and not capped
