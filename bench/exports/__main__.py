"""Train on the chat example, make every export, and print a table; `--json FILE` writes the same,
and `--page FILE` a page for people.

LoRA, and QLoRA for the divergence of what is served from what was trained. Each export is compared
with PyTorch on 50 prompts: logits, and the tokens that both say after the prompt, greedily.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime_genai
import torch
from numpy.typing import NDArray

from bench.exports.page import page
from bench.trainer.versions import versions
from finetune_trainer.engine.progress import ProgressReporter
from finetune_trainer.engine.run import run
from finetune_trainer.engine.stop import StopRequest
from finetune_trainer.engine.world import World
from finetune_trainer.export.exporters import exporter
from finetune_trainer.export.material import Material
from finetune_trainer.export.onnx_adapter import ADAPTER
from finetune_trainer.export.process import gather
from finetune_trainer.manifest import CompletionManifest
from finetune_trainer.processors import usable
from finetune_trainer.recipe import Export, Recipe
from finetune_trainer.workspace import Workspace

PROMPTS = 50
_DATA = Path(__file__).parents[2] / "examples" / "chat" / "data"
_GENERATED = (Export.ONNX, Export.ONNX_ADAPTER, Export.ONNX_INT8, Export.AI_TOOLKIT)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--page", type=Path, metavar="FILE")
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--tokens", type=int, default=64, help="of a prompt, at most")
    parser.add_argument("--answer", type=int, default=12, help="tokens of an answer")
    arguments = parser.parse_args()
    torch.set_num_threads(usable())
    with tempfile.TemporaryDirectory(prefix="bench-exports-") as folder:
        root = Path(folder)
        quantized, _, _ = _train(root / "qlora", arguments, "NF4")
        lora, recipe, place = _train(root / "lora", arguments, "None")
        material = gather(recipe, lora, place, root, prompts=PROMPTS, tokens=arguments.tokens)
        print(f"{'export':<14}{'MiB':>8}{'seconds':>9}{'logits':>11}{'same':>7}  answers  figures")
        rows = [_row(each, material, root, arguments.answer) for each in recipe.output.conversions]
    print(f"QLoRA: KL of what is served from what was trained {quantized.divergence} nats a token")
    settings = {
        "steps": arguments.steps,
        "prompts": PROMPTS,
        "tokens": arguments.tokens,
        "answer": arguments.answer,
    }
    report = {
        "versions": versions(),
        "settings": settings,
        "divergence": quantized.divergence,
        "exports": rows,
    }
    if arguments.page:
        arguments.page.write_text(page(report), encoding="utf-8")
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def _train(
    root: Path, arguments: argparse.Namespace, quantization: str
) -> tuple[CompletionManifest, Recipe, Workspace]:
    root.mkdir()
    low_rank = {"rank": 16, "alpha": 32, "dropout": 0.0}
    recipe = Recipe.model_validate(
        {
            "job": {"namespace": "bench", "name": "support", "generation": 1},
            "model": {"storageUri": f"file://{arguments.model}"},
            "task": "Chat",
            "dataset": {
                "train": [{"storageUri": f"file://{_DATA / 'train.jsonl'}"}],
                "validation": [{"storageUri": f"file://{_DATA / 'validation.jsonl'}"}],
                "format": "OpenAIChat",
            },
            "method": {"type": "LoRA", "lora": low_rank},
            "quantization": {"type": quantization},
            "training": {
                "epochs": 1,
                "maxSteps": arguments.steps,
                "learningRate": 1e-3,
                "schedule": "Cosine",
                "warmupSteps": 2,
                "maxLength": 256,
                "packing": True,
                "tokensPerBatch": 512,
                "precision": "FP32",
                "seed": 42,
            },
            "compute": {"device": "CPU", "nodes": 1, "gpusPerNode": 0},
            "checkpoint": {"intervalSteps": 1000, "intervalSeconds": 86400, "keep": 1},
            "output": {"exports": [each.value for each in Export]},
        }
    )
    place = Workspace(root)
    alone = World(rank=0, size=1, device=torch.device("cpu"))
    with ProgressReporter.from_environment() as reporter:
        run(recipe, place, attempt=1, world=alone, stop=StopRequest(), reporter=reporter)
    manifest = CompletionManifest.model_validate_json(place.completion.read_bytes())
    return manifest, recipe, place


def _row(export: Export, material: Material, root: Path, tokens: int) -> dict[str, Any]:
    folder = root / export.value
    folder.mkdir()
    began = time.monotonic()
    figures = exporter(export).write(material, folder)
    row: dict[str, Any] = {
        "export": export.value,
        "bytes": sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()),
        "seconds": round(time.monotonic() - began, 1),
        "figures": figures,
    }
    if export is Export.MERGED:
        material.use_merged(folder)
    if export in _GENERATED:
        row["sameAnswers"] = _same_answers(export, material, folder, tokens)
    others = {name: value for name, value in figures.items() if name.startswith("perplexity")}
    print(
        f"{export.value:<14}{row['bytes'] / 2**20:>8.0f}{row['seconds']:>9.1f}"
        f"{figures['logitDifference']:>11.2e}{figures['sameAnswer']:>7.3f}"
        f"  {row.get('sameAnswers', '')!s:<9}{others}",
        flush=True,
    )
    return row


def _same_answers(export: Export, material: Material, folder: Path, tokens: int) -> str:
    """How many of the prompts are answered with exactly PyTorch's tokens."""
    expected = _answers_of_torch(material, tokens)
    model = onnxruntime_genai.Model(str(folder))
    adapters = onnxruntime_genai.Adapters(model)
    if export is Export.ONNX_ADAPTER:
        adapters.load(str(folder / ADAPTER), "tuned")
    same = 0
    for ids, answer in zip(_questions(material), expected, strict=True):
        parameters = onnxruntime_genai.GeneratorParams(model)
        parameters.set_search_options(max_length=len(ids) + tokens, do_sample=False)
        generator = onnxruntime_genai.Generator(model, parameters)
        if export is Export.ONNX_ADAPTER:
            generator.set_active_adapter(adapters, "tuned")
        generator.append_tokens(ids.astype(np.int32))
        while not generator.is_done():
            generator.generate_next_token()
        same += [int(each) for each in generator.get_sequence(0)] == answer
    return f"{same}/{len(expected)}"


