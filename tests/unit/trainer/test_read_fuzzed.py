"""Whatever a data file holds, it is read, or refused with the place of what is wrong."""

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_trainer.data.formats import formats_for
from finetune_trainer.data.read import read_files
from finetune_trainer.errors import DataError
from finetune_trainer.recipe import Columns, DatasetFormat, Task

LINES: list[dict[str, Any]] = [
    {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]},
    {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]},
    {"instruction": "a", "input": "c", "output": "b"},
    {"text": "a"},
    {"prompt": "a", "chosen": "b", "rejected": "c"},
    {"question": "a", "context": "a b", "answers": {"text": ["b"], "answer_start": [2]}},
    {"tokens": ["a", "b"], "tags": ["O", "B-X"]},
]

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)


EXTREME = {
    "deep": b'{"text": ' + b"[" * 100_000,
    "long number": b'{"text": ' + b"9" * 5_000 + b"}",
    "half a character as a key": b'{"\\ud800": "a"}',
    "half a character": b'{"text": "\\ud800"}',
    "no number": b'{"text": NaN}',
    "two marks": b"\xef\xbb\xbf\xef\xbb\xbf{}",
    "zero": b"\0",
}
"""What JSON allows, or nearly, and few programs bear."""


@st.composite
def spoiled(draw: st.DrawFn) -> bytes:
    """A line of some format in which a value is another one, or bytes are cut or put in."""
    value = json.loads(json.dumps(draw(st.sampled_from(LINES))))
    if draw(st.booleans()):
        replace(draw, value)
    line = json.dumps(value, ensure_ascii=draw(st.booleans())).encode(errors="surrogatepass")
    if draw(st.booleans()):
        at = draw(st.integers(0, len(line)))
        line = line[:at] + draw(st.binary(max_size=4)) + line[draw(st.integers(at, len(line))) :]
    return line


def replace(draw: st.DrawFn, value: Any) -> None:
    """Goes down to somewhere, and puts anything there."""
    key = draw(st.sampled_from(sorted(value) if isinstance(value, dict) else range(len(value))))
    inner = value[key]
    if isinstance(inner, (dict, list)) and inner and draw(st.booleans()):
        replace(draw, inner)
    else:
        value[key] = draw(anything)


@pytest.mark.parametrize("line", EXTREME.values(), ids=EXTREME.keys())
def test_what_few_programs_bear_is_refused(line: bytes, tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_bytes(line)
    with pytest.raises(DataError) as raised:
        list(
            read_files([path], DatasetFormat.AUTO, formats_for(Task.COMPLETION, Columns())).records
        )
    # As it is printed, and written into the termination message.
    assert str(raised.value).encode().startswith(b"train.jsonl line 1: ")


@given(
    lines=st.lists(spoiled(), min_size=1, max_size=3),
    task=st.sampled_from(Task),
    wanted=st.sampled_from(DatasetFormat),
    name=st.sampled_from(["train.jsonl", "train.conll"]),
)
def test_a_file_is_read_or_refused(
    lines: list[bytes], task: Task, wanted: DatasetFormat, name: str
) -> None:
    formats = formats_for(task, Columns())
    if wanted not in {DatasetFormat.AUTO, *formats.accepted, *formats.others}:
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(b"\n".join(lines))
        try:
            list(read_files([path], wanted, formats).records)
        except DataError as error:
            assert name.encode() in str(error).encode()
