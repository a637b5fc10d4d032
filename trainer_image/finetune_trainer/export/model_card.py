"""README.md beside the weights: what this is, from what it was made, how well it does."""

import json
from typing import TYPE_CHECKING

from finetune_trainer.manifest import ArtifactKind, CompletionManifest, Evaluation, Exported
from finetune_trainer.recipe import Recipe, method_name

if TYPE_CHECKING:
    from finetune_trainer.export.output import Result

_USE = {
    ArtifactKind.ADAPTER: """\
from peft import AutoPeftModelForCausalLM
model = AutoPeftModelForCausalLM.from_pretrained("FOLDER")""",
    ArtifactKind.MODEL: """\
from transformers import AutoModelForCausalLM
model = AutoModelForCausalLM.from_pretrained("FOLDER")""",
}


def model_card(recipe: Recipe, result: "Result", kind: ArtifactKind) -> str:
    """Markdown with the front matter that model hubs read."""
    base = recipe.model.storage_uri
    library = "peft" if kind is ArtifactKind.ADAPTER else "transformers"
    facts = {
        "Base model": f"`{base}` {recipe.model.revision}".strip(),
        "Task": recipe.task.value,
        "Method": method_name(recipe.method.type, recipe.quantization.type),
        "Training examples": str(len(result.dataset.train.examples)),
        "Dataset digest": f"`{result.dataset.digest}`",
        "Recipe digest": f"`{recipe.digest()}`",
        "Optimizer steps": str(result.total_steps),
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
        _evaluation(result.evaluation),
        f"## Use\n\n```python\n{_USE[kind]}\n```",
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
        _evaluation(manifest.evaluation),
        f"## Use\n\n```python\n{use.strip()}\n```",
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _evaluation(evaluation: Evaluation | None) -> str:
    if evaluation is None:
        return ""
    base, tuned = evaluation.base, evaluation.tuned
    rows = "\n".join(f"| {name} | {base[name]} | {tuned[name]} |" for name in base)
    return (
        "## Evaluation\n\nOn held-out data; Loss is the mean cross-entropy in nats.\n\n"
        f"| | Base | Tuned |\n|---|---|---|\n{rows}"
    )
