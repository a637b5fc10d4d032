"""A class for each text, or several."""

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from finetune_trainer.data.packing import padded_rows
from finetune_trainer.engine.batches import Batch, answer_of, make_batch, nothing
from finetune_trainer.metrics import Rows, chosen
from finetune_trainer.recipe import Metric
from finetune_trainer.report.answers import Answer
from finetune_trainer.tasks.text_classification import ClassifiedText

if TYPE_CHECKING:
    from finetune_trainer.evaluate import Judge


class TextClassObjective:
    """The mean cross-entropy of the texts, weighted by class; where a text may be of several, the
    mean over all classes of being of it or not."""

    def make_row(self, examples: Sequence[ClassifiedText]) -> Batch:
        if not examples:
            return make_batch(examples)
        of = examples[0].of
        goals = np.stack([each.classes for each in examples])
        # One class is told by its number, several by a 1 for each.
        targets = goals if of.several else goals.argmax(axis=1)
        return make_batch(examples, targets, of.weights)

    def summed_loss(self, model: torch.nn.Module, row: Batch) -> torch.Tensor:
        logits = answer_of(model, row).logits.float()
        return _losses(logits, row).sum() if row.targets else nothing(logits)

    def measure(
        self,
        model: torch.nn.Module,
        examples: Sequence[ClassifiedText],
        metrics: Collection[Metric],
        judge: "Judge",
    ) -> dict[Metric, Rows]:
        def scores(texts: Sequence[ClassifiedText]) -> Iterator[list[float]]:
            row = self.make_row(texts).to(judge.world.device)
            logits = answer_of(model, row).logits.float()
            losses = _losses(logits, row).tolist()
            answers = _answers(logits, several=texts[0].of.several)
            for text, loss, answer in zip(texts, losses, answers, strict=True):
                right = float(np.array_equal(answer, text.classes))
                counts = np.stack([answer * text.classes, answer, text.classes], axis=1)
                yield [loss, text.weight, right, 1.0, *counts.ravel().tolist()]

        count = len(examples[0].of.names)
        rows = judge.score(
            model,
            examples,
            lambda texts: list(scores(texts)),
            columns=4 + 3 * count,
            lay_out=padded_rows,
        )
        found = {
            Metric.LOSS: rows[:, :2],
            Metric.ACCURACY: rows[:, 2:4],
            Metric.MACRO_F1: rows[:, 4:],
        }
        return chosen(found, metrics)

    def answers(
        self, model: torch.nn.Module, examples: Sequence[ClassifiedText], judge: "Judge"
    ) -> list[Answer]:
        return []


def _losses(logits: torch.Tensor, row: Batch) -> torch.Tensor:
    """(texts,): cross-entropy times the weight of the class, or the mean over all classes."""
    goals, weights = row.targets
    if goals.is_floating_point():
        each = binary_cross_entropy_with_logits(logits, goals, pos_weight=weights, reduction="none")
        return each.mean(dim=1)
    return cross_entropy(logits, goals, weight=weights, reduction="none")


def _answers(logits: torch.Tensor, *, several: bool) -> NDArray[np.float32]:
    """(texts, classes): 1 for what the model says."""
    said = logits > 0 if several else torch.zeros_like(logits).scatter(1, logits.argmax(1, True), 1)
    answers: NDArray[np.float32] = said.float().cpu().numpy()
    return answers
