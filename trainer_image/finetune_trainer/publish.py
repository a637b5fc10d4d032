"""`publish`: push what training wrote to output/, an image for each export, and say the digests.

Repeating it is free: the same files give the same image, and one that is there is not pushed.
"""

import argparse
import dataclasses
import errno
import hashlib
import logging
import shutil
from pathlib import Path

from pydantic import ValidationError

from finetune_trainer import authorities, credentials
from finetune_trainer.errors import ConfigurationError, DataError, UnavailableError
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
from finetune_trainer.recipe import Export, Recipe, read_recipe
from finetune_trainer.workspace import Workspace

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--recipe", type=Path, required=True)
    parser.add_argument("--uri", required=True, help="oci://HOST/REPOSITORY:TAG")
    parser.add_argument("--insecure-registry", action="append", default=[], metavar="HOST")
    parser.add_argument("--workspace", type=Path, default=Path("/workspace"))
    parser.add_argument(
        "--credentials", type=Path, default=credentials.FOLDER, help="a mounted Secret"
    )
    parser.add_argument(
        "--authorities", type=Path, default=authorities.FOLDER, help="a mounted ConfigMap"
    )


def run(arguments: argparse.Namespace) -> Published:
    authorities.trust(arguments.authorities)
    authfile = credentials.find(arguments.credentials, credentials.REGISTRY_AUTHFILE)
    registry = Registry(authfile, tuple(arguments.insecure_registry))
    workspace = Workspace(arguments.workspace)
    return publish(read_recipe(arguments.recipe), arguments.uri, workspace, registry)


def publish(recipe: Recipe, uri: str, workspace: Workspace, registry: Registry) -> Published:
    """Verify output/, and pack, push and read back what the recipe exports, one after the other.

    What was trained gets the tag of `uri`; of everything else the tag ends in its folder's name.
    Where a gate does not hold, no tag moves: what is pushed has its digest only.

    Raises:
        ConfigurationError: there is nothing to publish, it is another recipe's, or the name is bad.
        DataError: a file is not what training wrote.
        CredentialsRefusedError: the registry answered 401 or 403.
        UnavailableError: the registry or space on the volume is missing for now.
    """
    image = _destination(uri)
    completion, trained = _read_completion(recipe, workspace)
    for file in completion.files:
        _verify(workspace.output, file)
    pushed = [
        _publish_one(kind, completion, image, workspace, registry, recipe=recipe)
        for kind in _kinds(recipe, completion)
    ]
    repository = image.uri.removesuffix(f":{image.tag}")
    return Published(repository=repository, images=pushed, completion=trained)


def _kinds(recipe: Recipe, completion: CompletionManifest) -> list[ArtifactKind]:
    """What was trained comes first: it is what is served."""
    trained = [completion.kind] if Export.ADAPTER in recipe.output.exports else []
    return [*trained, *(ArtifactKind(each.value) for each in recipe.output.conversions)]


def _publish_one(
    kind: ArtifactKind,
    completion: CompletionManifest,
    image: ImageReference,
    workspace: Workspace,
    registry: Registry,
    *,
    recipe: Recipe,
) -> Pushed:
    suffix = "" if kind is completion.kind else f"-{kind.folder}"
    named = dataclasses.replace(image, tag=image.tag + suffix)
    temporary = workspace.root / ".publish"
    try:
        if temporary.exists():
            shutil.rmtree(temporary)
        packed = pack(
            _files(kind, completion, workspace), _annotations(kind, completion), temporary
        )
        if failed := failures(recipe.evaluation.gates, completion.evaluation):
            log.warning("the tag %s is not moved: %s", named.tag, "; ".join(failed))
            named = named.at(packed.digest)
        _push(packed, named, registry)
        shutil.rmtree(temporary)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise UnavailableError(
            f"the volume of {workspace.root} is full: packing needs once more the size of the"
            " largest export; make checkpoint.volumeClaim.size larger"
        ) from error
    return Pushed(kind=kind, digest=packed.digest, bytes=packed.bytes)


def _destination(uri: str) -> ImageReference:
    image = ImageReference.parse(uri)
    if image.digest:
        raise ConfigurationError(
            f"spec.output.storageUri: {uri} ends in a digest; give a tag, the digest is the result"
        )
    return image


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
    trained = Trained(
        step=completion.step,
        total_steps=completion.total_steps,
        best=completion.best,
        loss=completion.loss,
        evaluation=completion.evaluation,
        completion_digest="sha256:" + hashlib.sha256(content).hexdigest(),
    )
    return completion, trained


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
