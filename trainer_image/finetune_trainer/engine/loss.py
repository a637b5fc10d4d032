"""The loss of a row: the same code trains and evaluates."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.functional import cross_entropy, kl_div

from finetune_trainer import products
from finetune_trainer.engine import cross_entropy as in_parts
from finetune_trainer.engine.rows import Row
from finetune_trainer.heads import is_plain


def summed_loss(model: torch.nn.Module, row: Row) -> torch.Tensor:
    """Sum of the cross-entropies (nats) of the supervised tokens of a row, FP32."""
    if head := _plain_head(model):
        with _scoring(head, row.targets, in_parts.summed):
            return _said(model, row)
    return cross_entropy(_logits(model, row), row.targets, reduction="sum")


def token_losses(model: torch.nn.Module, row: Row) -> torch.Tensor:
    """The cross-entropy of each supervised token of a row, FP32, in their order."""
    if head := _plain_head(model):
        with _scoring(head, row.targets, in_parts.each):
            return _said(model, row)
    return cross_entropy(_logits(model, row), row.targets, reduction="none")


def divergences(one: torch.nn.Module, other: torch.nn.Module, row: Row) -> torch.Tensor:
    """KL(one ‖ other) in nats before each supervised token of a row, FP32, in their order."""
    given, found = (_logits(model, row).log_softmax(dim=-1) for model in (one, other))
    return kl_div(found, given, log_target=True, reduction="none").sum(dim=-1)


def _logits(model: torch.nn.Module, row: Row) -> torch.Tensor:
    """What the model says before each supervised token."""
    return _said(model, row)[0].float()


def _said(model: torch.nn.Module, row: Row) -> torch.Tensor:
    """What the head gives.

    Only the positions before supervised tokens reach it: it costs more than a layer where the
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
    said: torch.Tensor = model(**arguments).logits
    return said


def _plain_head(model: Any) -> torch.nn.Linear | None:
    """The head, where it is a linear module and the model's logits are what it gives."""
    bare = getattr(model, "module", model)  # of DistributedDataParallel and DeepSpeed
    config = bare.config
    capped = bool(getattr(config, "final_logit_softcapping", None))
    head = bare.get_output_embeddings()
    plain = is_plain(config.model_type, capped=capped) and products.is_plain(head)
    # With a bias, or a forward of its own, it is more than its weight.
    more = getattr(head, "bias", None) is not None or "forward" in vars(head)
    return head if plain and not more else None


Score = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, torch.dtype], torch.Tensor]


@contextmanager
def _scoring(head: torch.nn.Linear, targets: torch.Tensor, score: Score) -> Iterator[None]:
    """Let the head give a loss instead of logits, where it is called, as the module that it is:
    what shares its weight out among processes brings it together for the call."""

    def forward(hidden: torch.Tensor) -> torch.Tensor:
        kind = hidden.device.type
        in_autocast = torch.is_autocast_enabled(kind)
        dtype = torch.get_autocast_dtype(kind) if in_autocast else head.weight.dtype
        return score(hidden[0], head.weight, targets, dtype)

    vars(head)["forward"] = forward
    try:
        yield
    finally:
        del vars(head)["forward"]
