"""A file or folder of this machine copied, never following a link out of it."""

import os
import shutil
from pathlib import Path

from finetune_trainer.errors import ConfigurationError
from finetune_trainer.fetch.contents import check, select
from finetune_trainer.fetch.place import empty
from finetune_trainer.fetch.source import Source


def copy(source: Source, origin: Path, root: Path, target: Path) -> None:
    """Copy what is of use of `origin`, a file or folder within `root`, into the folder `target`.

    Raises:
        ConfigurationError: a link leads out of `root`, or nothing there is of use.
    """
    empty(target)
    if origin.is_file():
        _copy_file(source, origin, root, target / origin.name)
        check(source, [origin.name], [origin.name])
        return
    found = _files(origin)
    selected = select(source.kind, found)
    check(source, selected, found)
    for path in sorted(selected):
        _copy_file(source, origin / path, root, target / path)


def _files(folder: Path) -> set[str]:
    """Every file below the folder but hidden ones, as paths relative to it."""
    found: set[str] = set()
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".") and name != "lost+found"]
        found.update(Path(parent, name).relative_to(folder).as_posix() for name in names)
    return {path for path in found if not path.rpartition("/")[2].startswith(".")}


def _copy_file(source: Source, origin: Path, root: Path, target: Path) -> None:
    real = origin.resolve()
    if not real.is_relative_to(root.resolve()):
        raise ConfigurationError(
            f"{source.field}: {source.uri}: {origin.name} is a link that leads out of the source;"
            " put the file itself there"
        )
    if not real.is_file():
        raise ConfigurationError(
            f"{source.field}: {source.uri}: {origin.name} is no regular file, or a broken link"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(real, target)
