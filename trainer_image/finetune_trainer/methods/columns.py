"""Columns scaled by factors that are trained, and what becomes of both gradients.

The factors are FP32, also where the numbers are BF16: rounded to it, most steps of a factor would
be none. torch multiplies the two formats by a detour that takes twice as long as a whole matrix
product on a processor. A batch norm of mean 0 and variance 1 is the same arithmetic, knows both
formats, and gives both gradients in one pass.
"""

import torch


def scale_(rows: torch.Tensor, factor: torch.Tensor) -> None:
    """Multiply each column by its factor, in place.

    Args:
        rows: (tokens, columns)
        factor: FP32, (columns,)
    """
    if rows.dtype == factor.dtype or rows.device.type != "cpu":
        rows.mul_(factor)
    else:
        zero, one = torch.zeros_like(factor), torch.ones_like(factor)
        made = torch.nn.functional.batch_norm(_image(rows), zero, one, factor, eps=0.0)
        rows.copy_(made[0, :, :, 0].T)


def gradients(
    given: torch.Tensor, output: torch.Tensor, factor: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Of the rows, and of the logarithm of each factor.

    Args:
        given: gradient of the output.
        output: what `scale_` made.
    """
    if given.device.type != "cpu":
        product = given * output
        of_logarithm = product.sum(dim=0, dtype=factor.dtype)
        return torch.mul(given, factor, out=product), of_logarithm
    zero, one = torch.zeros_like(factor), torch.ones_like(factor)
    of_rows, of_logarithm, _ = torch.ops.aten.native_batch_norm_backward(
        _image(given),
        _image(output),
        factor,
        zero,
        one,
        None,
        None,
        False,  # mean and variance are given
        0.0,
        [True, True, False],
    )
    return of_rows[0, :, :, 0].T, of_logarithm


def _image(rows: torch.Tensor) -> torch.Tensor:
    """One image, a pixel a token, whose channels lie together."""
    return rows.T[None, :, :, None]
