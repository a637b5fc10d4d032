"""The process that makes of what was trained what else is wanted, started as the training ones are.

One export after the other, each committed by itself: an attempt that is stopped here trains
nothing again, and makes only what is missing.
"""

import argparse
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from itertools import chain
from pathlib import Path
from typing import NoReturn

import torch

from finetune_trainer.base_model import open_base_model
from finetune_trainer.data.dataset import Dataset, load_dataset
from finetune_trainer.engine.progress import ProgressReporter
from finetune_trainer.engine.stop import StopRequest
from finetune_trainer.engine.worker import carry_out
from finetune_trainer.export.comparison import PROMPTS, TOKENS, Prompts
from finetune_trainer.export.exporters import exporter
from finetune_trainer.export.material import Material
from finetune_trainer.export.model_card import export_card
from finetune_trainer.export.output import content_of, digests, let_others_read, trained
from finetune_trainer.fence import Fence
from finetune_trainer.heads import HEADS
from finetune_trainer.manifest import (
    ArtifactKind,
    CompletionManifest,
    Exported,
    Progress,
    Stage,
    Trained,
)
from finetune_trainer.processors import usable
from finetune_trainer.recipe import Export, Recipe, read_recipe
from finetune_trainer.workspace import (
    Workspace,
    locate,
    sync_directory,
    sync_tree,
    write_durably,
)


def main(arguments: argparse.Namespace) -> NoReturn:
    """Export."""
    carry_out(work, arguments)


def work(recipe_path: Path, workspace: Workspace) -> Trained:
    """Everything of output.exports that is not there yet.

    Raises:
        SupersededError: a later attempt owns the volume.
        PreemptedError: SIGTERM arrived.
    """
    recipe = read_recipe(recipe_path)
    attempt = int(os.environ.get("FINETUNE_ATTEMPT", "1"))
    manifest = CompletionManifest.model_validate_json(workspace.completion.read_bytes())
    stop = StopRequest()
    stop.checkpoint_saved(manifest.step)
    stop.listen()
    torch.set_num_threads(usable())
    # The libraries print; standard output is for the last words.
    with ProgressReporter.from_environment() as reporter, redirect_stdout(sys.stderr):
        if missing := manifest.missing(recipe.output.conversions):
            reporter.report(
                Progress(
                    attempt=attempt,
                    stage=Stage.EXPORTING,
                    step=manifest.step,
                    total_steps=manifest.total_steps,
                )
            )
            manifest = make(missing, recipe, manifest, workspace, Fence(workspace.fence, attempt))
    return trained(manifest, content_of(manifest))


def make(
    missing: list[Export],
    recipe: Recipe,
    manifest: CompletionManifest,
    workspace: Workspace,
    fence: Fence,
) -> CompletionManifest:
    """Each in a folder of its own beside what was trained. Returns the manifest that names all."""
    scratch = workspace.root / ".export"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    try:
        material = gather(recipe, manifest, workspace, scratch)
        for export in missing:
            folder = scratch / "finished"
            folder.mkdir()
            figures = exporter(export).write(material, folder)
            made = Exported(kind=ArtifactKind(export.value), figures=figures)
            card = export_card(recipe, manifest, made, exporter(export).USE)
            (folder / "README.md").write_text(card, encoding="utf-8")
            manifest = _commit(folder, made, manifest, workspace, fence)
            if export is Export.MERGED:
                material.use_merged(workspace.output / made.kind.folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return manifest


def gather(
    recipe: Recipe,
    manifest: CompletionManifest,
    workspace: Workspace,
    scratch: Path,
    *,
    prompts: int = PROMPTS,
    tokens: int = TOKENS,
) -> Material:
    """What exports of a finished training are made from.

    Args:
        recipe: what was run.
        manifest: of what it has left.
        workspace: where that lies.
        scratch: a folder for what is not kept.
        prompts: how many held-out examples the exports are compared on.
        tokens: of each, at most.
    """
    path = locate(workspace.model, recipe.model.storage_uri)
    base = open_base_model(path, recipe.training.max_length, HEADS[recipe.task])
    dataset = load_dataset(recipe, workspace, base.tokenizer())
    material = Material(
        recipe=recipe,
        base=base,
        kind=manifest.kind,
        trained=workspace.output / manifest.kind.folder,
        settings=dataset.settings,
        tokenizer=dataset.tokenizer,
        prompts=Prompts.of(_examples(dataset), base.head, prompts, tokens),
        scratch=scratch,
    )
    if any(each.kind is ArtifactKind.MERGED for each in manifest.exports):
        material.use_merged(workspace.output / ArtifactKind.MERGED.folder)
    return material


def _examples(dataset: Dataset) -> Iterator[object]:
    """Held-out ones first; those that were learned from where they are too few."""
    held_out = dataset.validation.examples if dataset.validation else ()
    return chain(held_out, dataset.train.examples)


def _commit(
    folder: Path,
    made: Exported,
    manifest: CompletionManifest,
    workspace: Workspace,
    fence: Fence,
) -> CompletionManifest:
    let_others_read(folder)
    sync_tree(folder)
    place = workspace.output / made.kind.folder
    fence.hold()
    shutil.rmtree(place, ignore_errors=True)
    folder.rename(place)
    sync_directory(workspace.output)
    complete = manifest.model_copy(
        update={
            "exports": [*manifest.exports, made],
            "files": [*manifest.files, *digests(place, workspace.output)],
        }
    )
    write_durably(workspace.completion, content_of(complete))
    return complete
