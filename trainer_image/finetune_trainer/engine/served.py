"""What is served after training on a quantized model: the adapter on the model as it was published.

It is not what was trained, so it is loaded once more, as a server would, and measured: both as the
base model and with the adapter, and how far it is from what was trained.
"""

import logging
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from peft import PeftModel
from transformers import PreTrainedModel

from finetune_trainer.base_model import BaseModel
from finetune_trainer.cgroup import Cgroup
from finetune_trainer.engine.loading import load_model, published_dtype
from finetune_trainer.engine.loss import divergences
from finetune_trainer.engine.rows import make_row
from finetune_trainer.evaluate import Judge
from finetune_trainer.heads import HEADS, Head
from finetune_trainer.methods import METHODS
from finetune_trainer.methods.adapters import load_adapter
from finetune_trainer.recipe import Recipe

_EXAMPLES = 16
"""On which the distance to what was trained is taken: it needs both models at once."""

_MARGIN = 1.2
"""What evaluation takes beside the weights, and room to spare."""

log = logging.getLogger(__name__)


def load_served(
    trained: torch.nn.Module,
    recipe: Recipe,
    base: BaseModel,
    *,
    dtype: torch.dtype,
    settings: Mapping[str, object],
    judge: Judge,
) -> PeftModel | None:
    """The adapter on the unquantized model, beside what was trained.

    Returns:
        None where the device has no room for it, on every process alike.
    """
    device, processes = judge.world.device, recipe.compute.processes_per_node
    # On a processor all processes of a node load it, and none is refused: the kernel kills.
    needed = _MARGIN * base.parameters() * dtype.itemsize
    left = (
        torch.cuda.mem_get_info(device)[0]
        if device.type == "cuda"
        else Cgroup().memory_left() / processes
    )
    (crowded,) = judge.world.maximum([float(needed > left)])
    if crowded:
        log.warning(
            "the unquantized model takes %.1f GiB and %.1f are left: the quantized one is measured,"
            " as it was trained",
            needed / 2**30,
            left / 2**30,
        )
        return None
    with tempfile.TemporaryDirectory() as folder:
        METHODS[recipe.method.type].save(trained, recipe, Path(folder), published_dtype(base))
        torch.manual_seed(recipe.training.seed)  # its head is that of the base before training
        plain = cast("PreTrainedModel", load_model(base, dtype, device, settings=settings))
        if recipe.method.prompt_tuning is None:
            return PeftModel.from_pretrained(plain, folder)
        # PEFT's own would put one prompt before a row of several documents.
        prompted = METHODS[recipe.method.type].apply(plain, recipe)
        load_adapter(prompted, Path(folder))
        return cast("PeftModel", prompted)


def divergence(
    trained: torch.nn.Module,
    served: torch.nn.Module,
    examples: Sequence[Any],
    recipe: Recipe,
    judge: Judge,
) -> float | None:
    """Mean Kullback-Leibler divergence of what is served from what was trained, in nats for each
    supervised token of the first held-out examples; None of a model that does not generate."""
    if HEADS[recipe.task] is not Head.CAUSAL_LM:
        return None
    trained.eval()

    def sums(documents: Sequence[Any]) -> list[tuple[float, ...]]:
        row = make_row(documents).to(judge.world.device)
        counts = [document.targets for document in documents]
        parts = torch.split(divergences(trained, served, row), counts)
        return [
            (float(part.sum()), float(count)) for part, count in zip(parts, counts, strict=True)
        ]

    found = judge.score(served, examples[:_EXAMPLES], sums, columns=2).sum(axis=0)
    return float(found[0] / found[1])
