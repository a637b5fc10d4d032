"""What optimizers are called elsewhere, and what each knows about a parameter, as tensors."""

from collections.abc import Mapping
from typing import Any

import torch

from finetune_trainer.recipe import Optimizer

NAMES = {
    Optimizer.ADAMW: "adamw_torch_fused",
    Optimizer.ADAMW_8BIT: "adamw_8bit",
    Optimizer.ADAFACTOR: "adafactor",
}
"""transformers' words. Its Adafactor takes the learning rate as it is, as our schedules give it,
and keeps no first moment; its 8-bit AdamW leaves embeddings in 32 bits."""

_TABLES = {"qmap1": "dynamic", "qmap2": "udynamic"}
"""What the 256 values of 8-bit moments stand for: the same for every parameter and every run."""


def forget_earlier_ones(optimizer: Optimizer) -> None:
    """bitsandbytes remembers, for the whole process, which parameters stay in 32 bits: by their
    place and by their address, which the next training may use for others."""
    if optimizer is not Optimizer.ADAMW_8BIT:
        return
    # It is loaded by those who use it.
    from bitsandbytes.optim.optimizer import GlobalOptimManager  # noqa: PLC0415

    manager: Any = GlobalOptimManager  # bitsandbytes leaves it untyped
    manager.get_instance().initialize()


def to_tensors(state: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """What a checkpoint has to hold of the state of one parameter.

    Numbers become scalars of 64 bits; no optimizer has such a tensor of its own.
    """
    return {
        key: value if isinstance(value, torch.Tensor) else _scalar(value)
        for key, value in state.items()
        if key not in _TABLES
    }


def from_tensors(
    optimizer: torch.optim.Optimizer, saved: Mapping[str, torch.Tensor], device: torch.device
) -> dict[str, Any]:
    """The state of one parameter as the optimizer had it, bit by bit.

    Args:
        saved: from `to_tensors`.
        device: of the parameter.
    """
    state: dict[str, Any] = {
        key: value.item() if _is_number(value) else value.to(device) for key, value in saved.items()
    }
    if any(value.dtype is torch.uint8 for value in saved.values()):
        theirs: Any = getattr(optimizer, "optimizer", optimizer)  # accelerate wraps it
        tables: dict[str, torch.Tensor] = theirs.name2qmap
        state |= {key: tables[name].to(device) for key, name in _TABLES.items()}
    return state


def _scalar(number: float) -> torch.Tensor:
    dtype = torch.int64 if isinstance(number, int) else torch.float64
    return torch.tensor(number, dtype=dtype)


def _is_number(value: torch.Tensor) -> bool:
    return value.dim() == 0 and value.dtype in (torch.int64, torch.float64)
