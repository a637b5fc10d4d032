"""Columns that are scaled, beside the plain arithmetic in FP32."""

import pytest
import torch

from finetune_trainer.methods import columns


@pytest.mark.parametrize(("dtype", "relative"), [(torch.float32, 1e-6), (torch.bfloat16, 2**-8)])
@pytest.mark.parametrize("tokens", [1, 7, 300])
def test_it_is_the_plain_arithmetic(dtype: torch.dtype, relative: float, tokens: int) -> None:
    torch.manual_seed(1)
    rows, given = (torch.randn(tokens, 40).to(dtype) for _ in range(2))
    factor = torch.rand(40) + 0.5
    made = rows.clone()
    columns.scale_(made, factor)
    torch.testing.assert_close(made.float(), rows.float() * factor, rtol=relative, atol=0)
    of_rows, of_logarithm = columns.gradients(given, made, factor)
    assert of_rows.dtype is dtype
    torch.testing.assert_close(of_rows.float(), given.float() * factor, rtol=relative, atol=0)
    wanted = (given.double() * made.double()).sum(dim=0).float()
    torch.testing.assert_close(of_logarithm, wanted, rtol=1e-4, atol=1e-4)
