"""`oci://host/repository:tag`: what an image carries below /data, or all of it without such."""

import dataclasses
import json
import shutil
from pathlib import Path

from finetune_trainer import credentials
from finetune_trainer.errors import ConfigurationError
from finetune_trainer.fetch.contents import check, select
from finetune_trainer.fetch.place import empty
from finetune_trainer.fetch.source import Access, Source
from finetune_trainer.fetch.unpack import unpack
from finetune_trainer.oci.layout import ROOT
from finetune_trainer.oci.reference import ImageReference
from finetune_trainer.oci.registry import Registry, digest_of

_LAYER_WORD = "tar"
"""Every media type of a file system layer names tar; raw artifacts do not."""


def fetch(source: Source, target: Path, access: Access) -> str:
    """Pull into `target` by digest; returns the digest."""
    image = _resolved(source, access)
    empty(target)
    pulled, unpacked = target / ".image", target / ".content"
    _registry(access).pull(image, pulled)
    content = unpack(_layers(source, pulled), unpacked, ROOT, source.uri)
    _keep(source, content, target)
    shutil.rmtree(pulled)
    shutil.rmtree(unpacked)
    return image.digest


def pin(source: Source, access: Access) -> Source:
    """The same by digest. The registry tells that only to those who may pull it."""
    return dataclasses.replace(source, uri=_resolved(source, access).uri)


def _resolved(source: Source, access: Access) -> ImageReference:
    if source.revision:
        raise ConfigurationError(
            f"{source.field}: {source.uri} takes no revision: write the tag or digest in the URI"
        )
    image = ImageReference.parse(source.uri)
    manifest = _registry(access).manifest(image)
    if manifest is None:
        raise ConfigurationError(
            f"{source.field}: the registry {image.host} has no {image.name}:"
            " check repository, tag and digest"
        )
    return image.at(digest_of(manifest))


def _registry(access: Access) -> Registry:
    authfile = credentials.find(access.credentials, credentials.REGISTRY_AUTHFILE)
    return Registry(authfile, access.insecure_hosts)


def _layers(source: Source, pulled: Path) -> list[Path]:
    """The layer files that skopeo wrote, lowest first."""
    manifest = json.loads((pulled / "manifest.json").read_text())
    layers = manifest.get("layers", [])
    foreign = [layer["mediaType"] for layer in layers if _LAYER_WORD not in layer["mediaType"]]
    if foreign or not layers:
        raise ConfigurationError(
            f"{source.field}: {source.uri} is no image of files"
            f" (layers: {', '.join(foreign) or 'none'}): pack it as an image with tar layers"
        )
    return [pulled / layer["digest"].partition(":")[2] for layer in layers]


def _keep(source: Source, content: Path, target: Path) -> None:
    found = {path.relative_to(content).as_posix() for path in content.rglob("*") if path.is_file()}
    selected = select(source.kind, found)
    check(source, selected, found)
    # Links first, while what they name (within the image: unpack refused all others) is there.
    for path in sorted(selected, key=lambda path: not (content / path).is_symlink()):
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        if (content / path).is_symlink():
            shutil.copyfile(content / path, target / path)
        else:
            (content / path).rename(target / path)
