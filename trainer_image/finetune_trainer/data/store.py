"""Examples in files that processes map: each reads what it needs, and all share the same memory.

Arrays lie there as they are, everything else as JSON, example after example. They are put together
again by the annotations of their class, so that no file says what is to be executed.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import cache, lru_cache
from pathlib import Path
from types import NoneType
from typing import Any, BinaryIO, get_args, get_origin, get_type_hints, overload

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter
from safetensors import safe_open
from safetensors.numpy import save

from finetune_trainer.data.examples import Example

_CONTENT, _INDEX = "content", "index.safetensors"
_OFFSETS, _ROWS = "offsets", "rows"
_STORED = {np.dtype(np.int64): np.dtype(np.int32)}
"""Tokens and positions are small numbers."""
_NONE = -1
"""Rows of an array that an example does not have."""

Array = NDArray[Any]


@dataclass(frozen=True)
class _Column:
    """What the arrays of one member have in common."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    """Of a row."""

    @property
    def stored(self) -> np.dtype[Any]:
        return _STORED.get(self.dtype, self.dtype)


class StoredExamples(Sequence[Example]):
    """Examples of a class, each made when it is asked for."""

    def __init__(self, folder: Path, kind: type[Example]) -> None:
        """
        Args:
            folder: what `write` has filled.
            kind: the class of the examples.
        """
        self._kind = kind
        with safe_open(folder / _INDEX, framework="numpy") as index:
            self._columns = [
                _Column(np.dtype(dtype), tuple(shape))
                for dtype, shape in json.loads(index.metadata()["columns"])
            ]
            self._offsets, self._rows = index.get_tensor(_OFFSETS), index.get_tensor(_ROWS)
        self._content: Array = np.asarray(np.memmap(folder / _CONTENT, np.uint8, mode="r"))

    def __len__(self) -> int:
        return len(self._offsets)

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> list[Example]: ...
    def __getitem__(self, index: int | slice) -> Example | list[Example]:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        made: Example = _whole(self._kind, self._arrays(index))
        return made

    def _arrays(self, index: int) -> Iterator[Array | None]:
        at = int(self._offsets[index])
        for column, rows in zip(self._columns, self._rows[index].tolist(), strict=True):
            if rows == _NONE:
                yield None
                continue
            shape = (rows, *column.shape)
            end = at + column.stored.itemsize * int(np.prod(shape))
            # A copy: what is mapped cannot be written to, and torch wants arrays that can.
            yield self._content[at:end].view(column.stored).reshape(shape).astype(column.dtype)
            at = end


def write(folder: Path, kind: type[Example], examples: Iterable[Example]) -> None:
    """Into files of a folder, one after the other: no more than one is held.

    Raises:
        ValueError: examples of other shapes than those before.
    """
    columns: list[_Column | None] = []
    offsets: list[int] = []
    rows: list[list[int]] = []
    with (folder / _CONTENT).open("wb") as content:
        for example in examples:
            offsets.append(content.tell())
            arrays = list(_arrays(kind, example))
            columns = columns or [None] * len(arrays)
            rows.append([_append(content, columns, at, each) for at, each in enumerate(arrays)])
    known = [each or _Column(np.dtype(np.uint8), ()) for each in columns]
    index: dict[str, Array] = {
        _OFFSETS: np.array(offsets, dtype=np.int64),
        _ROWS: np.array(rows, dtype=np.int32),
    }
    said = json.dumps([(each.dtype.str, each.shape) for each in known])
    (folder / _INDEX).write_bytes(save(index, {"columns": said}))


def _append(content: BinaryIO, columns: list[_Column | None], at: int, array: Array | None) -> int:
    """Its rows."""
    if array is None:
        return _NONE
    column = columns[at] = columns[at] or _Column(array.dtype, array.shape[1:])
    if (array.dtype, array.shape[1:]) != (column.dtype, column.shape):
        raise ValueError(f"{array.dtype} of {array.shape} among {column}")
    content.write(array.astype(column.stored).tobytes())
    return len(array)


def _arrays(kind: Any, value: Any) -> Iterator[Array | None]:
    """All of a value, in the order of its members."""
    if _is_array(kind):
        yield value
    elif members := _members(kind):
        for name, member in members:
            inner = value[name] if isinstance(name, int) else getattr(value, name)
            yield from _arrays(member, inner)
    else:
        yield np.frombuffer(_json(kind).dump_json(value), dtype=np.uint8)


def _whole(kind: Any, arrays: Iterator[Array | None]) -> Any:
    """What `_arrays` was given."""
    if _is_array(kind):
        return next(arrays)
    if members := _members(kind):
        values = [_whole(member, arrays) for _, member in members]
        return tuple(values) if get_origin(kind) is tuple else kind(*values)
    text = next(arrays)
    return _read_json(kind, b"" if text is None else text.tobytes())


@cache
def _is_array(kind: Any) -> bool:
    """NDArray, or NDArray | None."""
    options = get_args(kind) if NoneType in get_args(kind) else (kind,)
    return any(get_origin(each) is np.ndarray for each in options)


@cache
def _members(kind: Any) -> tuple[tuple[str | int, Any], ...]:
    """By name or number, of a class or a tuple that holds arrays; of others none."""
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        found: list[tuple[str | int, Any]] = [
            (each.name, hints[each.name]) for each in fields(kind)
        ]
    elif get_origin(kind) is tuple and Ellipsis not in get_args(kind):
        found = list(enumerate(get_args(kind)))
    else:
        return ()
    return tuple(found) if any(_is_array(of) or _members(of) for _, of in found) else ()


@cache
def _json(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


@lru_cache(maxsize=4096)
def _read_json(kind: Any, text: bytes) -> Any:
    """Examples that follow each other often share it: the names of classes, a long question."""
    return _json(kind).validate_json(text)
