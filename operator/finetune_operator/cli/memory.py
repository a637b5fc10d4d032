"""The memory of this machine, and what a job would take of it."""

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetune_operator.cli.machine import Local
from finetune_operator.cli.refusals import Refusal, Refused
from finetune_trainer import allocator
from finetune_trainer.cgroup import Cgroup
from finetune_trainer.memory.architecture import Architecture
from finetune_trainer.memory.catalogue import architecture_of
from finetune_trainer.memory.choose import Choice
from finetune_trainer.memory.estimate import step_flops, step_seconds
from finetune_trainer.memory.families import UnknownArchitectureError, architecture_from_config
from finetune_trainer.memory.layout import Machine
from finetune_trainer.memory.sizing import gib, impossible, laid_out
from finetune_trainer.recipe import Device, Recipe

_BF16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}


@dataclass(frozen=True)
class Sized:
    """A recipe with its layout, and what is known of its memory."""

    recipe: Recipe
    choice: Choice | None = None
    """None where the model's architecture is not known."""
    notes: tuple[str, ...] = ()
    flops: float | None = None
    """Floating-point operations of a step."""
    seconds: float | None = None
    """Of a step, where the throughput is stated."""

    def to_json(self) -> dict[str, Any] | None:
        if self.choice is None:
            return None
        layout = self.choice.layout
        return {
            "parts": self.choice.estimate.parts(),
            "total": self.choice.estimate.total,
            "fits": self.choice.fits,
            "microBatch": layout.micro_batch,
            "gradientAccumulation": self.choice.accumulation(self.recipe),
            "activationCheckpointing": layout.activation_checkpointing,
            "strategy": self.recipe.strategy.value,
            "offload": layout.offload.value,
            "stepFlops": self.flops,
            "stepSeconds": self.seconds,
        }


def size(local: Local, machine: Machine, config: Path | None = None) -> Sized:
    """
    Args:
        config: the model's config.json, where it is neither in the catalogue nor on this machine.

    Raises:
        Refused: it cannot fit whatever the data are.
    """
    recipe = local.recipe
    try:
        architecture = _architecture(recipe.model.storage_uri, config)
    except UnknownArchitectureError as error:
        return Sized(recipe, notes=(f"memory is not estimated: {error}",))
    if architecture is None:
        why = "the model is not in the catalogue: give its config.json by --config"
        return Sized(recipe, notes=(f"memory is not estimated: {why}",))
    limit = "this machine's memory"
    if problem := impossible(recipe, architecture, machine, limit):
        raise Refused([Refusal("spec.model.storageUri", problem)])
    made, choice = laid_out(recipe, architecture, machine)
    return Sized(
        made,
        choice,
        tuple(_notes(choice, machine)),
        step_flops(made, architecture, choice.layout),
        step_seconds(made, architecture, machine, choice.layout),
    )


def this_machine(device: Device, flops_per_second: float | None = None) -> Machine:
    """One device of this machine."""
    if device is Device.GPU:
        return Machine(True, bf16=True, memory=_gpu_memory(), flops_per_second=flops_per_second)
    flags = set(Path("/proc/cpuinfo").read_text(encoding="utf-8").split())
    bf16 = not _BF16_FLAGS.isdisjoint(flags)
    memory = Cgroup().memory_limit()
    jemalloc = allocator.installed() is not None
    return Machine(
        False, bf16=bf16, memory=memory, flops_per_second=flops_per_second, jemalloc=jemalloc
    )


def _architecture(storage_uri: str, config: Path | None) -> Architecture | None:
    if config is None and storage_uri.startswith("file://"):
        config = Path(storage_uri.removeprefix("file://")) / "config.json"
    if config is None or not config.is_file():
        return architecture_of(storage_uri)
    try:
        return architecture_from_config(json.loads(config.read_bytes()))
    except ValueError as error:
        raise UnknownArchitectureError(f"{config} is not JSON: {error}") from error


def _notes(choice: Choice, machine: Machine) -> list[str]:
    if choice.fits or machine.memory is None:
        return []
    return [
        f"full rows of supervised tokens would take {gib(choice.estimate.total)} of"
        f" {gib(machine.memory)}, and training may be killed: lower training.maxLength, or set"
        " quantization.type NF4"
    ]


def _gpu_memory() -> int | None:
    """Of the smallest GPU; None where NVIDIA's tool is missing."""
    if not shutil.which("nvidia-smi"):
        return None
    query = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    said = subprocess.run(query, capture_output=True, text=True, check=False).stdout.split()
    return min((int(each) << 20 for each in said if each.isdigit()), default=None)
