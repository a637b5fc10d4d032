"""What every contestant is asked to do: the same model, data, adapter and optimizer."""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

RANK, ALPHA = 16, 32
LEARNING_RATE = 1e-4
BATCH = 4
"""Conversations of a step, as in the guides."""
SEED = 42


@dataclass(frozen=True)
class Assignment:
    """One run."""

    model: Path
    data: Path
    work: Path
    """An empty folder of its own."""
    device: str
    precision: str
    max_length: int
    """Tokens of a conversation at most; none is longer, so that nobody learns less by cutting."""
    row: int
    """Tokens of one forward pass, for those who lay conversations end to end: about as many as
    four conversations have, so that everyone takes as many optimizer steps."""

    @property
    def held_out(self) -> Path:
        """Conversations that nobody learns from."""
        return self.data.with_name("held-out.jsonl")

    @property
    def torch_device(self) -> torch.device:
        return torch.device("cuda" if self.device == "GPU" else "cpu")

    @property
    def dtype(self) -> torch.dtype:
        """Of the frozen weights, and of the arithmetic."""
        return torch.bfloat16 if self.precision == "BF16" else torch.float32

    @property
    def trainer_settings(self) -> dict[str, Any]:
        """What transformers.Trainer and those built on it are told alike."""
        return {
            "output_dir": str(self.work),
            "num_train_epochs": 1,
            "learning_rate": LEARNING_RATE,
            "weight_decay": 0.0,
            "optim": "adamw_torch_fused",
            "seed": SEED,
            "use_cpu": self.device == "CPU",
            "bf16": self.precision == "BF16",
            # Reading the loss waits for a GPU.
            "logging_steps": 10 if self.device == "GPU" else 1,
            "save_strategy": "no",
            "report_to": "none",
            "disable_tqdm": True,
            "dataloader_pin_memory": False,
        }

    def conversations(self) -> list[list[dict[str, Any]]]:
        """The messages of each conversation."""
        lines = self.data.read_text(encoding="utf-8").splitlines()
        return [json.loads(line)["messages"] for line in lines]


def parse(arguments: argparse.Namespace) -> Assignment:
    return Assignment(
        arguments.model,
        arguments.data,
        arguments.work,
        arguments.device,
        arguments.precision,
        arguments.max_length,
        arguments.row,
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    for name in ("model", "data", "work"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--device", choices=("CPU", "GPU"), required=True)
    parser.add_argument("--precision", choices=("FP32", "BF16"), required=True)
    parser.add_argument("--max-length", type=int, required=True)
    parser.add_argument("--row", type=int, required=True)
