"""Every combination that is not refused: trained, resumed, and read back by PEFT alone.

python -m tests.trainer.matrix --json FILE    # the full product; goes on where FILE ends
"""

import argparse
import functools
import gc
import hashlib
import itertools
import json
import multiprocessing
import os
import random
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from peft.utils import ModulesToSaveWrapper
from safetensors.torch import load_file
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)

import finetune_trainer
from finetune_trainer.base_model import BaseModel, open_base_model
from finetune_trainer.data.dataset import load_dataset
from finetune_trainer.engine.checkpoints import STATE
from finetune_trainer.engine.loading import load_model
from finetune_trainer.engine.progress import ProgressReporter
from finetune_trainer.engine.run import run
from finetune_trainer.engine.state import load_weights
from finetune_trainer.engine.stop import StopRequest
from finetune_trainer.engine.world import World
from finetune_trainer.heads import HEADS, Head
from finetune_trainer.methods import METHODS
from finetune_trainer.recipe import (
    Initialization,
    Metric,
    Optimizer,
    Precision,
    QuantizationType,
    Recipe,
    Task,
)
from finetune_trainer.rules import TASK_METRICS, problems
from finetune_trainer.workspace import Workspace
from tests.trainer.recipes import CONVERSATIONS, PAIRS, recipe, workspace
from tests.trainer.tiny_models import ENCODERS, write_encoder, write_model

CPU = torch.device("cpu")

_LOW_RANK = {"rank": 4, "alpha": 8, "dropout": 0.0}

METHOD_SETTINGS: dict[str, dict[str, Any]] = {
    "LoRA": {"type": "LoRA", "lora": {**_LOW_RANK, "dropout": 0.1}},
    "rsLoRA+ from PiSSA": {
        "type": "LoRA",
        "lora": {
            **_LOW_RANK,
            "rankStabilized": True,
            "learningRateRatio": 16,
            "initialization": "PiSSA",
        },
    },
    "LoRA from LoftQ": {"type": "LoRA", "lora": {**_LOW_RANK, "initialization": "LoftQ"}},
    "DoRA": {"type": "DoRA", "lora": None, "dora": _LOW_RANK},
    "IA3": {"type": "IA3", "lora": None, "ia3": {}},
    "VeRA": {"type": "VeRA", "lora": None, "vera": {"rank": 8, "dropout": 0.0}},
    "PromptTuning": {"type": "PromptTuning", "lora": None, "promptTuning": {"virtualTokens": 3}},
    "Full": {"type": "Full", "lora": None},
}

_INSTRUCTIONS = [
    {"instruction": each["messages"][0]["content"], "output": each["messages"][1]["content"]}
    for each in CONVERSATIONS
]

TASK_DATA: dict[str, list[Any]] = {
    "Chat": CONVERSATIONS,
    "Instruction": _INSTRUCTIONS,
    "QuestionAnswering": [
        {"question": each["instruction"], "answer": each["output"]} for each in _INSTRUCTIONS
    ],
    "Translation": [
        {"source": each["instruction"], "target": each["output"]} for each in _INSTRUCTIONS
    ],
    "Completion": [{"text": each["instruction"] + each["output"]} for each in _INSTRUCTIONS],
    "ExtractiveQuestionAnswering": [
        {
            "question": f"Who is {number}?",
            "context": f"Number {number} is Ada{number}, as is known.",
            "answers": [{"text": f"Ada{number}", "start": len(f"Number {number} is ")}],
        }
        for number in range(24)
    ],
    "TextClassification": [
        {"text": each["instruction"], "label": f"of {number % 3}"}
        for number, each in enumerate(_INSTRUCTIONS)
    ],
    "TokenClassification": [
        {"tokens": ["Ask", f"Ada{number}", "Byron"], "tags": ["O", "B-PERSON", "I-PERSON"]}
        for number in range(24)
    ],
    "Preference by DPO": PAIRS,
    "Preference by KTO": PAIRS,
}

FACTORIES: dict[Head, Any] = {
    Head.CAUSAL_LM: AutoModelForCausalLM,
    Head.SEQUENCE_CLASSIFICATION: AutoModelForSequenceClassification,
    Head.TOKEN_CLASSIFICATION: AutoModelForTokenClassification,
    Head.SPAN: AutoModelForQuestionAnswering,
}

AXES: dict[str, tuple[Any, ...]] = {
    "method": tuple(METHOD_SETTINGS),
    "quantization": tuple(QuantizationType),
    "task": tuple(TASK_DATA),
    "precision": ("FP32", "Auto"),
    "packing": (True, False),
    "optimizer": tuple(Optimizer),
    "architecture": ("llama", "phi3", "bert"),
}


