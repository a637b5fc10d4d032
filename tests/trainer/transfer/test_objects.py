"""Whatever breaks off, and wherever: in the end what was listed is there, byte by byte."""

import contextlib
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_trainer.errors import DataError, UnavailableError
from finetune_trainer.fetch.objects import ATTEMPTS, BrokenError, Item, fetch_objects
from finetune_trainer.fetch.source import Kind, Source
from tests.trainer.transfer.conftest import names

SOURCE = Source("s3://bucket/data", "", Kind.DATASET)


class Memory:
    """A store of some objects, each answer of which breaks off after so many bytes as is said."""

    def __init__(self, objects: dict[str, bytes], breaks: Iterable[int] = ()) -> None:
        self.objects = objects
        self.breaks = list(breaks)
        self.told = 0
        """Bytes, in all answers together."""

    def items(self, prefix: str) -> Iterable[Item]:
        for key, content in self.objects.items():
            if key.startswith(prefix):
                yield Item(key, f"of-{len(content)}", len(content))

    def read(self, item: Item, start: int) -> Iterator[bytes]:
        content = self.objects[item.key][start:]
        after = self.breaks.pop() if self.breaks else len(content)
        for at in range(0, min(after, len(content)), 7):
            chunk = content[at : min(at + 7, after)]
            self.told += len(chunk)
            yield chunk
        if after < len(content):
            raise BrokenError("it broke off")


@given(
    contents=st.lists(st.binary(min_size=1, max_size=60), min_size=1, max_size=4),
    breaks=st.lists(st.integers(0, 60), max_size=30),
)
def test_no_byte_is_lost_doubled_or_asked_for_again(
    contents: list[bytes], breaks: list[int]
) -> None:
    store = Memory({f"data/{at}.jsonl": each for at, each in enumerate(contents)}, breaks)
    with tempfile.TemporaryDirectory() as folder:
        tries = 0
        while True:
            with contextlib.suppress(UnavailableError):
                fetch_objects(SOURCE, store, "data", Path(folder))
                break
            tries += 1
        assert tries <= len(breaks) // ATTEMPTS
        found = [(Path(folder) / f"{at}.jsonl").read_bytes() for at in range(len(contents))]
        assert found == contents
        assert names(Path(folder)) == {f"{at}.jsonl" for at in range(len(contents))}
    assert store.told == sum(map(len, contents))


def test_what_was_replaced_between_two_pods_is_begun_anew(tmp_path: Path) -> None:
    store = Memory({"data/a.jsonl": b"a" * 50}, [*[0] * (ATTEMPTS - 1), 20])
    with pytest.raises(UnavailableError, match=r"data/a\.jsonl of s3://bucket/data does not come"):
        fetch_objects(SOURCE, store, "data", tmp_path)
    store.objects = {"data/a.jsonl": b"b" * 60}
    fetch_objects(SOURCE, store, "data", tmp_path)
    assert (tmp_path / "a.jsonl").read_bytes() == b"b" * 60
    assert names(tmp_path) == {"a.jsonl"}


@pytest.mark.parametrize(
    "key",
    ["data/../../out.jsonl", "data//out.jsonl", "data/./out.jsonl", "data/.parts/out.jsonl"],
)
def test_a_key_leads_nowhere_else(tmp_path: Path, key: str) -> None:
    target = tmp_path / "deep/target"
    target.mkdir(parents=True)
    with pytest.raises(DataError, match=r"holds no \.jsonl file"):
        fetch_objects(SOURCE, Memory({key: b"{}\n", "data/note.txt": b"-"}), "data", target)
    assert names(tmp_path) == set()


def test_only_what_is_below_counts(tmp_path: Path) -> None:
    objects = {"data/a.jsonl": b"{}", "data-of-others/b.jsonl": b"{}", "data/empty.jsonl": b""}
    fetch_objects(SOURCE, Memory(objects), "data", tmp_path)
    assert names(tmp_path) == {"a.jsonl"}
