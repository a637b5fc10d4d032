"""How likely a model finds replies: what DPO and KTO share.

A reply is judged by how much likelier it has become since training started: beta times the
difference of its log-probabilities is its reward. Those at the start are computed once, before the
first step, so that no second model is ever held: see engine/references.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from finetune_trainer.data.compared import ComparedExample
from finetune_trainer.data.examples import TokensExample
from finetune_trainer.engine.loss import token_losses
from finetune_trainer.engine.rows import Row, make_row
from finetune_trainer.metrics import Rows
from finetune_trainer.recipe import Preference
from finetune_trainer.report.answers import Answer

if TYPE_CHECKING:
    from finetune_trainer.evaluate import Judge


@dataclass(frozen=True)
class ReplyRow:
    """Documents in one row, each of which ends in a reply."""

    documents: Row
    targets: tuple[int, ...]
    """Tokens of the reply of each document."""

    def to(self, device: torch.device) -> "ReplyRow":
        return ReplyRow(self.documents.to(device), self.targets)


def reply_row(documents: Sequence[TokensExample]) -> ReplyRow:
    """May be empty, as rows may."""
    return ReplyRow(make_row(documents), tuple(document.targets for document in documents))


def log_probabilities(model: torch.nn.Module, row: ReplyRow) -> torch.Tensor:
    """Of each reply, summed over its tokens, in nats: shape (documents,), FP32."""
    losses = token_losses(model, row.documents)
    if not row.targets:
        return -losses  # of no tokens: empty, and still a function of the model
    return -torch.stack([part.sum() for part in torch.split(losses, list(row.targets))])


class ReplyObjective:
    """What DPO and KTO share. The base of both, which add rows, the loss and the metrics."""

    def __init__(self, preference: Preference) -> None:
        self._preference = preference

    def log_probabilities(
        self, model: torch.nn.Module, examples: Sequence[ComparedExample], judge: "Judge"
    ) -> Rows:
        """Of both replies of each example, shape (examples, 2)."""

        def of_row(members: Sequence[ComparedExample]) -> list[list[float]]:
            documents = [document for each in members for document in each.documents]
            row = reply_row(documents).to(judge.world.device)
            found: list[list[float]] = log_probabilities(model, row).view(-1, 2).tolist()
            return found

        return judge.score(model, examples, of_row, columns=2)

    def with_references(
        self, examples: Sequence[ComparedExample], found: Rows
    ) -> list[ComparedExample]:
        """The examples, knowing the log-probabilities at the start."""
        return [
            replace(each, reference=(float(first), float(second)))
            for each, (first, second) in zip(examples, found, strict=True)
        ]

    def answers(
        self, model: torch.nn.Module, examples: Sequence[ComparedExample], judge: "Judge"
    ) -> list[Answer]:
        """None: metrics tell what replies are preferred."""
        return []

    def _log_ratios(
        self, model: torch.nn.Module, examples: Sequence[ComparedExample], judge: "Judge"
    ) -> Rows:
        """How much likelier both replies have become, shape (examples, 2)."""
        found = self.log_probabilities(model, examples, judge)
        ratios: Rows = found - np.array([reference_of(each) for each in examples])
        return ratios


def reference_of(example: ComparedExample) -> tuple[float, float]:
    if example.reference is None:
        raise RuntimeError("the log-probabilities at the start have not been computed")
    return example.reference


def share_above(differences: Rows) -> Rows:
    """Whether each is above 0, where half of those that are 0 count: columns for a mean."""
    hits = (differences > 0) + 0.5 * (differences == 0)
    return np.column_stack([hits, np.ones(len(hits))])
