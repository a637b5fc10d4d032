"""What this process takes of its device's memory."""

import resource
from pathlib import Path

import torch

from finetune_trainer.report.memory import Held


def files_in_memory() -> int:
    """Bytes of files that are mapped into this process and lie in memory (Linux)."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("RssFile:"):
            return int(line.split()[1]) << 10
    return 0


def highest(device: torch.device, libraries: int) -> int:
    """Bytes that were taken at most: of a GPU all of it that is in use, else resident memory.

    Args:
        libraries: what `files_in_memory` said before a model was loaded.
    """
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        beside = total - free - torch.cuda.memory_reserved(device)
        return torch.cuda.max_memory_reserved(device) + beside
    # Linux counts in KiB.
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10) - libraries


def held(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> Held:
    """Of a training that is not shared out."""
    tensors = [*model.parameters(), *model.buffers()]
    scales = [
        scale
        for each in tensors
        if (state := getattr(each, "quant_state", None)) is not None
        for scale in (state.absmax, *((state.state2.absmax,) if state.nested else ()))
    ]
    states = [
        value
        for of_parameter in optimizer.state.values()
        for value in of_parameter.values()
        if isinstance(value, torch.Tensor)
    ]
    return Held(
        weights=sum(each.nbytes for each in [*tensors, *scales]),
        gradients=sum(each.nbytes for each in model.parameters() if each.requires_grad),
        optimizer=sum(each.nbytes for each in states),
    )
