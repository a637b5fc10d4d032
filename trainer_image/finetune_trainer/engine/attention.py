"""Attention that keeps the documents of a row apart.

On a GPU, in bfloat16, torch's variable-length kernel takes the whole row in one call. Elsewhere it
is one causal scaled-dot-product attention for each document: on a CPU this is several times faster
than a block-diagonal mask over the row, and no mask can leak.
"""

from typing import Any

import torch
from torch.nn.attention.varlen import varlen_attn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

PER_DOCUMENT = "per_document"

_WIDEST_HEAD = 256
"""Numbers of a head that torch's kernel takes at most; it wants a multiple of 8."""


def register_attention() -> str:
    """Make it known to transformers. Returns the implementation's name, to load models with."""
    AttentionInterface.register(PER_DOCUMENT, _per_document)
    return PER_DOCUMENT


def _per_document(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    cu_seq_lens_q: torch.Tensor,
    max_length_q: int,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Attention of one row.

    Args:
        module: the attention layer.
        query, key, value: (1, heads, tokens, head size); key and value may have fewer heads.
        attention_mask: always None; documents come from cu_seq_lens_q.
        cu_seq_lens_q: (documents + 1,) int32, where documents begin, and the end.
        max_length_q: tokens of the longest document.
        scaling: factor of the scores.
        dropout: share of the attention weights dropped.
        sliding_window: tokens back that a token sees, itself included.

    Returns:
        (1, tokens, heads, head size), None
    """
    if attention_mask is not None:
        raise ValueError("per-document attention takes no mask")
    grouped = query.shape[1] != key.shape[1]
    dtype = _computed_dtype(query)
    if _has_kernel(query, dtype) and not dropout:
        queries, keys, values = (each[0].transpose(0, 1).to(dtype) for each in (query, key, value))
        attended: Any = varlen_attn(
            queries,
            keys,
            values,
            cu_seq_q=cu_seq_lens_q,
            cu_seq_k=cu_seq_lens_q,
            max_q=max_length_q,
            max_k=max_length_q,
            scale=scaling,
            window_size=(-1 if sliding_window is None else sliding_window - 1, 0),
            enable_gqa=grouped,
        )
        return attended[None], None
    if grouped and query.is_cuda:
        # Torch's other kernels there know no groups: with them it would keep every score.
        key, value = (
            each.repeat_interleave(query.shape[1] // each.shape[1], dim=1) for each in (key, value)
        )
        grouped = False
    sizes = torch.diff(cu_seq_lens_q).tolist()
    parts = zip(*(torch.split(tensor, sizes, dim=2) for tensor in (query, key, value)), strict=True)
    documents = []
    for part_query, part_key, part_value in parts:
        mask = _window(part_query, sliding_window)
        documents.append(
            scaled_dot_product_attention(
                part_query,
                part_key,
                part_value,
                attn_mask=mask,
                is_causal=mask is None,
                dropout_p=dropout,
                scale=scaling,
                enable_gqa=grouped,
            )
        )
    return torch.cat(documents, dim=2).transpose(1, 2).contiguous(), None


def _computed_dtype(query: torch.Tensor) -> torch.dtype:
    """That of matrix products here: autocast leaves the kernel's arguments as they are."""
    kind = query.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else query.dtype


def _has_kernel(query: torch.Tensor, dtype: torch.dtype) -> bool:
    head = query.shape[-1]
    return query.is_cuda and dtype is torch.bfloat16 and head <= _WIDEST_HEAD and head % 8 == 0


def _window(query: torch.Tensor, sliding_window: int | None) -> torch.Tensor | None:
    """The causal mask of a document longer than the window, (tokens, tokens); None if shorter."""
    tokens = query.shape[2]
    if sliding_window is None or tokens <= sliding_window:
        return None
    full = torch.ones(tokens, tokens, dtype=torch.bool, device=query.device)
    return full.tril().triu(1 - sliding_window)
