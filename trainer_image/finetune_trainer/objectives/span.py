"""A part of a text: where it begins and where it ends."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from finetune_trainer import answer_metrics
from finetune_trainer.data.encoded import filled
from finetune_trainer.data.formats import SpanQuestion
from finetune_trainer.data.packing import padded_rows
from finetune_trainer.engine.batches import Batch, answer_of, make_batch, nothing
from finetune_trainer.metrics import Rows, chosen
from finetune_trainer.recipe import Metric
from finetune_trainer.report.answers import Answer
from finetune_trainer.tasks.extractive_question_answering import Window

if TYPE_CHECKING:
    from finetune_trainer.evaluate import Judge

LONGEST_ANSWER = 30
"""Tokens of an answer that is given, at most; as in the examples of transformers."""


class SpanObjective:
    """The mean cross-entropy of the first and of the last token, over those of the text and the one
    that stands for no answer here. The answer to a question is the best of all its windows."""

    def make_row(self, examples: Sequence[Window]) -> Batch:
        if not examples:
            return make_batch(examples)
        spans = np.array([each.span for each in examples], dtype=np.int64)
        return make_batch(examples, filled([each.allowed for each in examples], 0), spans)

    def summed_loss(self, model: torch.nn.Module, row: Batch) -> torch.Tensor:
        if not row.targets:
            answer = answer_of(model, row)
            return nothing(answer.start_logits) + nothing(answer.end_logits)
        return _losses(_scores(model, row), row).sum()

    def measure(
        self,
        model: torch.nn.Module,
        examples: Sequence[Window],
        metrics: Collection[Metric],
        judge: "Judge",
    ) -> dict[Metric, Rows]:
        def scores(windows: Sequence[Window]) -> Iterator[tuple[float, ...]]:
            row = self.make_row(windows).to(judge.world.device)
            found = _scores(model, row)
            losses = _losses(found, row).tolist()
            both = found.cpu().numpy()
            for window, loss, each in zip(windows, losses, both, strict=True):
                yield loss, 1.0, *_best(window, each[:, : window.length])

        rows = judge.score(
            model,
            examples,
            lambda windows: list(scores(windows)),
            columns=6,
            lay_out=padded_rows,
        )
        answers = answers_of(examples, rows[:, 2:])
        found = {Metric.LOSS: rows[:, :2]}
        for metric in (Metric.EXACT_MATCH, Metric.F1):
            # No answer is right where none is.
            found[metric] = np.array(
                [
                    answer_metrics.rows(metric, said, [each.text for each in of.answers] or [""])
                    for of, said in answers.items()
                ]
            )
        return chosen(found, metrics)

    def answers(
        self, model: torch.nn.Module, examples: Sequence[Window], judge: "Judge"
    ) -> list[Answer]:
        return []


def answers_of(examples: Sequence[Window], best: Rows) -> Mapping[SpanQuestion, str]:
    """The answer to each question: the best of all its windows.

    Args:
        examples: windows, in the order of `best`.
        best: (windows, 4): the score of its best span, that of no answer, and where the span begins
            and ends in the text.
    """
    found: dict[SpanQuestion, tuple[float, float, str]] = {}
    for window, (score, refusal, start, end) in zip(examples, best.tolist(), strict=True):
        text = window.question.context[int(start) : int(end)]
        before = found.get(window.question, (-np.inf, np.inf, ""))
        least = min(refusal, before[1])
        found[window.question] = (
            (score, least, text) if score > before[0] else (before[0], least, before[2])
        )
    refusing = {window.question for window in examples if window.may_refuse}
    return {
        question: "" if question in refusing and refusal > score else text
        for question, (score, refusal, text) in found.items()
    }


def _scores(model: torch.nn.Module, row: Batch) -> torch.Tensor:
    """(windows, 2, longest): logarithms of the probabilities of start and end, over what is
    allowed."""
    answer = answer_of(model, row)
    both = torch.stack([answer.start_logits, answer.end_logits], dim=1).float()
    allowed = row.targets[0][:, None]
    return torch.log_softmax(both.masked_fill(~allowed, -torch.inf), dim=-1)


def _losses(scores: torch.Tensor, row: Batch) -> torch.Tensor:
    """(windows,): the mean of start and end."""
    spans = row.targets[1]
    return -scores.gather(2, spans[:, :, None])[:, :, 0].mean(dim=1)


def _best(window: Window, scores: NDArray[np.float32]) -> tuple[float, float, int, int]:
    """The score of the best span, that of no answer, and where the span is in the text."""
    start, end = scores
    spans = np.where(
        np.tri(window.length, k=LONGEST_ANSWER - 1, dtype=np.bool_)
        & ~np.tri(window.length, k=-1, dtype=np.bool_),
        start[:, None] + end[None, :],
        -np.inf,
    )
    refusal = float(spans[0, 0])
    spans[0], spans[:, 0] = -np.inf, -np.inf
    first, last = np.unravel_index(int(spans.argmax()), spans.shape)
    score = float(spans[first, last])
    return score, refusal, int(window.offsets[first, 0]), int(window.offsets[last, 1])
