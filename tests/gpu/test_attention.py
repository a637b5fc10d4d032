"""The variable-length kernel against one attention for each document, in FP32."""

import pytest
import torch
from transformers import AttentionInterface

from finetune_trainer.engine.attention import register_attention

ENDS = (0, 1, 70, 200, 333)
"""Documents of 1, 69, 130 and 133 tokens."""

BFLOAT16 = 1e-2
"""Relative L2 norm of an error: products of numbers of eight bits, twice."""


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("window", [None, 64])
@pytest.mark.parametrize("shape", [(8, 8, 96), (9, 3, 64), (4, 1, 256)], ids=str)
def test_kernel_keeps_documents_apart(
    gpu: torch.device, shape: tuple[int, int, int], window: int | None, *, autocast: bool
) -> None:
    heads, groups, size = shape
    torch.manual_seed(1)
    tokens = ENDS[-1]
    exact = [torch.randn(1, many, tokens, size, device=gpu) for many in (heads, groups, groups)]
    exact = [each.bfloat16().float().requires_grad_() for each in exact]
    # Under autocast a model's rotation leaves queries and keys in FP32.
    ours = [each.detach() if autocast else each.detach().bfloat16() for each in exact]
    ours = [each.requires_grad_() for each in ours]
    weight = torch.randn(1, tokens, heads, size, device=gpu)

    expected = _attend(exact, window)
    with torch.autocast("cuda", torch.bfloat16, enabled=autocast):
        found = _attend(ours, window)
    assert found.dtype is torch.bfloat16
    assert _distance(found, expected) < BFLOAT16
    torch.autograd.backward([(expected * weight).sum(), (found.float() * weight).sum()])
    for one, other in zip(ours, exact, strict=True):
        assert _distance(one.grad, other.grad) < BFLOAT16


def _attend(rows: list[torch.Tensor], window: int | None) -> torch.Tensor:
    ends = torch.tensor(ENDS, dtype=torch.int32, device=rows[0].device)
    longest = int(torch.diff(ends).max())
    attention = AttentionInterface()[register_attention()]
    attended: torch.Tensor = attention(
        torch.nn.Module(),
        *rows,
        None,
        cu_seq_lens_q=ends,
        max_length_q=longest,
        sliding_window=window,
    )[0]
    return attended


def _distance(found: torch.Tensor | None, expected: torch.Tensor | None) -> float:
    assert found is not None
    assert expected is not None
    return float(((found.float() - expected).norm() / expected.norm()).detach())
