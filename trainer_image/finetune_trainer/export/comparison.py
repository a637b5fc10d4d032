"""An export beside the model it was made from: the same prompts, what each computes, how far apart.

Bounded: a few held-out examples, cut short, so that the check of a large model takes minutes.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from finetune_trainer.heads import Head

Logits = NDArray[np.float32]
"""Of one prompt, shape (tokens, vocabulary), or (classes,) of a head that has classes."""

Compute = Callable[[NDArray[np.int64]], Logits]
"""From the tokens of one prompt, shape (tokens,)."""

PROMPTS = 16
TOKENS = 128
_KEPT = 8
"""Positions of a prompt whose logits are compared: all of them would not fit where the vocabulary
is large."""

BROKEN = 0.05
"""A difference of logits in FP32 that no order of additions explains."""


@dataclass(frozen=True)
class Prompts:
    """What each model is given."""

    ids: Sequence[NDArray[np.int64]]
    """Tokens, each of shape (tokens,)."""
    generates: bool
    """Whether the next token is what is predicted, so that there is a perplexity."""

    @classmethod
    def of(
        cls, examples: Iterable[Any], head: Head, count: int = PROMPTS, tokens: int = TOKENS
    ) -> "Prompts":
        """The first examples that are long enough to predict something."""
        found = (np.asarray(each.ids[:tokens], dtype=np.int64) for each in examples)
        chosen = islice((ids for ids in found if len(ids) > 1), count)
        return cls(list(chosen), head is Head.CAUSAL_LM)


@dataclass(frozen=True)
class Computed:
    """What a model makes of the prompts."""

    logits: Sequence[Logits]
    """At the last positions of each."""
    perplexity: float | None
    """Of all tokens but the first of each prompt; None of a model that does not generate."""


def computed(compute: Compute, prompts: Prompts) -> Computed:
    """One prompt after the other."""
    kept, losses = [], []
    for ids in prompts.ids:
        logits = compute(ids)
        if prompts.generates:
            losses.append(_losses(logits, ids))
        kept.append(logits[-_KEPT:].copy())
    perplexity = math.exp(np.concatenate(losses).mean()) if prompts.generates else None
    return Computed(kept, perplexity)


def by_torch(model: torch.nn.Module) -> Compute:
    """A model of transformers, or PEFT's around one."""

    def compute(ids: NDArray[np.int64]) -> Logits:
        given = torch.from_numpy(ids)[None]
        with torch.no_grad():
            answer = model(input_ids=given, attention_mask=torch.ones_like(given))
        logits: Logits = answer[0][0].float().numpy()
        return logits

    return compute


def difference(one: Computed, other: Computed) -> dict[str, float]:
    """The largest difference of two logits, and the share of positions where both models would
    say the same."""
    pairs = list(zip(one.logits, other.logits, strict=True))
    same = [left.argmax(-1) == right.argmax(-1) for left, right in pairs]
    return {
        "logitDifference": max(float(np.abs(left - right).max()) for left, right in pairs),
        "sameAnswer": float(np.concatenate([np.atleast_1d(each) for each in same]).mean()),
    }


def perplexities(**of: Computed) -> dict[str, float]:
    """By name, where there are some."""
    return {name: each.perplexity for name, each in of.items() if each.perplexity is not None}


def verified(figures: dict[str, float], what: str) -> dict[str, float]:
    """
    Raises:
        ArithmeticError: the export does not compute what was trained.
    """
    found = figures["logitDifference"]
    if not found <= BROKEN:
        raise ArithmeticError(f"{what} computes logits that differ by {found:.3g} from PyTorch's")
    return figures


def _losses(logits: Logits, ids: NDArray[np.int64]) -> NDArray[np.float64]:
    """Cross-entropy in nats of each token but the first."""
    before = logits[:-1].astype(np.float64)
    before -= before.max(axis=-1, keepdims=True)
    chosen = np.take_along_axis(before, ids[1:, None], axis=-1)[:, 0]
    found: NDArray[np.float64] = np.log(np.exp(before).sum(axis=-1)) - chosen
    return found