@dataclass(frozen=True)
class Cell:
    """One combination."""

    method: str
    quantization: str
    task: str
    precision: str
    packing: bool
    optimizer: str
    architecture: str

    @property
    def fits(self) -> bool:
        """Whether there is such a model: `check` refuses what there is not."""
        task, _ = self._task
        head, encoder = HEADS[task], self.architecture in ENCODERS
        return not (head is Head.CAUSAL_LM and encoder) and not (head is Head.SPAN and not encoder)

    @property
    def changes(self) -> dict[str, Any]:
        """Of the usual recipe."""
        task, loss = self._task
        return {
            "task": task,
            "preference": {"loss": loss, "beta": 0.3} if loss else None,
            "dataset": {"validationFraction": 0.25},
            "method": METHOD_SETTINGS[self.method],
            "quantization": {"type": self.quantization},
            "training": {
                "maxSteps": 4,
                "warmupSteps": 0,
                "precision": self.precision,
                "packing": self.packing,
                "optimizer": self.optimizer,
            },
            "checkpoint": {"intervalSteps": 2, "keep": 2},
            # What is forgotten is measured alike for every task, and would take most of the time.
            "evaluation": {
                "metrics": [name for name in TASK_METRICS[task] if name is not Metric.GENERAL_LOSS]
            },
        }

    @property
    def _task(self) -> tuple[Task, str]:
        """And the loss of a task that has several."""
        task, _, loss = self.task.partition(" by ")
        return Task(task), loss

    def __str__(self) -> str:
        packed = "packed" if self.packing else "alone"
        parts = (self.method, self.quantization, self.task, self.precision, packed)
        return ", ".join((*parts, self.optimizer, self.architecture))


def product() -> list[Cell]:
    """All cells that the rules allow."""
    cells = [Cell(*values) for values in itertools.product(*AXES.values())]
    return [cell for cell in cells if cell.fits and _allowed(replace(cell, architecture=""))]


@functools.cache
def _allowed(cell: Cell) -> bool:
    """The rules know no architecture."""
    return not problems(recipe(**cell.changes))


def pairs() -> list[Cell]:
    """A few cells in which any two allowed values of different axes meet."""
    bits: dict[tuple[tuple[str, Any], ...], int] = {}
    covered = {
        cell: sum(1 << bits.setdefault(pair, len(bits)) for pair in _pairs_of(cell))
        for cell in product()
    }
    missing = (1 << len(bits)) - 1
    chosen = []
    while missing:
        best = max(covered, key=lambda cell: (missing & covered[cell]).bit_count())
        missing &= ~covered[best]
        chosen.append(best)
    return chosen


def _pairs_of(cell: Cell) -> Iterator[tuple[tuple[str, Any], ...]]:
    return itertools.combinations(asdict(cell).items(), 2)


def check(cell: Cell, root: Path, device: torch.device = CPU) -> None:
    """Train in `root`, resume from the middle, read the result back on the processor.

    Raises:
        AssertionError: the resumed result is another one, or PEFT computes something else.
    """
    # Four-bit blocks are of 64 numbers.
    write = write_encoder if cell.architecture in ENCODERS else write_model
    base = write(root / "base", cell.architecture, hidden_size=64, intermediate_size=128)
    (root / "run").mkdir()
    gpus = {"compute": {"device": "GPU", "gpusPerNode": 1}} if device.type == "cuda" else {}
    made = workspace(root / "run", base, TASK_DATA[cell.task], **cell.changes, **gpus)
    place = Workspace(root / "run")
    train(made, place, attempt=1, device=device)
    whole = _artifact(place)
    shutil.rmtree(place.output)
    shutil.rmtree(place.checkpoints / "step-00000004")
    train(made, place, attempt=2, device=device)
    resumed = _artifact(place)
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    head = HEADS[made.task]
    theirs = _logits_by_peft(base, place, head)
    if head is Head.CAUSAL_LM:
        untuned = _logits(AutoModelForCausalLM.from_pretrained(base))
        assert float((theirs - untuned).abs().max()) > 1e-4
    difference = float((theirs - _logits(_trained(made, base, place, device))).abs().max())
    assert difference <= 1e-4, f"logits differ by {difference}"


def train(made: Recipe, place: Workspace, attempt: int, device: torch.device = CPU) -> None:
    """One attempt in this process."""
    alone = World(rank=0, size=1, device=device)
    reporter = ProgressReporter.from_environment()
    with reporter:
        run(made, place, attempt=attempt, world=alone, stop=StopRequest(), reporter=reporter)


def _artifact(place: Workspace) -> dict[str, torch.Tensor]:
    (file,) = place.output.rglob("*.safetensors")
    return load_file(file)


def _logits_by_peft(base: Path, place: Workspace, head: Head) -> torch.Tensor:
    (file,) = place.output.rglob("*.safetensors")
    factory = FACTORIES[head]
    if not (file.parent / "adapter_config.json").exists():
        return _logits(factory.from_pretrained(file.parent))
    # A new head has the classes of the configuration that is published beside it.
    config = AutoConfig.from_pretrained(base if head is Head.CAUSAL_LM else file.parent)
    plain = factory.from_pretrained(base, config=config)
    return _logits(PeftModel.from_pretrained(plain, str(file.parent)))


