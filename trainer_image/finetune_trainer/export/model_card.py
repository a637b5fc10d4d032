"""README.md beside the weights: what this is, from what it was made, how well it does."""

import json
from typing import TYPE_CHECKING

from finetune_trainer.heads import HEADS, Head
from finetune_trainer.manifest import ArtifactKind, CompletionManifest, Evaluation, Exported
from finetune_trainer.recipe import Recipe, method_name

if TYPE_CHECKING:
    from finetune_trainer.export.output import Result

_CLASSES = {
    Head.CAUSAL_LM: "AutoModelForCausalLM",
    Head.SEQUENCE_CLASSIFICATION: "AutoModelForSequenceClassification",
    Head.TOKEN_CLASSIFICATION: "AutoModelForTokenClassification",
    Head.SPAN: "AutoModelForQuestionAnswering",
}
"""transformers' classes for models that end in such a head."""


def model_card(recipe: Recipe, result: "Result", kind: ArtifactKind) -> str:
    """Markdown with the front matter that model hubs read."""
    base = recipe.model.storage_uri
    library = "peft" if kind is ArtifactKind.ADAPTER else "transformers"
    facts = {
        "Base model": f"`{base}` {recipe.model.revision}".strip(),
        **_start(recipe),
        "Task": recipe.task.value,
        "Method": method_name(recipe.method.type, recipe.quantization.type),
        "Training examples": str(len(result.dataset.train.examples)),
        "Dataset digest": f"`{result.dataset.digest}`",
        "Recipe digest": f"`{recipe.digest()}`",
        "Optimizer steps": str(result.step if result.best is None else result.best.step),
        "Precision": result.precision.value,
        "Training loss at the end": f"{result.loss:.4f}",
    }
    if result.divergence is not None:
        facts["KL from the quantized model it was trained on"] = f"{result.divergence:.4f} nats"
    table = "\n".join(f"| {name} | {value} |" for name, value in facts.items())
    sections = [
        f"---\nbase_model: {json.dumps(base.removeprefix('hf://'))}\nlibrary_name: {library}\n---",
        f"# {recipe.job.namespace}/{recipe.job.name}",
        f"{facts['Method']} fine-tuning of `{base}`, made by a FineTuneJob.",
        f"| | |\n|---|---|\n{table}",
        _evaluation(recipe, result.evaluation),
        f"## Use\n\n```python\n{_use(recipe, kind)}\n```",
        "## Recipe\n\n```json\n" + json.dumps(recipe.model_dump(mode="json"), indent=2) + "\n```",
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def export_card(recipe: Recipe, manifest: CompletionManifest, made: Exported, use: str) -> str:
    """Of something that was made of what was trained."""
    base = recipe.model.storage_uri
    facts = {
        "Base model": f"`{base}` {recipe.model.revision}".strip(),
        "Task": recipe.task.value,
        "Method": method_name(recipe.method.type, recipe.quantization.type),
        "Dataset digest": f"`{manifest.dataset_digest}`",
        "Recipe digest": f"`{manifest.recipe_digest}`",
    } | {name: f"{value:.6g}" for name, value in made.figures.items()}
    table = "\n".join(f"| {name} | {value} |" for name, value in facts.items())
    sections = [
        f"---\nbase_model: {json.dumps(base.removeprefix('hf://'))}\n---",
        f"# {recipe.job.namespace}/{recipe.job.name}: {made.kind}",
        f"| | |\n|---|---|\n{table}",
        _evaluation(recipe, manifest.evaluation),
        f"## Use\n\n```python\n{use.strip()}\n```",
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _use(recipe: Recipe, kind: ArtifactKind) -> str:
    head = HEADS[recipe.task]
    name = _CLASSES[head]
    if kind is ArtifactKind.MODEL:
        return f'from transformers import {name}\nmodel = {name}.from_pretrained("FOLDER")'
    if head is Head.CAUSAL_LM:
        name = name.replace("Auto", "AutoPeft")
        return f'from peft import {name}\nmodel = {name}.from_pretrained("FOLDER")'
    return (
        "from peft import PeftModel\n"
        f"from transformers import AutoConfig, {name}\n"
        'config = AutoConfig.from_pretrained("FOLDER")  # names the classes\n'
        f'base = {name}.from_pretrained("BASE", config=config)\n'
        'model = PeftModel.from_pretrained(base, "FOLDER")'
    )


def _start(recipe: Recipe) -> dict[str, str]:
    model = recipe.model
    if not model.adapter_uri:
        return {}
    return {"Goes on from": f"`{model.adapter_uri}` {model.adapter_revision}".strip()}


def _evaluation(recipe: Recipe, evaluation: Evaluation | None) -> str:
    if evaluation is None:
        return ""
    base, tuned = evaluation.base, evaluation.tuned
    preference, chained = recipe.preference, recipe.model.adapter_uri
    rows = "\n".join(f"| {name} | {base[name]} | {tuned[name]} |" for name in base)
    loss = f"that of {preference.loss}" if preference else "the mean cross-entropy in nats"
    before = "base model and the adapter gone on from" if chained else "base model"
    return (
        f"## Evaluation\n\nOn held-out data; Loss is {loss}, Base is the {before}.\n\n"
        f"| | Base | Tuned |\n|---|---|---|\n{rows}"
    )
