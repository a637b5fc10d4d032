"""DPO: of two replies the chosen one becomes likelier than the rejected one.

Rafailov et al., "Direct Preference Optimization", 2023, equation 7. TRL 1.16 has its loss inside of
its trainer, on padded batches and a patched model; tests/trainer/test_preference.py holds loss and
gradients equal to it.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn.functional import logsigmoid

from finetune_trainer.data.compared import ComparedExample
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
class PairsRow:
    """Pairs end to end: chosen, rejected, chosen, …"""

    replies: ReplyRow
    reference: torch.Tensor
    """(pairs, 2), FP32: log-probabilities at the start."""

    def to(self, device: torch.device) -> "PairsRow":
        return PairsRow(self.replies.to(device), self.reference.to(device))


class DPOObjective(ReplyObjective):
    """Pairs that are computed in one pass, so that both replies of a pair are in the same row."""

    def make_row(self, examples: Sequence[ComparedExample]) -> PairsRow:
        reference = torch.tensor([reference_of(each) for each in examples], dtype=torch.float32)
        documents = [document for each in examples for document in each.documents]
        return PairsRow(reply_row(documents), reference.view(len(examples), 2))

    def summed_loss(self, model: torch.nn.Module, row: PairsRow) -> torch.Tensor:
        ratios = log_probabilities(model, row.replies).view_as(row.reference) - row.reference
        return -logsigmoid(self._preference.beta * (ratios[:, 0] - ratios[:, 1])).sum()

    def measure(
        self,
        model: torch.nn.Module,
        examples: Sequence[ComparedExample],
        metrics: Collection[Metric],
        judge: "Judge",
    ) -> dict[Metric, Rows]:
        rewards = self._preference.beta * self._log_ratios(model, examples, judge)
        margins = rewards[:, 0] - rewards[:, 1]
        once = np.ones(len(examples))
        found = {
            Metric.LOSS: np.column_stack([np.logaddexp(0, -margins), once]),
            Metric.REWARD_ACCURACY: share_above(margins),
            Metric.REWARD_MARGIN: np.column_stack([rewards[:, 0], once, rewards[:, 1], once]),
        }
        return {each: found[each] for each in found if each is Metric.LOSS or each in metrics}