def _trained(made: Recipe, base: Path, place: Workspace, device: torch.device) -> torch.nn.Module:
    """What the checkpoint of the last step holds, around the base model as it is served.

    Args:
        device: on which it was trained, and so quantized.
    """
    method = METHODS[made.method.type]
    opened = open_base_model(base, made.training.max_length, HEADS[made.task])
    settings = _settings(made, place, opened)
    checkpoint = place.checkpoints / "step-00000004"
    if made.method.lora and made.method.lora.initialization is not Initialization.DEFAULT:
        state = json.loads((checkpoint / STATE).read_text())
        dtype = method.load_dtype(Precision(state["precision"]))
        held = load_model(opened, dtype, device, made.quantization.type, settings)
        served = load_model(opened, torch.float32, CPU, settings=settings)
        return _moved(method.apply(held, made), checkpoint, served)
    model = method.apply(load_model(opened, torch.float32, CPU, settings=settings), made)
    load_weights(checkpoint, model)
    return model


def _settings(made: Recipe, place: Workspace, opened: BaseModel) -> Mapping[str, object]:
    """What the task wants of the model's configuration."""
    return load_dataset(made, place, opened.tokenizer()).settings


def _moved(started: Any, checkpoint: Path, served: Any) -> torch.nn.Module:
    """The base model plus what training has changed of an update that was not zero, and the head
    as it was trained."""
    layers = {
        name.removeprefix("base_model.model."): module
        for name, module in started.named_modules()
        if hasattr(module, "lora_A")
    }
    start = {name: layer.get_delta_weight("default") for name, layer in layers.items()}
    load_weights(checkpoint, started)
    with torch.no_grad():
        for name, layer in layers.items():
            moved = layer.get_delta_weight("default") - start[name]
            served.get_submodule(name).weight += moved.cpu()
        for name, module in started.named_modules():
            if isinstance(module, ModulesToSaveWrapper):
                head = served.get_submodule(name.removeprefix("base_model.model."))
                head.load_state_dict(module.modules_to_save["default"].state_dict())
    return served


def _logits(model: Any) -> torch.Tensor:
    ids = torch.arange(40)[None]
    ends = torch.tensor([0, 40], dtype=torch.int32)
    lengths = {"cu_seq_lens_q": ends, "cu_seq_lens_k": ends, "max_length_q": 40, "max_length_k": 40}
    ours = model.config._attn_implementation == "per_document"
    with torch.no_grad():
        answer = model.eval()(input_ids=ids, **(lengths | {"use_cache": False} if ours else {}))
    if "start_logits" in answer:
        return torch.cat([answer.start_logits, answer.end_logits])
    logits: torch.Tensor = answer.logits[0]
    return logits[-40:]  # without those of virtual tokens


def code_digest() -> str:
    """sha256 of the trainer's code and of this table."""
    root = Path(finetune_trainer.__file__).parent
    files = [*sorted(root.rglob("*.py")), Path(__file__)]
    return "sha256:" + hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()


def main() -> None:
    """Run the full product, a cell on each processor, and write what came of it as it comes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", type=Path, required=True)
    target = parser.parse_args().json
    report: dict[str, Any] = {"code": code_digest(), "cells": {}}
    if target.exists() and (before := json.loads(target.read_text()))["code"] == report["code"]:
        report = before
    cells = [cell for cell in product() if str(cell) not in report["cells"]]
    random.Random(0).shuffle(cells)  # so that what is wrong with one choice is seen soon
    with multiprocessing.get_context("spawn").Pool(os.cpu_count(), _begin) as pool:
        for at, result in enumerate(pool.imap_unordered(_result, cells), 1):
            report["cells"][result["cell"]] = result
            target.write_text(json.dumps(report, indent=1))
            told = result.get("failure", "works")
            print(f"{at}/{len(cells)} {told}: {result['cell']}", flush=True)
    failed = [name for name, each in report["cells"].items() if "failure" in each]
    print(f"{len(report['cells'])} cells, {len(failed)} failed")
    if failed:
        raise SystemExit(1)


def _begin() -> None:
    """Each process has a processor of its own; what is imported needs no collecting any more."""
    torch.set_num_threads(1)
    gc.collect()
    gc.freeze()


def _result(cell: Cell) -> dict[str, Any]:
    """What came of one cell."""
    began = time.monotonic()
    result: dict[str, Any] = {"cell": str(cell)}
    with tempfile.TemporaryDirectory() as root:
        try:
            check(cell, Path(root))
        except Exception as error:
            result["failure"] = f"{type(error).__name__}: {error}"
    return result | {"seconds": round(time.monotonic() - began, 2)}


if __name__ == "__main__":
    main()
