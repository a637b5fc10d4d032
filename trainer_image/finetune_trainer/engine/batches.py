"""A batch of texts as tensors: padded, because encoders look in both directions.

transformers' heads take texts side by side, with a mask over what fills up the shorter ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from finetune_trainer.data.encoded import EncodedText, filled


@dataclass(frozen=True)
class Batch:
    """Texts side by side, filled up on the right to the longest of them."""

    inputs: dict[str, torch.Tensor]
    """By the names that transformers' models have for them; each (texts, longest)."""
    targets: tuple[torch.Tensor, ...]
    """What the task compares the model's answer with; none in a batch without texts."""

    def to(self, device: torch.device) -> "Batch":
        moved = {name: value.to(device) for name, value in self.inputs.items()}
        return Batch(moved, tuple(each.to(device) for each in self.targets))


def make_batch(texts: Sequence[EncodedText], *targets: NDArray[Any]) -> Batch:
    """Lay texts side by side. Without texts: one token that nothing is learned from.

    A process whose share of a step is empty still takes part in its gradient exchange.
    """
    if not texts:
        alone = torch.zeros((1, 1), dtype=torch.int64)
        return Batch({"input_ids": alone, "attention_mask": torch.ones_like(alone)}, ())
    inputs = {
        "input_ids": filled([text.ids for text in texts], texts[0].pad),
        "attention_mask": filled([np.ones(text.length, dtype=np.int64) for text in texts], 0),
    }
    segments = [text.segments for text in texts if text.segments is not None]
    if segments:
        inputs["token_type_ids"] = filled(segments, 0)
    made = {name: torch.from_numpy(value) for name, value in inputs.items()}
    return Batch(made, tuple(torch.from_numpy(each) for each in targets))


def answer_of(model: torch.nn.Module, batch: Batch) -> Any:
    """What the model's head says."""
    return model(**batch.inputs)


def nothing(logits: torch.Tensor) -> torch.Tensor:
    """The loss of a batch without texts, which takes part in the exchange of gradients."""
    return logits.sum() * 0.0
