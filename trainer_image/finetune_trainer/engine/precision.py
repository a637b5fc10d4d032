"""In which arithmetic to compute."""

from pathlib import Path

import torch

from finetune_trainer.engine.world import World
from finetune_trainer.errors import ConfigurationError
from finetune_trainer.recipe import Precision

_CPU_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}
"""Flags and features in /proc/cpuinfo of processors that multiply bfloat16 in hardware."""


def resolve(wanted: Precision, world: World) -> Precision:
    """FP32 or BF16, the same on every process.

    Raises:
        ConfigurationError: BF16 is asked for and a processor has none.
    """
    everywhere = not world.maximum([0.0 if _has_bf16(world.device) else 1.0])[0]
    if wanted is Precision.AUTO:
        return Precision.BF16 if everywhere else Precision.FP32
    if wanted is Precision.BF16 and not everywhere:
        raise ConfigurationError(
            "training.precision BF16 needs a GPU or a processor with avx512_bf16 or AMX, and not "
            "every process has one: set precision: Auto or FP32"
        )
    return wanted


def autocast(precision: Precision, device: torch.device) -> torch.autocast:
    """The context to compute in. Trained parameters stay FP32 and are cast where they are used."""
    enabled = precision is Precision.BF16
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=enabled)


def _has_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    words = Path("/proc/cpuinfo").read_text(encoding="utf-8").split()
    return not _CPU_FLAGS.isdisjoint(words)
