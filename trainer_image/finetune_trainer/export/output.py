"""output/: written beside its place, checked, renamed into it; completion.json names every file."""

import hashlib
import logging
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import ValidationError
from safetensors import safe_open

from finetune_trainer.base_model import BaseModel
from finetune_trainer.data.dataset import Dataset
from finetune_trainer.engine.checkpoints import file_digest
from finetune_trainer.engine.loading import published_dtype
from finetune_trainer.export.model_card import model_card
from finetune_trainer.fence import Fence
from finetune_trainer.manifest import (
    ArtifactKind,
    Best,
    CompletionManifest,
    Evaluation,
    FetchedInput,
    FileDigest,
    Trained,
)
from finetune_trainer.methods import METHODS
from finetune_trainer.recipe import Precision, Recipe
from finetune_trainer.report.memory import Memory
from finetune_trainer.report.metrics_log import MetricsLog
from finetune_trainer.report.scores import ScoresFile
from finetune_trainer.workspace import Workspace, sync_directory, sync_tree

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Result:
    """What is known about a finished training."""

    recipe: Recipe
    attempt: int
    dataset: Dataset
    step: int
    """The last one."""
    total_steps: int
    best: Best | None
    loss: float
    evaluation: Evaluation | None
    scores: ScoresFile | None
    """What `evaluation` is the mean of."""
    divergence: float | None
    """Of what is served from what was trained, where those differ."""
    precision: Precision
    memory: Memory


def already_complete(workspace: Workspace, recipe: Recipe) -> Trained | None:
    """What an earlier attempt of the same recipe has left, if its training came to the end."""
    try:
        content = workspace.completion.read_bytes()
        manifest = CompletionManifest.model_validate_json(content)
    except (OSError, ValidationError):
        return None
    return trained(manifest, content) if manifest.recipe_digest == recipe.digest() else None


def write_output(
    model: torch.nn.Module, base: BaseModel, result: Result, workspace: Workspace, fence: Fence
) -> Trained:
    """Write what was trained, the tokenizer, the model card and, last, completion.json. What else
    is exported is made from it in another process: see process.py.

    Raises:
        SupersededError: a later attempt owns the volume; nothing was committed.
    """
    recipe = result.recipe
    method = METHODS[recipe.method.type]
    temporary = workspace.root / f".output.{fence.attempt}"
    shutil.rmtree(temporary, ignore_errors=True)
    folder = temporary / method.kind.folder
    folder.mkdir(parents=True)
    method.save(model, recipe, folder, published_dtype(base))
    _verify_weights(folder)
    if result.dataset.settings and method.kind is ArtifactKind.ADAPTER:
        # PEFT writes the head but not its classes.
        base.configured(result.dataset.settings).save_pretrained(folder)
    result.dataset.tokenizer.save_pretrained(folder)
    # Not before it is needed: drawing takes half a second of every start, on every process.
    from finetune_trainer.report.write import write_report  # noqa: PLC0415

    write_report(
        folder,
        recipe=recipe,
        dataset=result.dataset,
        evaluation=result.evaluation,
        scores=result.scores,
        metrics=MetricsLog(workspace.metrics),
        steps=result.step,
        planned=result.total_steps,
        best=result.best,
        attempt=result.attempt,
        divergence=result.divergence,
        memory=result.memory,
    )
    (folder / "README.md").write_text(model_card(recipe, result, method.kind), encoding="utf-8")
    if result.scores:
        (temporary / workspace.evaluation.name).write_text(result.scores.model_dump_json())
    manifest = _manifest(result, method.kind, temporary, workspace)
    content = content_of(manifest)
    (temporary / workspace.completion.name).write_bytes(content)
    let_others_read(temporary)
    sync_tree(temporary)
    fence.hold()
    shutil.rmtree(workspace.output, ignore_errors=True)
    temporary.rename(workspace.output)
    sync_directory(workspace.root)
    return trained(manifest, content)


def let_others_read(directory: Path) -> None:
    """safetensors writes files for their owner only; publishing may run as another user."""
    for path in directory.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)


def _verify_weights(folder: Path) -> None:
    """Read back what was written: empty or broken artifacts have been published elsewhere."""
    count = 0
    for path in folder.glob("*.safetensors"):
        with safe_open(path, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118 - not a mapping
                count += 1
                if not torch.isfinite(tensors.get_tensor(name)).all():
                    raise ArithmeticError(f"{path.name}: {name} holds values that are no numbers")
    if not count:
        raise RuntimeError(f"no trained tensor was written to {folder.name}")


def _manifest(
    result: Result, kind: ArtifactKind, directory: Path, workspace: Workspace
) -> CompletionManifest:
    return CompletionManifest(
        job=result.recipe.job,
        attempt=result.attempt,
        kind=kind,
        base_model=result.recipe.model.storage_uri,
        base_model_revision=result.recipe.model.revision,
        base_model_digest=_digest_of(workspace.model, workspace),
        adapter=result.recipe.model.adapter_uri,
        adapter_digest=_digest_of(workspace.adapter, workspace),
        recipe_digest=result.recipe.digest(),
        dataset_digest=result.dataset.digest,
        step=result.step,
        total_steps=result.total_steps,
        best=result.best,
        loss=result.loss,
        evaluation=result.evaluation,
        divergence=result.divergence,
        files=digests(directory, directory),
    )


def digests(folder: Path, root: Path) -> list[FileDigest]:
    """Of every file in the folder, its path relative to `root`."""
    return [
        FileDigest(
            path=path.relative_to(root).as_posix(),
            bytes=path.stat().st_size,
            sha256=file_digest(path),
        )
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    ]


def content_of(manifest: CompletionManifest) -> bytes:
    """completion.json."""
    return manifest.model_dump_json(indent=2).encode()


def _digest_of(fetched: Path, workspace: Workspace) -> str:
    """As fetch recorded it; empty when there is none, or it was read where it lies."""
    try:
        facts = workspace.facts(fetched).read_bytes()
        return FetchedInput.model_validate_json(facts).digest
    except (OSError, ValidationError):
        return ""


def trained(manifest: CompletionManifest, content: bytes) -> Trained:
    """What is said of it at the end of `train`."""
    return Trained(
        step=manifest.step,
        total_steps=manifest.total_steps,
        loss=manifest.loss,
        evaluation=manifest.evaluation,
        best=manifest.best,
        completion_digest="sha256:" + hashlib.sha256(content).hexdigest(),
    )
