"""Between the tensors of a running training and the files of a checkpoint.

Every tensor is stored whole and by the name of its parameter, so that a checkpoint depends neither
on the number of processes nor on what each of them holds. Random numbers need no state: see
seed_step.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Protocol

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from finetune_trainer.engine.optimizers import from_tensors, to_tensors
from finetune_trainer.engine.sharding import SharedMoments, gather, whole

WEIGHTS = "weights"
OPTIMIZER = "optimizer"
_FILE_BYTES = 1 << 27
"""Of one file, about: what the leading process holds at a time of tensors that others hold."""

Whole = Callable[[], torch.Tensor]
"""Gives a tensor with all its values; where processes hold shares of it, all must call it."""


class Moments(Protocol):
    """What the optimizer knows of each trained parameter."""

    def of(self, parameter: torch.nn.Parameter) -> Mapping[str, Whole]:
        """By the optimizer's own word for it."""

    def put(self, parameter: torch.nn.Parameter, saved: Mapping[str, torch.Tensor]) -> None:
        """Give some of it back."""


@dataclass(frozen=True)
class States:
    """What a checkpoint holds."""

    weights: Mapping[str, Whole]
    optimizer: Mapping[str, Whole]
    """By the names of a parameter and of what is known of it, with a slash between."""


def trainable(model: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    """The trained parameters by name."""
    return {name: value for name, value in model.named_parameters() if value.requires_grad}


def states(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> States:
    """The trained parameters and what the optimizer knows about each."""
    parameters, moments = trainable(model), _moments(optimizer)
    return States(
        weights={name: gather(value) for name, value in parameters.items()},
        optimizer={
            f"{name}/{key}": get
            for name, parameter in parameters.items()
            for key, get in moments.of(parameter).items()
        },
    )


def save(directory: Path, of_training: States) -> None:
    """Write on the leading process while the others `lend`."""
    _save(directory, WEIGHTS, of_training.weights)
    _save(directory, OPTIMIZER, of_training.optimizer)


def lend(of_training: States) -> None:
    """Give the leading process the shares of this one, in the order in which it asks."""
    for get in (*of_training.weights.values(), *of_training.optimizer.values()):
        get()


def load_weights(directory: Path, model: torch.nn.Module) -> None:
    """Copy the trained parameters into the model.

    Raises:
        ValueError: the names differ, so that the checkpoint is of another model or method.
    """
    parameters = trainable(model)
    if set(_names(directory, WEIGHTS)) != parameters.keys():
        raise ValueError(f"{directory.name} holds other parameters than are trained")
    for name, value in _read(directory, WEIGHTS):
        with whole([parameters[name]], changes=True), torch.no_grad():
            parameters[name].copy_(value)


def load_optimizer(
    directory: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer
) -> None:
    """Give the optimizer back what it knew about each trained parameter."""
    parameters, moments = trainable(model), _moments(optimizer)
    for name, known in groupby(_read(directory, OPTIMIZER), lambda each: _parameter(each[0])):
        moments.put(parameters[name], {key.rpartition("/")[2]: value for key, value in known})


def seed_step(seed: int, step: int, rank: int) -> None:
    """Seed dropout for one step of one process.

    Seeded anew at every step, random numbers depend on nothing that a restart could lose.
    """
    digest = hashlib.sha256(f"{seed}/{step}/{rank}".encode()).digest()
    torch.manual_seed(int.from_bytes(digest[:7]))


@dataclass(frozen=True)
class _OwnMoments:
    """Of an optimizer that knows the parameters themselves."""

    optimizer: torch.optim.Optimizer

    def of(self, parameter: torch.nn.Parameter) -> Mapping[str, Whole]:
        return {
            key: value.detach for key, value in to_tensors(self.optimizer.state[parameter]).items()
        }

    def put(self, parameter: torch.nn.Parameter, saved: Mapping[str, torch.Tensor]) -> None:
        known = from_tensors(self.optimizer, saved, parameter.device)
        self.optimizer.state[parameter].update(known)


def _moments(optimizer: torch.optim.Optimizer) -> Moments:
    return SharedMoments.of_optimizer(optimizer) or _OwnMoments(optimizer)


def _parameter(name: str) -> str:
    return name.rpartition("/")[0]


def _save(directory: Path, kind: str, tensors: Mapping[str, Whole]) -> None:
    number, held, size = 1, dict[str, torch.Tensor](), 0
    for name, get in tensors.items():
        value = get()
        if held and size + value.nbytes > _FILE_BYTES:
            save_file(held, directory / f"{kind}-{number}.safetensors")
            number, held, size = number + 1, {}, 0
        held[name] = value
        size += value.nbytes
    save_file(held, directory / f"{kind}-{number}.safetensors")


def _names(directory: Path, kind: str) -> list[str]:
    names: list[str] = []
    for file in directory.glob(f"{kind}-*.safetensors"):
        with safe_open(file, framework="pt") as tensors:
            names += tensors.keys()
    return names


def _read(directory: Path, kind: str) -> Iterator[tuple[str, torch.Tensor]]:
    """One after the other, in the same order on every process."""
    for file in sorted(directory.glob(f"{kind}-*.safetensors")):
        with safe_open(file, framework="pt") as tensors:
            for name in sorted(tensors.keys()):
                yield name, tensors.get_tensor(name)
