"""KTO: each reply was judged alone, desirable or not.

Ethayarajh et al., "KTO: Model Alignment as Prospect Theoretic Optimization", 2024, equations 7 and
8. A reward counts as a gain or a loss against a point of reference: how far the model has moved on
replies that belong to other prompts (an estimate of its KL divergence from the start, at least 0).
The point is that of the whole step, over all processes and rows. tests/trainer/test_preference.py
holds loss and gradients equal to TRL's.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from finetune_trainer.data.compared import ComparedExample
from finetune_trainer.engine.world import World
from finetune_trainer.metrics import Rows
from finetune_trainer.objectives.replies import (
    ReplyObjective,
    ReplyRow,
    log_probabilities,
    reference_of,
    reply_row,
    share_above,
)
from finetune_trainer.recipe import Metric

if TYPE_CHECKING:
    from finetune_trainer.evaluate import Judge


@dataclass(frozen=True)
class JudgedRow:
    """Replies that were judged, and as many that belong elsewhere."""

    judged: ReplyRow
    mismatched: ReplyRow
    reference: torch.Tensor
    """(examples, 2), FP32: log-probabilities of both at the start."""
    sign: torch.Tensor
    """(examples,): 1 where the reply is desirable, -1 where it is not."""
    point: float = 0.0
    """Against which a reward is a gain or a loss, in nats; of the whole step."""

    def to(self, device: torch.device) -> "JudgedRow":
        return replace(
            self,
            judged=self.judged.to(device),
            mismatched=self.mismatched.to(device),
            reference=self.reference.to(device),
            sign=self.sign.to(device),
        )


class KTOObjective(ReplyObjective):
    """Examples of one reply; what belongs elsewhere is computed without gradients."""

    def make_row(self, examples: Sequence[ComparedExample]) -> JudgedRow:
        reference = torch.tensor([reference_of(each) for each in examples], dtype=torch.float32)
        return JudgedRow(
            reply_row([each.documents[0] for each in examples]),
            reply_row([each.documents[1] for each in examples]),
            reference.view(len(examples), 2),
            torch.tensor([1.0 if each.desirable else -1.0 for each in examples]),
        )

    def before_step(
        self, model: torch.nn.Module, rows: Sequence[JudgedRow], world: World
    ) -> list[JudgedRow]:
        """The rows, knowing the point of reference of their step."""
        model.eval()
        with torch.no_grad():
            moved = [
                float((log_probabilities(model, row.mismatched) - row.reference[:, 1]).sum())
                for row in rows
            ]
        model.train()
        total, count = world.sum([sum(moved), sum(len(row.sign) for row in rows)])
        return [replace(row, point=max(0.0, total / count)) for row in rows]

    def summed_loss(self, model: torch.nn.Module, row: JudgedRow) -> torch.Tensor:
        moved = log_probabilities(model, row.judged) - row.reference[:, 0]
        gains = self._preference.beta * row.sign * (moved - row.point)
        desirable, undesirable = self._weights
        weights = torch.where(row.sign > 0, desirable, undesirable)
        return (weights * torch.sigmoid(-gains)).sum()

    def measure(
        self,
        model: torch.nn.Module,
        examples: Sequence[ComparedExample],
        metrics: Collection[Metric],
        judge: "Judge",
    ) -> dict[Metric, Rows]:
        ratios = self._log_ratios(model, examples, judge)
        point = max(0.0, float(ratios[:, 1].mean()))
        desirable = np.array([each.desirable for each in examples], dtype=np.float64)
        sign = 2 * desirable - 1
        rewards = self._preference.beta * ratios[:, 0]
        gains = sign * (rewards - self._preference.beta * point)
        weights = np.where(sign > 0, *self._weights)
        once = np.ones(len(examples))
        found = {
            Metric.LOSS: np.column_stack([weights * np.exp(-np.logaddexp(0, gains)), once]),
            Metric.REWARD_ACCURACY: share_above(gains),
            Metric.REWARD_MARGIN: np.column_stack(
                [rewards * desirable, desirable, rewards * (1 - desirable), 1 - desirable]
            ),
        }
        return {each: found[each] for each in found if each is Metric.LOSS or each in metrics}

    @property
    def _weights(self) -> tuple[float, float]:
        return self._preference.desirable_weight, self._preference.undesirable_weight
