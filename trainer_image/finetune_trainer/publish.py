"""`publish`: push what training wrote to output/, an image for each export, and say the digests.

Repeating it is free: the same files give the same image, and one that is there is not pushed.
"""

import argparse
import errno
import hashlib
import logging
import shutil
from pathlib import Path

from pydantic import ValidationError

from finetune_trainer import record
from finetune_trainer.artifacts import destination, kinds, named, repository, trained_of
from finetune_trainer.commands import add_output_arguments, registry_of
from finetune_trainer.errors import ConfigurationError, DataError, TrainerError, UnavailableError
from finetune_trainer.gates import failures
from finetune_trainer.manifest import (
    ArtifactKind,
    CompletionManifest,
    FileDigest,
    Published,
    Pushed,
    Trained,
)
from finetune_trainer.oci.layout import PackedImage, pack
from finetune_trainer.oci.reference import ImageReference
from finetune_trainer.oci.registry import Registry, digest_of
from finetune_trainer.recipe import Recipe, read_recipe
from finetune_trainer.workspace import Workspace

UNRECORDED_LENGTH = 500
"""Of what is told of a record that could not be written: a termination message is short."""

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_output_arguments(parser)
    parser.add_argument(
        "--result-key", default="", help="sha256:… of what decided the result; recorded under it"
    )


def run(arguments: argparse.Namespace) -> Published:
    registry = registry_of(arguments)
    workspace = Workspace(arguments.workspace)
    recipe = read_recipe(arguments.recipe)
    return publish(recipe, arguments.uri, workspace, registry, key=arguments.result_key)


def publish(
    recipe: Recipe, uri: str, workspace: Workspace, registry: Registry, *, key: str = ""
) -> Published:
    """Verify output/, and pack, push and read back what the recipe exports, one after the other.

    What was trained gets the tag of `uri`; of everything else the tag ends in its folder's name.
    Where a gate does not hold, no tag moves: what is pushed has its digest only. Recorded under
    `key` it is all the same, since another job may set other gates.

    Raises:
        ConfigurationError: there is nothing to publish, it is another recipe's, or the name is bad.
        DataError: a file is not what training wrote.
        CredentialsRefusedError: the registry answered 401 or 403.
        UnavailableError: the registry or space on the volume is missing for now.
    """
    image = destination(uri)
    completion, trained = _read_completion(recipe, workspace)
    for file in completion.files:
        _verify(workspace.output, file)
    pushed = [
        _publish_one(kind, completion, image, workspace, registry, recipe=recipe)
        for kind in kinds(recipe, completion)
    ]
    unrecorded = _record(key, pushed, workspace, image, registry) if key else ""
    return Published(
        repository=repository(image), images=pushed, completion=trained, unrecorded=unrecorded
    )


def _record(
    key: str,
    pushed: list[Pushed],
    workspace: Workspace,
    image: ImageReference,
    registry: Registry,
) -> str:
    """Why it could not be recorded: the result is pushed, and is not to be lost over that."""
    temporary = workspace.root / ".record"
    try:
        record.write(
            key,
            pushed,
            workspace.completion,
            image=image,
            registry=registry,
            temporary=temporary,
        )
    except (TrainerError, OSError) as error:
        log.warning("the result cannot be found again: %s", error)
        return str(error)[:UNRECORDED_LENGTH]
    return ""


def _publish_one(
    kind: ArtifactKind,
    completion: CompletionManifest,
    image: ImageReference,
    workspace: Workspace,
    registry: Registry,
    *,
    recipe: Recipe,
) -> Pushed:
    target = named(image, kind, completion)
    temporary = workspace.root / ".publish"
    try:
        if temporary.exists():
            shutil.rmtree(temporary)
        packed = pack(
            _files(kind, completion, workspace), _annotations(kind, completion), temporary
        )
        if failed := failures(recipe.evaluation.gates, completion.evaluation):
            log.warning("the tag %s is not moved: %s", target.tag, "; ".join(failed))
            target = target.at(packed.digest)
        _push(packed, target, registry)
        shutil.rmtree(temporary)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise UnavailableError(
            f"the volume of {workspace.root} is full: packing needs once more the size of the"
            " largest export; make checkpoint.volumeClaim.size larger"
        ) from error
    return Pushed(kind=kind, digest=packed.digest, bytes=packed.bytes)


def _read_completion(recipe: Recipe, workspace: Workspace) -> tuple[CompletionManifest, Trained]:
    path = workspace.completion
    try:
        content = path.read_bytes()
        completion = CompletionManifest.model_validate_json(content)
    except FileNotFoundError as error:
        raise ConfigurationError(
            f"nothing to publish: {path} does not exist, training is not complete"
        ) from error
    except ValidationError as error:
        raise DataError(f"{path} is no completion manifest: {error}") from error
    if completion.recipe_digest != recipe.digest():
        raise ConfigurationError(
            f"{workspace.output} was made by recipe {completion.recipe_digest},"
            f" not by this one ({recipe.digest()})"
        )
    if missing := completion.missing(recipe.output.conversions):
        raise ConfigurationError(
            f"nothing to publish yet: {', '.join(missing)} of output.exports is not made; the"
            " training container makes it after training"
        )
    return completion, trained_of(completion, content)


def _verify(output: Path, expected: FileDigest) -> None:
    path = output / expected.path
    if not path.resolve().is_relative_to(output.resolve()) or not path.is_file():
        raise DataError(f"{path} is missing: output/ was changed after training")
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != expected.sha256:
        raise DataError(
            f"{path} was changed after training: SHA-256 {found}, training wrote {expected.sha256}"
        )


def _files(
    kind: ArtifactKind, completion: CompletionManifest, workspace: Workspace
) -> dict[str, Path]:
    """The files that the manifest vouches for, by their path in the image; no others."""
    folder = kind.folder + "/"
    return {
        file.path.removeprefix(folder): workspace.output / file.path
        for file in completion.files
        if file.path.startswith(folder)
    }


def _annotations(kind: ArtifactKind, completion: CompletionManifest) -> dict[str, str]:
    job = completion.job
    return {
        "org.opencontainers.image.title": job.name,
        "dev.finetune.job": f"{job.namespace}/{job.name}",
        "dev.finetune.kind": kind.value,
        "dev.finetune.base-model": completion.base_model,
        "dev.finetune.base-model-revision": completion.base_model_revision,
        "dev.finetune.recipe-digest": completion.recipe_digest,
        "dev.finetune.dataset-digest": completion.dataset_digest,
    }


def _push(packed: PackedImage, image: ImageReference, registry: Registry) -> None:
    present = registry.manifest(image)
    if present is not None and digest_of(present) == packed.digest:
        log.info("%s is there already as %s", image.uri, packed.digest)
        return
    log.info("pushing %d bytes to %s", packed.bytes, image.uri)
    registry.push(packed, image)
    pushed = registry.manifest(image.at(packed.digest))
    if pushed is None or digest_of(pushed) != packed.digest:
        raise UnavailableError(
            f"{image.uri}: the registry took the image but does not give {packed.digest} back"
        )
