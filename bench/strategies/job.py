"""What is trained by every strategy, and what memory is estimated for it. Pure."""

from typing import Any

from finetune_trainer.memory.estimate import estimate
from finetune_trainer.memory.families import architecture_from_config
from finetune_trainer.memory.layout import Layout, Machine
from finetune_trainer.recipe import Recipe, Strategy

PROCESSES = 2
METHODS: dict[str, dict[str, Any]] = {
    "LoRA": {"type": "LoRA", "lora": {"rank": 16, "alpha": 32, "dropout": 0.0}},
    "DoRA": {"type": "DoRA", "dora": {"rank": 16, "alpha": 32, "dropout": 0.0}},
    "Full": {"type": "Full"},
}


def recipe(method: str, strategy: Strategy, max_length: int, steps: int = 1) -> Recipe:
    """Two sequences for each process and step, one at a time."""
    return Recipe.model_validate(
        {
            "job": {"namespace": "bench", "name": "strategies", "generation": 1},
            "model": {"storageUri": "pvc://model"},
            "task": "Chat",
            "dataset": {"train": [{"storageUri": "pvc://data"}], "format": "OpenAIChat"},
            "method": METHODS[method],
            "training": {
                "epochs": 1,
                "maxSteps": steps,
                "learningRate": 1e-5 if method == "Full" else 2e-4,
                "schedule": "Cosine",
                "warmupSteps": 0,
                "maxLength": max_length,
                "packing": True,
                "tokensPerBatch": 2 * PROCESSES * max_length,
                "precision": "FP32",
                "seed": 42,
            },
            "compute": {
                "device": "CPU",
                "nodes": PROCESSES,
                "gpusPerNode": 0,
                "passes": {"microBatch": 1},
            },
            "distribution": {"strategy": strategy},
            "checkpoint": {"intervalSteps": 10**6, "intervalSeconds": 10**6, "keep": 1},
        }
    )


def predict(
    method: str, strategy: Strategy, max_length: int, config: dict[str, Any]
) -> dict[str, int]:
    """Bytes by part, and in all, of a process whose rows are full and learned from throughout.

    Args:
        config: the model's config.json.
    """
    needed = estimate(
        recipe(method, strategy, max_length),
        architecture_from_config(config),
        Machine(gpu=False, bf16=False),
        Layout(strategy=strategy),
    )
    return needed.parts() | {"total": needed.total}