def _questions(material: Material) -> list[NDArray[np.int64]]:
    """The prompts, none with the end of an answer as its last token, where they happened to be cut:
    after that onnxruntime-genai says nothing, and transformers goes on."""
    end = material.tokenizer.eos_token_id
    return [ids[:-1] if ids[-1] == end else ids for ids in material.prompts.ids]


_ANSWERS: list[list[int]] = []
"""Of the merged model, made once: it and base + adapter are compared by the export Merged."""


def _answers_of_torch(material: Material, tokens: int) -> list[list[int]]:
    if not _ANSWERS:
        model: Any = material.load_merged()
        _ANSWERS.extend(_answer(model, ids, tokens) for ids in _questions(material))
    return _ANSWERS


def _answer(model: Any, ids: NDArray[np.int64], tokens: int) -> list[int]:
    """The prompt and what follows it, without the token that ends an answer: transformers returns
    it, and onnxruntime-genai does not."""
    given = torch.from_numpy(ids)[None]
    made = model.generate(
        given, attention_mask=torch.ones_like(given), max_new_tokens=tokens, do_sample=False
    )
    said = [int(each) for each in made[0]]
    ends = model.generation_config.eos_token_id
    ended = len(said) > len(ids) and said[-1] in (ends if isinstance(ends, list) else [ends])
    return said[:-1] if ended else said


if __name__ == "__main__":
    main()
