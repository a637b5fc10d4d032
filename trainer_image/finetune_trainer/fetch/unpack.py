"""Layers of an image unpacked without trusting them."""

import os
import shutil
import tarfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from finetune_trainer.errors import ConfigurationError

_WHITEOUT = ".wh."
"""Prefix that deletes a file of a lower layer (OCI image specification, layers)."""

_OPAQUE = ".wh..wh..opq"
"""Hides all that lower layers put into its folder."""


def unpack(layers: Sequence[Path], destination: Path, folder: str, origin: str) -> Path:
    """Unpack uncompressed layers, lowest first, each deleted once it is unpacked.

    Only what lies below `folder` in the image, where any layer has that, else everything: the
    folder that holds it is returned. Owners, modes and times are not kept.

    Raises:
        ConfigurationError: a layer is no tar file, or holds an absolute path, a path or link that
            leads out, or a device. `origin` names the image.
    """
    destination.mkdir()
    root = destination.resolve()
    try:
        below = folder if any(_holds(layer, folder) for layer in layers) else ""
        for layer in layers:
            _unpack_layer(layer, root, below)
            layer.unlink()
    except _UnsafeError as error:
        raise ConfigurationError(f"{origin}: refused: {error}") from error
    except tarfile.TarError as error:
        raise ConfigurationError(f"{origin}: a layer is no tar file: {error}") from error
    return root / below


class _UnsafeError(Exception):
    pass


def _holds(layer: Path, folder: str) -> bool:
    with tarfile.open(layer, "r:") as tar:
        return any(_is_below(member, folder) for member in tar)


def _is_below(member: tarfile.TarInfo, folder: str) -> bool:
    return PurePosixPath(member.name).parts[:1] == (folder,)


def _unpack_layer(layer: Path, root: Path, below: str) -> None:
    with tarfile.open(layer, "r:") as tar:
        for member in tar:
            if not below or _is_below(member, below):
                _unpack_member(tar, member, root)


def _unpack_member(tar: tarfile.TarFile, member: tarfile.TarInfo, root: Path) -> None:
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts:
        raise _UnsafeError(f"the path {member.name!r} leads out of the image")
    target = root / path
    if not target.parent.resolve().is_relative_to(root):
        raise _UnsafeError(f"the path {member.name!r} leads out of the image through a link")
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.name.startswith(_WHITEOUT):
        _white_out(target)
    elif member.isdir():
        if target.is_symlink() or not target.is_dir():
            _clear(target)
            target.mkdir()
    elif member.isfile():
        _clear(target)
        content = tar.extractfile(member)
        if content is not None:
            with target.open("xb") as file:
                shutil.copyfileobj(content, file, 1 << 20)
    elif member.issym() or member.islnk():
        _link(member, target, root)
    else:
        raise _UnsafeError(f"{member.name!r} is a device or pipe")


def _link(member: tarfile.TarInfo, target: Path, root: Path) -> None:
    to = PurePosixPath(member.linkname)
    start = target.parent if member.issym() else root
    resolved = Path(os.path.realpath(start / to))
    if to.is_absolute() or not resolved.is_relative_to(root):
        raise _UnsafeError(f"the link {member.name!r} leads out of the image")
    _clear(target)
    if member.issym():
        target.symlink_to(member.linkname)
    elif resolved.is_file():
        os.link(resolved, target)
    else:
        raise _UnsafeError(f"the hard link {member.name!r} names no file before it")


def _white_out(target: Path) -> None:
    if target.name == _OPAQUE:
        for entry in target.parent.iterdir():
            _clear(entry)
    else:
        _clear(target.with_name(target.name.removeprefix(_WHITEOUT)))


def _clear(path: Path) -> None:
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.is_dir():
        shutil.rmtree(path)
