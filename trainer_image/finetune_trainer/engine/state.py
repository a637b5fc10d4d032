"""Between the tensors of a running training and the files of a checkpoint.

Every tensor is stored by the name of its parameter, so that a checkpoint does not depend on the
number of processes. Random numbers need no state: see seed_step.
"""

import hashlib
from collections import defaultdict
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from finetune_trainer.engine.optimizers import from_tensors, to_tensors

WEIGHTS = "weights.safetensors"
OPTIMIZER = "optimizer.safetensors"


def trainable(model: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    """The trained parameters by name."""
    return {name: value for name, value in model.named_parameters() if value.requires_grad}


def save_tensors(directory: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Write the trained parameters and what the optimizer knows about each."""
    parameters = trainable(model)
    moments = {
        f"{name}/{key}": value
        for name, parameter in parameters.items()
        for key, value in to_tensors(optimizer.state[parameter]).items()
    }
    save_file({name: value.detach() for name, value in parameters.items()}, directory / WEIGHTS)
    save_file(moments, directory / OPTIMIZER)


def load_weights(directory: Path, model: torch.nn.Module) -> None:
    """Copy the trained parameters into the model.

    Raises:
        ValueError: the names differ, so that the checkpoint is of another model or method.
    """
    saved, parameters = load_file(directory / WEIGHTS), trainable(model)
    if saved.keys() != parameters.keys():
        raise ValueError(f"{directory.name} holds other parameters than are trained")
    with torch.no_grad():
        for name, value in parameters.items():
            value.copy_(saved[name])


def load_optimizer(
    directory: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer
) -> None:
    """Give the optimizer back what it knew about each trained parameter."""
    saved: dict[str, dict[str, torch.Tensor]] = defaultdict(dict)
    for name, value in load_file(directory / OPTIMIZER).items():
        parameter, _, key = name.rpartition("/")
        saved[parameter][key] = value
    parameters = trainable(model)
    for name, known in saved.items():
        target = parameters[name]
        optimizer.state[target].update(from_tensors(optimizer, known, target.device))


def seed_step(seed: int, step: int, rank: int) -> None:
    """Seed dropout for one step of one process.

    Seeded anew at every step, random numbers depend on nothing that a restart could lose.
    """
    digest = hashlib.sha256(f"{seed}/{step}/{rank}".encode()).digest()
    torch.manual_seed(int.from_bytes(digest[:7]))
