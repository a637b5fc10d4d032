"""The loss of a row: the same code trains and evaluates."""

from typing import Any

import torch
from torch.nn.functional import cross_entropy, kl_div

from finetune_trainer.engine.rows import Row


def summed_loss(model: torch.nn.Module, row: Row) -> torch.Tensor:
    """Sum of the cross-entropies (nats) of the supervised tokens of a row, FP32."""
    return cross_entropy(_logits(model, row), row.targets, reduction="sum")


def token_losses(model: torch.nn.Module, row: Row) -> torch.Tensor:
    """The cross-entropy of each supervised token of a row, FP32, in their order."""
    return cross_entropy(_logits(model, row), row.targets, reduction="none")


def divergences(one: torch.nn.Module, other: torch.nn.Module, row: Row) -> torch.Tensor:
    """KL(one ‖ other) in nats before each supervised token of a row, FP32, in their order."""
    given, found = (_logits(model, row).log_softmax(dim=-1) for model in (one, other))
    return kl_div(found, given, log_target=True, reduction="none").sum(dim=-1)


def _logits(model: torch.nn.Module, row: Row) -> torch.Tensor:
    """What the model says before each supervised token.

    Only their positions reach the language-model head, which costs more than a layer where the
    vocabulary is large.
    """
    arguments: dict[str, Any] = {
        "input_ids": row.input_ids,
        "position_ids": row.position_ids,
        "cu_seq_lens_q": row.boundaries,
        "cu_seq_lens_k": row.boundaries,
        "max_length_q": row.longest,
        "max_length_k": row.longest,
        "use_cache": False,
        "logits_to_keep": row.predictors,
    }
    logits: torch.Tensor = model(**arguments).logits[0]
    return logits.float()
