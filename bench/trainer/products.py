"""How long the model's own matrix products take alone, and nothing else: what no trainer of an
adapter can be faster than. Prints seconds as JSON.

Forwards, and backwards to the inputs: frozen weights need no gradient of their own. By the library
that this trainer asks for them, which is the faster one here. In FP32 or BF16, of a whole row at a
time, each layer with weights of its own, as in the model.
"""

import json
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from finetune_trainer.memory.families import architecture_from_config
from finetune_trainer.products import times

REPEATS = 3


def shapes(model: Path, tokens: int, supervised: int) -> list[tuple[int, int, int]]:
    """Rows, inputs and outputs of each product."""
    architecture = architecture_from_config(json.loads((model / "config.json").read_bytes()))
    layer = [(tokens, each.inputs, each.outputs) for each in architecture.linears]
    return [
        *layer * architecture.layers,
        (supervised, architecture.hidden, architecture.vocabulary),
    ]


def seconds(products: Sequence[tuple[int, int, int]], dtype: torch.dtype, device: str) -> float:
    """Of all of them, both ways: the median of some repeats, the first left out."""
    weights = [
        torch.randn(outputs, inputs, dtype=dtype, device=device) for _, inputs, outputs in products
    ]
    most = max(rows * max(inputs, outputs) for rows, inputs, outputs in products)
    numbers = torch.randn(most, dtype=dtype, device=device)
    taken = []
    with torch.inference_mode():
        for _ in range(REPEATS + 1):
            began = time.perf_counter()
            for (rows, inputs, outputs), weight in zip(products, weights, strict=True):
                times(numbers[: rows * inputs].view(rows, inputs), weight)
                times(numbers[: rows * outputs].view(rows, outputs), weight.T)
            if device == "cuda":
                torch.cuda.synchronize()
            taken.append(time.perf_counter() - began)
    return statistics.median(taken[1:])


def main() -> None:
    """Arguments: the model's folder, tokens of a row, supervised ones, precision, device."""
    model, tokens, supervised, precision, device = sys.argv[1:]
    dtype = torch.bfloat16 if precision == "BF16" else torch.float32
    made = shapes(Path(model), int(tokens), int(supervised))
    print(json.dumps(seconds(made, dtype, "cuda" if device == "GPU" else "cpu")))


if __name__ == "__main__":
    main()
