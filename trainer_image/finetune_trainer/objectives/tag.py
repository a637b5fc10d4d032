"""A tag for each word."""

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import cross_entropy

from finetune_trainer.data.encoded import filled
from finetune_trainer.data.packing import padded_rows
from finetune_trainer.engine.batches import Batch, answer_of, make_batch, nothing
from finetune_trainer.metrics import Rows, chosen
from finetune_trainer.recipe import Metric
from finetune_trainer.report.answers import Answer
from finetune_trainer.tasks.token_classification import NOT_ASKED, TaggedText

if TYPE_CHECKING:
    from finetune_trainer.evaluate import Judge


class TagObjective:
    """The mean cross-entropy of the words. Entities count as right where both borders and the type
    are, as seqeval and CoNLL count them."""

    def make_row(self, examples: Sequence[TaggedText]) -> Batch:
        if not examples:
            return make_batch(examples)
        return make_batch(examples, filled([each.labels for each in examples], NOT_ASKED))

    def summed_loss(self, model: torch.nn.Module, row: Batch) -> torch.Tensor:
        logits = answer_of(model, row).logits.float()
        return _losses(logits, row).sum() if row.targets else nothing(logits)

    def measure(
        self,
        model: torch.nn.Module,
        examples: Sequence[TaggedText],
        metrics: Collection[Metric],
        judge: "Judge",
    ) -> dict[Metric, Rows]:
        def scores(texts: Sequence[TaggedText]) -> Iterator[tuple[float, ...]]:
            row = self.make_row(texts).to(judge.world.device)
            logits = answer_of(model, row).logits.float()
            losses = _losses(logits, row).sum(dim=1).tolist()
            answers = logits.argmax(dim=-1).cpu().numpy()
            for text, loss, answer in zip(texts, losses, answers, strict=True):
                asked = text.labels != NOT_ASKED
                found = entities(answer[: text.length][asked], text.names)
                wanted = entities(text.labels[asked], text.names)
                yield loss, text.weight, len(found & wanted), len(found), len(wanted)

        rows = judge.score(
            model, examples, lambda texts: list(scores(texts)), columns=5, lay_out=padded_rows
        )
        return chosen({Metric.LOSS: rows[:, :2], Metric.ENTITY_F1: rows[:, 2:]}, metrics)

    def answers(
        self, model: torch.nn.Module, examples: Sequence[TaggedText], judge: "Judge"
    ) -> list[Answer]:
        return []


def _losses(logits: torch.Tensor, row: Batch) -> torch.Tensor:
    """(texts, longest); 0 where no tag is asked for."""
    (labels,) = row.targets
    return cross_entropy(logits.transpose(1, 2), labels, reduction="none", ignore_index=NOT_ASKED)


def entities(labels: NDArray[np.int64], names: tuple[str, ...]) -> set[tuple[str, int, int]]:
    """Type, first and last word of each."""
    # Only where it is measured: it brings scikit-learn, which takes a second.
    from seqeval.metrics.sequence_labeling import get_entities  # noqa: PLC0415

    return set(get_entities([names[label] for label in labels]))
