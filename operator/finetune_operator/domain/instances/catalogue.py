"""Machines by name: catalogue.yaml."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from finetune_trainer.memory.layout import Machine

_GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Measured:
    """What a step has reached on one such GPU, at least."""

    tflops: float
    """10¹² operations a second."""
    parameters: int
    """Of the smallest model that was measured; smaller ones keep a GPU less busy."""
    tokens_per_pass: int
    """Of the shortest pass that was measured."""


@dataclass(frozen=True, slots=True)
class GPU:
    """A model of GPU."""

    name: str
    memory: int
    """Bytes."""
    bf16_tflops: float | None
    """Peak of dense products, 10¹² operations a second; None where it does not multiply BF16."""
    fp32_tflops: float
    """The same in FP32, outside tensor cores."""
    measured: Measured | None

    @property
    def machine(self) -> Machine:
        """One such GPU, as a process has it."""
        return Machine(gpu=True, bf16=self.bf16_tflops is not None, memory=self.memory)

    def peak(self, *, bf16: bool) -> float:
        """10¹² operations a second in that arithmetic."""
        return self.bf16_tflops if bf16 and self.bf16_tflops else self.fp32_tflops


@dataclass(frozen=True, slots=True)
class Instance:
    """A machine size."""

    name: str
    provider: str
    gpu: GPU
    gpus: int
    cpus: int
    """Virtual ones."""
    memory: int
    """Bytes of the host."""


def instance(name: str) -> Instance | None:
    """The machine of that name; None for one that the catalogue does not know."""
    return _by_name().get(name)


@cache
def instances() -> tuple[Instance, ...]:
    """Every machine that is known."""
    document = yaml.safe_load((Path(__file__).parent / "catalogue.yaml").read_text("utf-8"))
    gpus = {each["name"]: _gpu(each) for each in document["gpus"]}
    return tuple(
        Instance(
            name=each["name"],
            provider=each["provider"],
            gpu=gpus[each["gpu"]],
            gpus=each["gpus"],
            cpus=each["vcpus"],
            memory=each["memoryGiB"] * _GIB,
        )
        for each in document["instances"]
    )


def _gpu(row: dict[str, Any]) -> GPU:
    measured = row.get("measured")
    return GPU(
        name=row["name"],
        memory=row["memoryGiB"] * _GIB,
        bf16_tflops=row["tflops"].get("bf16"),
        fp32_tflops=row["tflops"]["fp32"],
        measured=Measured(measured["tflops"], measured["parameters"], measured["tokensPerPass"])
        if measured
        else None,
    )


@cache
def _by_name() -> dict[str, Instance]:
    return {each.name: each for each in instances()}
