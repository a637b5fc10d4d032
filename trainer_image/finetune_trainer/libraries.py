"""Which of the installed libraries a process loads.

transformers, accelerate and PEFT load others wherever these are installed, used or not: torch for
a tokenizer; DeepSpeed, and by it MLflow, for every training; bitsandbytes for every adapter;
datasets for every trainer; scikit-learn, and by it SciPy, for generating with two models; Triton
where nothing is compiled for a GPU. Each takes a part of a second or seconds of every start.
"""

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from finetune_trainer.errors import ConfigurationError
from finetune_trainer.recipe import Device, Optimizer, QuantizationType, Recipe, Strategy, Task
from finetune_trainer.workspace import Workspace, locate


def hide(names: Iterable[str]) -> None:
    """Let them look as if they were not installed, to all that is imported from now on."""
    for name in names:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type] # the import system's own sign


def unused(recipe: Recipe, workspace: Workspace) -> Iterator[str]:
    """Those that a training does without."""
    yield "datasets"  # ours are read by data/
    if recipe.task is not Task.TOKEN_CLASSIFICATION:
        yield from ("sklearn", "scipy")  # seqeval's
    if recipe.compute.device is Device.CPU:
        yield "triton"
    if not (
        recipe.quantization.type is not QuantizationType.NONE
        or recipe.training.optimizer is Optimizer.ADAMW_8BIT
        or _has_quantized_base(recipe, workspace)
    ):
        yield "bitsandbytes"
    if recipe.strategies == (Strategy.DATA_PARALLEL,):
        yield "deepspeed"


def is_quantized(model: Path) -> bool:
    """Whether the files of a model hold fewer bits; false where they say nothing."""
    try:
        return "quantization_config" in json.loads((model / "config.json").read_bytes())
    except (OSError, ValueError):
        return False  # whoever loads it says what is wrong


def _has_quantized_base(recipe: Recipe, workspace: Workspace) -> bool:
    try:
        return is_quantized(locate(workspace.model, recipe.model.storage_uri))
    except ConfigurationError:
        return False
