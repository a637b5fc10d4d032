"""Steps of one or of several methods in turns, in this process. Prints JSON."""

import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoConfig

from bench.memory.configurations import Configuration
from bench.memory.measure import Watch, random_row, resident, write_model_apart
from finetune_trainer.base_model import BaseModel
from finetune_trainer.engine.loading import load_model
from finetune_trainer.engine.loss import summed_loss
from finetune_trainer.engine.norms import fuse_norms
from finetune_trainer.methods import METHODS

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Order:
    """What is to be measured."""

    library: str
    """Whose adapters: `ours` or `peft`."""
    quantization: str
    methods: tuple[str, ...]
    """Each has a model of its own; in every round each takes a step."""
    tokens: tuple[int, ...]
    """Of a row."""
    rounds: int


def measure(order: Order) -> dict[str, Any]:
    """Seconds of each step by method and tokens, and the most memory."""
    with TemporaryDirectory() as folder:
        first = _configuration(order, order.methods[0], order.tokens[0])
        write_model_apart(first, Path(folder))
        files_before = resident()["RssFile"]
        contestants = {name: _contestant(order, name, Path(folder)) for name in order.methods}
        in_files = sum(
            each.nbytes
            for model, _ in contestants.values()
            for each in model.parameters()
            if each.is_floating_point()
        )
        seconds: dict[str, dict[int, list[float]]] = {name: {} for name in contestants}
        with Watch(files_before, in_files, CPU) as watch:
            for tokens in order.tokens:
                row = random_row(_configuration(order, order.methods[0], tokens))
                for number in range(order.rounds + 1):
                    for name, (model, optimizer) in contestants.items():
                        began = time.perf_counter()
                        torch.autograd.backward(summed_loss(model, row))
                        optimizer.step()
                        optimizer.zero_grad()
                        if number:  # the first makes the optimizer's state
                            taken = time.perf_counter() - began
                            seconds[name].setdefault(tokens, []).append(taken)
    return {"order": asdict(order), "seconds": seconds, "peak": watch.peak}


def _configuration(order: Order, method: str, tokens: int) -> Configuration:
    return Configuration(
        "SmolLM2-135M", method, order.quantization, tokens=tokens, documents=1, passes=1
    )


def _contestant(order: Order, method: str, folder: Path) -> tuple[Any, torch.optim.Optimizer]:
    recipe = _configuration(order, method, order.tokens[0]).recipe()
    base = BaseModel(folder, AutoConfig.from_pretrained(folder))
    loaded = load_model(base, torch.float32, CPU, recipe.quantization.type)
    model: Any
    if order.library == "ours":
        model = METHODS[recipe.method.type].apply(loaded, recipe)
        fuse_norms(model)
    else:
        settings = recipe.method.lora or recipe.method.dora
        if settings is None:
            raise ValueError(f"{method} has no rank")
        config = LoraConfig(
            task_type="CAUSAL_LM",
            r=settings.rank,
            lora_alpha=settings.alpha,
            lora_dropout=settings.dropout,
            target_modules="all-linear",
            use_dora=method == "DoRA",
        )
        model = get_peft_model(loaded, config)
    trained = [each for each in model.train().parameters() if each.requires_grad]
    return model, torch.optim.AdamW(trained, lr=1e-4, fused=True)


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    given |= {name: tuple(given[name]) for name in ("methods", "tokens")}
    print(json.dumps(measure(Order(**given))))
