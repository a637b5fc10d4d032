"""Files packed as an OCI image, the same bytes in giving the same digest out.

One tar+gzip layer with everything under /data, so that KAITO's puller (untar into
/mnt/adapter/<name>) and a Kubernetes image volume (subPath data) both find it.
"""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

ROOT = "data"
"""The folder inside the image."""

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"

_COMPRESSION_LEVEL = 1
"""Weights hardly compress: a higher level costs time and gains nothing worth it."""


@dataclass(frozen=True)
class PackedImage:
    """An image in an OCI layout folder."""

    layout: Path
    digest: str
    """Of its manifest."""
    bytes: int
    """Of its compressed layer."""


@dataclass(frozen=True)
class _Blob:
    digest: str
    size: int

    def descriptor(self, media_type: str) -> dict[str, object]:
        return {"mediaType": media_type, "digest": f"sha256:{self.digest}", "size": self.size}


def pack(files: Mapping[str, Path], annotations: Mapping[str, str], layout: Path) -> PackedImage:
    """Write an image of `files` (path below /data → file) into the new folder `layout`."""
    blobs = layout / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    layer, layer_content = _write_layer(files, blobs)
    config = _write_json(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer_content}"]},
        },
        blobs,
    )
    manifest = _write_json(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": config.descriptor(CONFIG_TYPE),
            "layers": [layer.descriptor(LAYER_TYPE)],
            "annotations": dict(sorted(annotations.items())),
        },
        blobs,
    )
    index = {"schemaVersion": 2, "manifests": [manifest.descriptor(MANIFEST_TYPE)]}
    (layout / "index.json").write_text(json.dumps(index))
    (layout / "oci-layout").write_text(json.dumps({"imageLayoutVersion": "1.0.0"}))
    return PackedImage(layout, f"sha256:{manifest.digest}", layer.size)


def _write_layer(files: Mapping[str, Path], blobs: Path) -> tuple[_Blob, str]:
    """Returns the compressed layer and the SHA-256 of its uncompressed content."""
    unfinished = blobs / "layer"
    with unfinished.open("wb") as file:
        compressed = _Hashing(file)
        with gzip.GzipFile("", "wb", _COMPRESSION_LEVEL, compressed, mtime=0) as zipped:
            content = _Hashing(zipped)
            with tarfile.open(fileobj=content, mode="w|", format=tarfile.PAX_FORMAT) as tar:
                for folder in _folders(files):
                    tar.addfile(_member(folder, directory=True))
                for path, source in sorted(files.items()):
                    member = _member(f"{ROOT}/{path}", size=source.stat().st_size)
                    with source.open("rb") as stream:
                        tar.addfile(member, stream)
    blob = _Blob(compressed.hexdigest, unfinished.stat().st_size)
    unfinished.rename(blobs / blob.digest)
    return blob, content.hexdigest


def _folders(files: Mapping[str, Path]) -> list[str]:
    folders = {ROOT}
    for path in files:
        folders.update(f"{ROOT}/{parent}" for parent in Path(path).parents if parent.name)
    return sorted(folders)


def _member(name: str, *, size: int = 0, directory: bool = False) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size = size
    member.type = tarfile.DIRTYPE if directory else tarfile.REGTYPE
    member.mode = 0o755 if directory else 0o644
    return member  # everything else stays as TarInfo starts: owner 0, time 0


def _write_json(value: object, blobs: Path) -> _Blob:
    text = json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
    blob = _Blob(hashlib.sha256(text).hexdigest(), len(text))
    (blobs / blob.digest).write_bytes(text)
    return blob


class _Writable(Protocol):
    def write(self, data: bytes, /) -> int: ...


class _Hashing(io.RawIOBase):
    """Passes bytes on and knows their SHA-256."""

    def __init__(self, target: _Writable | BinaryIO) -> None:
        self._target = target
        self._hash = hashlib.sha256()

    def write(self, data: bytes, /) -> int:  # type: ignore[override]
        self._hash.update(data)
        return self._target.write(data)

    def writable(self) -> bool:
        return True

    @property
    def hexdigest(self) -> str:
        return self._hash.hexdigest()
