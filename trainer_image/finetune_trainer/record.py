"""The record of a result: by what decided it, its images and its completion manifest are found
again in the repository that they were pushed to, whoever asks and however long after.

A record is an OCI index under a tag that follows from the key. It names the images, so that no
registry takes them for unused, and beside them one more, which holds completion.json: figures of
the evaluation, and the digest of every file.
"""

import dataclasses
import hashlib
import json
import shutil
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from finetune_trainer.errors import DataError
from finetune_trainer.manifest import ArtifactKind, CompletionManifest, Pushed
from finetune_trainer.oci.index import INDEX_TYPE, Index, Member, pack_index
from finetune_trainer.oci.layout import LAYER_TYPE, ROOT, pack
from finetune_trainer.oci.reference import ImageReference
from finetune_trainer.oci.registry import Registry, digest_of

KEY = "dev.finetune.result-key"
KIND = "dev.finetune.kind"
JOB = "dev.finetune.job"
COMPLETION = "Completion"
"""Kind of the image that is no artifact."""
COMPLETION_FILE = "completion.json"


@dataclass(frozen=True)
class Record:
    """What a repository has of one result."""

    image: ImageReference
    """Of the index, by its tag."""
    job: str
    """`namespace/name` of the job that has trained it."""
    members: dict[str, Member]
    """By kind."""


def place_of(image: ImageReference, key: str) -> ImageReference:
    """The tag of a record in the repository of an image.

    Args:
        key: `sha256:…` of everything that decides the result.
    """
    return dataclasses.replace(image, tag=f"result-{key.partition(':')[2]}", digest="")


def write(
    key: str,
    pushed: Sequence[Pushed],
    completion: Path,
    *,
    image: ImageReference,
    registry: Registry,
    temporary: Path,
) -> None:
    """Record images that were pushed; writing the same again pushes nothing.

    Args:
        completion: completion.json.
        image: whose repository they are in.
        temporary: a folder of nobody else's; it does not exist afterwards.

    Raises:
        TrainerError: the registry does not take it.
    """
    manifest = CompletionManifest.model_validate_json(completion.read_bytes())
    job = f"{manifest.job.namespace}/{manifest.job.name}"
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        packed = pack(
            {COMPLETION_FILE: completion}, {KIND: COMPLETION, KEY: key}, temporary / "image"
        )
        registry.push(packed, image.at(packed.digest))
        named = {each.kind.value: each.digest for each in pushed} | {COMPLETION: packed.digest}
        members = [_member(kind, image.at(digest), registry) for kind, digest in named.items()]
        index = pack_index(members, {KEY: key, JOB: job}, temporary / "index")
        place = place_of(image, key)
        present = registry.manifest(place)
        if present is None or digest_of(present) != index.digest:
            registry.push_index(index, place)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _member(kind: str, image: ImageReference, registry: Registry) -> Member:
    content = registry.manifest(image)
    if content is None:
        raise DataError(f"{image.uri} was pushed, and the registry does not have it")
    return Member(digest=image.digest, size=len(content), annotations={KIND: kind})


def find(key: str, image: ImageReference, registry: Registry) -> Record | None:
    """The record of that key in the repository of `image`, None where there is none.

    Raises:
        DataError: what is there is something else.
        TrainerError: the registry refuses, or cannot be asked.
    """
    place = place_of(image, key)
    content = registry.manifest(place)
    if content is None:
        return None
    try:
        index = Index.model_validate_json(content)
    except ValidationError as error:
        raise DataError(f"{place.uri} is no OCI index") from error
    if index.media_type != INDEX_TYPE or index.annotations.get(KEY) != key:
        raise DataError(f"{place.uri} is the record of something else: {KEY} is not {key}")
    members = {each.annotations.get(KIND, ""): each for each in index.manifests}
    return Record(place, index.annotations.get(JOB, ""), members)


def completion_of(
    record: Record, registry: Registry, temporary: Path
) -> tuple[CompletionManifest, bytes]:
    """completion.json of a record.

    Raises:
        DataError: it is not there, or is something else.
    """
    image = _image_of(record, COMPLETION)
    layer = _pull(image, registry, temporary)
    try:
        with tarfile.open(layer, "r:") as tar:
            file = tar.extractfile(f"{ROOT}/{COMPLETION_FILE}")
            content = file.read() if file is not None else b""
        return CompletionManifest.model_validate_json(content), content
    except (KeyError, tarfile.TarError, ValidationError) as error:
        raise DataError(f"{image.uri} holds no completion manifest") from error


def verified(
    record: Record,
    kind: ArtifactKind,
    completion: CompletionManifest,
    registry: Registry,
    temporary: Path,
) -> Pushed:
    """The image of that kind, after every file in it was compared with what training wrote.

    Raises:
        DataError: a file is missing, is another one, or was added.
    """
    image = _image_of(record, kind.value)
    layer = _pull(image, registry, temporary)
    folder = f"{kind.folder}/"
    wanted = {
        file.path.removeprefix(folder): file.sha256
        for file in completion.files
        if file.path.startswith(folder)
    }
    found = _digests(layer, image)
    for path in sorted(wanted.keys() | found.keys()):
        if wanted.get(path) != found.get(path):
            raise DataError(
                f"{image.uri}: {path} has SHA-256 {found.get(path, '(there is no such file)')},"
                f" and training wrote {wanted.get(path, '(no such file)')}"
            )
    if not wanted:
        raise DataError(f"{record.image.uri} says of no file that it is of {kind}")
    return Pushed(kind=kind, digest=image.digest, bytes=_bytes_of(image, registry))


def _image_of(record: Record, kind: str) -> ImageReference:
    member = record.members.get(kind)
    if member is None:
        raise DataError(f"{record.image.uri} has no image of kind {kind}")
    return record.image.at(member.digest)


def _pull(image: ImageReference, registry: Registry, temporary: Path) -> Path:
    """The one layer of an image of ours, uncompressed; skopeo compares blobs with their digests."""
    shutil.rmtree(temporary, ignore_errors=True)
    registry.pull(image, temporary)
    layers = json.loads((temporary / "manifest.json").read_text()).get("layers", [])
    if len(layers) != 1:
        raise DataError(f"{image.uri} has {len(layers)} layers, and this trainer writes one")
    digest: str = layers[0]["digest"]
    return temporary / digest.partition(":")[2]


def _digests(layer: Path, image: ImageReference) -> dict[str, str]:
    """SHA-256 in hex of every file, by its path below the folder that they lie in."""
    found: dict[str, str] = {}
    try:
        with tarfile.open(layer, "r:") as tar:
            for member in tar:
                path = member.name.removeprefix(f"{ROOT}/")
                if member.isdir():
                    continue
                file = tar.extractfile(member) if member.isreg() else None
                if file is None or path in found or path == member.name:
                    raise DataError(f"{image.uri}: {member.name} is none of the files of a result")
                found[path] = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
    except tarfile.TarError as error:
        raise DataError(f"{image.uri}: its layer is no tar file: {error}") from error
    return found


def _bytes_of(image: ImageReference, registry: Registry) -> int:
    """Size of the compressed layer, as publishing tells it."""
    content = registry.manifest(image) or b"{}"
    layers = json.loads(content).get("layers", [])
    return sum(layer["size"] for layer in layers if layer["mediaType"] == LAYER_TYPE)
