"""Read JSONL and CoNLL files; every error names the file and the line."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from finetune_trainer.data.formats import Formats, Line, Record
from finetune_trainer.data.formats.conll import SENTENCES, sentences
from finetune_trainer.errors import DataError
from finetune_trainer.recipe import DatasetFormat


@dataclass(frozen=True)
class Located:
    """A record and where it stands, for messages."""

    record: Record
    place: str
    """For example `train.jsonl line 17`."""
    source: int = 0
    """Which of dataset.train or dataset.validation it is from."""


@dataclass(frozen=True)
class Again(Iterable[Located]):
    """Records that are made anew each time that they are gone through: too many to be kept."""

    make: Callable[[], Iterator[Located]]

    def __iter__(self) -> Iterator[Located]:
        return self.make()


@dataclass(frozen=True)
class Read:
    """The records of some files, in file and line order."""

    records: Iterable[Located]
    """A list, or `Again` where the files are larger than `KEPT`."""
    format: DatasetFormat


_SUFFIXES = (".jsonl", SENTENCES)
KEPT = 256 << 20
"""Bytes of files whose records are kept: as objects they are several times as large."""
_BLOCK = 1 << 20


def find_files(location: Path, storage_uri: str) -> list[Path]:
    """The .jsonl and .conll files at a location (a file, or a directory at any depth), sorted by
    path.

    Raises:
        DataError: there is none.
    """
    if location.is_file():
        return [location]
    files = sorted(
        path for path in location.rglob("*") if path.suffix in _SUFFIXES and path.is_file()
    )
    if not files:
        raise DataError(
            f"{storage_uri} holds no .jsonl file (nor .conll); give JSON lines, one example each"
        )
    return files


def read_files(
    files: Sequence[Path], wanted: DatasetFormat, formats: Formats, kept: int = KEPT
) -> Read:
    """Read every file; `wanted` Auto takes the format of the first line for all of them.

    Args:
        kept: bytes up to which records are kept; of larger files an error on a line is raised when
            the records are gone through.

    Raises:
        DataError: a file is empty or not UTF-8, or a line is not of the format.
    """
    if wanted is DatasetFormat.AUTO:
        wanted = _detect(formats, *next(_read(files[0])))
    model = formats[wanted]

    def records() -> Iterator[Located]:
        for path in files:
            for place, value in _read(path):
                yield Located(_parse(model, wanted, place, value), place)

    small = sum(path.stat().st_size for path in files) <= kept
    return Read(list(records()) if small else Again(records), wanted)


def derived(records: Iterable[Located], make: Callable[[], Iterator[Located]]) -> Iterable[Located]:
    """Some of the records, or changed ones: kept where they are."""
    return list(make()) if isinstance(records, list) else Again(make)


def _read(path: Path) -> Iterator[tuple[str, dict[str, object]]]:
    """The place of each record, and what stands there."""
    read = sentences if path.suffix == SENTENCES else _objects
    empty = True
    with path.open("rb") as file:
        for each in read(_lines(path.name, file)):
            empty = False
            yield each
    if empty:
        raise DataError(f"{path.name} is empty; remove it or give it examples")


def digest_of(files: Iterable[Path]) -> str:
    """sha256 in hex over their names and contents."""
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    return digest.hexdigest()


def combined_digest(parts: Iterable[tuple[str, str]]) -> str:
    """`sha256:…` of the whole dataset from (role, digest of its files), in order."""
    text = "".join(f"{role}\0{digest}\n" for role, digest in parts)
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def _lines(name: str, file: Iterable[bytes]) -> Iterator[tuple[str, str]]:
    """The place of each line, and the line without what surrounds it."""
    for number, line in enumerate(file, start=1):
        place = f"{name} line {number}"
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
        except UnicodeDecodeError as error:
            raise DataError(
                f"{place}: not UTF-8 at byte {error.start + 1} of the line; save the file as UTF-8"
            ) from error
        yield place, text


def _objects(lines: Iterable[tuple[str, str]]) -> Iterator[tuple[str, dict[str, object]]]:
    for place, text in lines:
        if not text:
            continue
        try:
            value = json.loads(text)
        except json.JSONDecodeError as error:
            raise DataError(
                f"{place}: not JSON: {error.msg} at column {error.colno}; "
                "each line is one JSON object"
            ) from error
        except RecursionError as error:
            raise DataError(f"{place}: values are nested too deeply") from error
        except ValueError as error:
            raise DataError(f"{place}: a number has too many digits") from error
        if not isinstance(value, dict):
            raise DataError(f"{place}: not a JSON object; each line is one JSON object")
        yield place, value


def _detect(formats: Formats, place: str, value: dict[str, object]) -> DatasetFormat:
    found = formats.detect(set(value))
    if found is None:
        raise DataError(
            f"{place}: the keys {_shown(', '.join(sorted(value))) or '(none)'} are of no known"
            f" format, or of several; known are {formats.describe()}"
        )
    return found


def _parse(model: type[Line], name: DatasetFormat, place: str, value: dict[str, object]) -> Record:
    try:
        return model.model_validate(value).record()
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        what = _shown(": ".join(part for part in (where, first["msg"]) if part))
        said = f"{place}: not of format {name}: {what}"
        if name is DatasetFormat.COLUMNS and first["type"] == "missing":
            said += "; dataset.columns tells which key holds what"
        raise DataError(said) from error
    except ValueError as error:
        raise DataError(f"{place}: not of format {name}: {_shown(str(error))}") from error


def _shown(text: str) -> str:
    """JSON can name half a character, which no message can hold."""
    return text.encode(errors="backslashreplace").decode()
