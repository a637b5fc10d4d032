"""What the base model and the tuned one say of the same held-out examples, for people to read."""

from collections.abc import Sequence

from finetune_trainer.frozen import Frozen


class Answer(Frozen):
    """What one model says."""

    prompt: str
    reference: str
    """What the example has."""
    answer: str


class AnswersOfBoth(Frozen):
    """What both say to the same prompt."""

    prompt: str
    reference: str
    base: str
    tuned: str


def side_by_side(base: Sequence[Answer], tuned: Sequence[Answer]) -> list[AnswersOfBoth]:
    """Those that both were asked for, in order."""
    return [
        AnswersOfBoth(
            prompt=before.prompt,
            reference=before.reference,
            base=before.answer,
            tuned=after.answer,
        )
        for before, after in zip(base, tuned, strict=False)
        if before.prompt == after.prompt
    ]
