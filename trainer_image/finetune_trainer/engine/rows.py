"""A row of documents as tensors."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from finetune_trainer.data.examples import TokensExample


@dataclass(frozen=True)
class Row:
    """Documents end to end, with what is needed to keep them apart."""

    input_ids: torch.Tensor
    """(1, tokens), int64."""
    position_ids: torch.Tensor
    """(1, tokens), int64: begins at 0 in every document."""
    boundaries: torch.Tensor
    """(documents + 1,), int32: where documents begin, and the end."""
    longest: int
    """Tokens of the longest document."""
    predictors: torch.Tensor
    """(targets,), int64: positions whose next token is supervised."""
    targets: torch.Tensor
    """(targets,), int64: those next tokens."""

    def to(self, device: torch.device) -> "Row":
        return Row(
            self.input_ids.to(device),
            self.position_ids.to(device),
            self.boundaries.to(device),
            self.longest,
            self.predictors.to(device),
            self.targets.to(device),
        )


def make_row(documents: Sequence[TokensExample]) -> Row:
    """Lay documents end to end. Without documents: one token that nothing is learned from.

    A process whose share of a step is empty still takes part in its gradient exchange.
    """
    ids = [document.ids for document in documents] or [np.zeros(1, dtype=np.int64)]
    starts = np.cumsum([0, *(len(part) for part in ids)])
    predictors = [
        start + np.flatnonzero(document.supervised[1:])
        for start, document in zip(starts[:-1], documents, strict=False)
    ]
    where = np.concatenate([*predictors, np.zeros(0, dtype=np.int64)]).astype(np.int64)
    tokens = np.concatenate(ids).astype(np.int64)
    return Row(
        input_ids=torch.from_numpy(tokens)[None],
        position_ids=torch.from_numpy(np.concatenate([np.arange(len(part)) for part in ids]))[None],
        boundaries=torch.from_numpy(starts.astype(np.int32)),
        longest=max(len(part) for part in ids),
        predictors=torch.from_numpy(where),
        targets=torch.from_numpy(tokens[where + 1] if len(where) else where),
    )
