import json
from pathlib import Path

import pytest

from finetune_trainer.data.formats import (
    ColumnValues,
    Record,
    Role,
    Span,
    SpanQuestion,
    ToolCall,
    formats_for,
)
from finetune_trainer.data.read import (
    Again,
    Located,
    Read,
    digest_of,
    find_files,
    read_files,
)
from finetune_trainer.data.split import split
from finetune_trainer.errors import DataError
from finetune_trainer.recipe import Columns, DatasetFormat, Task

CHAT = b'{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}'
ALPACA = b'{"instruction": "a", "input": "c", "output": "b"}'
TEXT = b'{"text": "a"}'
SHARE_GPT = b"""{"id": 7, "conversations": [{"from": "system", "value": "s"},
  {"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]}""".replace(b"\n", b"")


def answer(**fields: object) -> bytes:
    """A line of OpenAIChat whose second message is the assistant's, with these fields."""
    messages = [{"role": "user", "content": "a"}, {"role": "assistant", **fields}]
    return json.dumps({"messages": messages}).encode()


def call(arguments: str) -> list[object]:
    return [{"id": "1", "type": "function", "function": {"name": "f", "arguments": arguments}}]


def write(directory: Path, *lines: bytes, name: str = "train.jsonl") -> Path:
    (directory / name).write_bytes(b"\n".join(lines))
    return directory / name


def read(files: list[Path], wanted: DatasetFormat, task: Task = Task.CHAT, **columns: str) -> Read:
    return read_files(files, wanted, formats_for(task, Columns(**columns)))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (CHAT, DatasetFormat.OPENAI_CHAT),
        (SHARE_GPT, DatasetFormat.SHARE_GPT),
        (ALPACA, DatasetFormat.ALPACA),
        (TEXT, DatasetFormat.TEXT),
    ],
)
def test_auto_takes_the_format_of_the_keys(
    tmp_path: Path, line: bytes, expected: DatasetFormat
) -> None:
    assert read([write(tmp_path, line, line)], DatasetFormat.AUTO).format is expected


def test_alpaca_becomes_a_question_and_an_answer(tmp_path: Path) -> None:
    (item,) = read([write(tmp_path, ALPACA)], DatasetFormat.ALPACA).records
    assert [(turn.role, turn.content) for turn in item.record.turns] == [
        (Role.USER, "a\n\nc"),
        (Role.ASSISTANT, "b"),
    ]


def test_share_gpt_becomes_a_conversation(tmp_path: Path) -> None:
    (item,) = read([write(tmp_path, SHARE_GPT)], DatasetFormat.AUTO).records
    assert [(turn.role, turn.content) for turn in item.record.turns] == [
        (Role.SYSTEM, "s"),
        (Role.USER, "a"),
        (Role.ASSISTANT, "b"),
    ]


def test_calls_of_tools_and_weights_are_read_as_openai_writes_them(tmp_path: Path) -> None:
    lines = [answer(tool_calls=call('{"x": 1}')), answer(content="b", weight=0)]
    called, unlearned = read([write(tmp_path, *lines)], DatasetFormat.AUTO).records
    assert called.record.turns[1].tool_calls == (ToolCall("f", {"x": 1}, "1"),)
    assert [turn.learned for turn in unlearned.record.turns] == [True, False]


def test_blank_lines_and_a_byte_order_mark_are_passed_over(tmp_path: Path) -> None:
    found = read([write(tmp_path, b"\xef\xbb\xbf" + TEXT, b"", TEXT)], DatasetFormat.AUTO)
    assert [item.place for item in found.records] == ["train.jsonl line 1", "train.jsonl line 3"]


@pytest.mark.parametrize(
    ("lines", "wanted", "message"),
    [
        ([TEXT] * 16 + [b'{"text": "a'], DatasetFormat.AUTO, "train.jsonl line 17: not JSON:"),
        ([TEXT, b'["a"]'], DatasetFormat.AUTO, "train.jsonl line 2: not a JSON object"),
        ([], DatasetFormat.AUTO, "train.jsonl is empty"),
        ([b"", b"  "], DatasetFormat.AUTO, "train.jsonl is empty"),
        ([b'{"text": "\xe9"}'], DatasetFormat.AUTO, "train.jsonl line 1: not UTF-8 at byte 11"),
        ([b'{"q": 1, "a": 2}'], DatasetFormat.AUTO, "line 1: the keys a, q are of no known format"),
        ([TEXT, CHAT], DatasetFormat.AUTO, "line 2: not of format Text: text: Field required"),
        ([b'{"text": 3}'], DatasetFormat.TEXT, "line 1: not of format Text: text: Input should be"),
        ([b'{"text": "a", "b": 1}'], DatasetFormat.TEXT, "line 1: not of format Text: b: Extra"),
        (
            [CHAT.replace(b"assistant", b"robot")],
            DatasetFormat.AUTO,
            "line 1: not of format OpenAIChat: messages.1.role: Input should be 'system', 'user'",
        ),
        ([answer()], DatasetFormat.AUTO, "content is missing"),
        ([answer(content="b", weight=2)], DatasetFormat.AUTO, "messages.1.weight: Input should be"),
        (
            [answer(tool_calls=call("[1]"))],
            DatasetFormat.AUTO,
            "arguments: Value error, not a JSON",
        ),
        ([answer(tool_calls=call("{"))], DatasetFormat.AUTO, "arguments: Value error, not JSON: "),
        (
            [b'{"messages": [{"role": "user", "content": "a", "weight": 0}]}'],
            DatasetFormat.AUTO,
            "tool_calls and weight belong to messages of role assistant",
        ),
        (
            [SHARE_GPT.replace(b"gpt", b"bing")],
            DatasetFormat.AUTO,
            "line 1: not of format ShareGPT: conversations.2.from: Input should be 'system',",
        ),
        ([CHAT[:-1] + b', "text": "a"}'], DatasetFormat.AUTO, "of format OpenAIChat: text: Extra"),
        ([CHAT[:-1] + b"," + ALPACA[1:]], DatasetFormat.AUTO, "of no known format, or of several"),
        ([b'{"messages": []}'], DatasetFormat.AUTO, "messages: List should have at least 1 item"),
    ],
)
def test_bad_lines_are_named(
    tmp_path: Path, lines: list[bytes], wanted: DatasetFormat, message: str
) -> None:
    with pytest.raises(DataError) as raised:
        read([write(tmp_path, *lines)], wanted)
    assert message in str(raised.value)


def question(**line: object) -> bytes:
    return json.dumps(line).encode()


def test_columns_are_read_by_the_keys_of_the_job(tmp_path: Path) -> None:
    lines = [question(q="why?", a=["because", "so"], id=1), question(q="who?", a="I", id=None)]
    keys = {"question": "q", "answer": "a"}
    found = read([write(tmp_path, *lines)], DatasetFormat.COLUMNS, Task.QUESTION_ANSWERING, **keys)
    assert [item.record.columns for item in found.records] == [
        ColumnValues(question="why?", answer=("because", "so")),
        ColumnValues(question="who?", answer="I"),
    ]


def test_auto_takes_columns_by_the_names_of_the_roles(tmp_path: Path) -> None:
    line = question(question="why?", answer="because", context=None)
    found = read([write(tmp_path, line)], DatasetFormat.AUTO, Task.QUESTION_ANSWERING)
    assert found.format is DatasetFormat.COLUMNS
    assert found.records[0].record.columns.context == ""


@pytest.mark.parametrize(
    ("line", "keys", "message"),
    [
        ({"question": "a"}, {}, "line 1: not of format Columns: answer: Field required; dataset."),
        ({"question": "a", "answer": "b"}, {"question": "q"}, "Columns: q: Field required"),
        ({"question": "a", "answer": "b"}, {"context": "text"}, "Columns: text: Field required"),
        ({"question": 1, "answer": "b"}, {}, "question: Value error, is a int, and must be text"),
        ({"question": " ", "answer": "b"}, {}, "question: Value error, is a str, and must be text"),
        ({"question": "a", "answer": []}, {}, "is an empty list, and must hold at least one text"),
        ({"question": "a", "answer": ["b", 2]}, {}, "answer: Value error, is a int, and must be"),
        ({"question": "a", "answer": "b", "context": 1}, {}, "must be text, null or left out"),
    ],
)
def test_a_line_without_what_the_task_needs_is_named(
    tmp_path: Path, line: dict[str, object], keys: dict[str, str], message: str
) -> None:
    file = write(tmp_path, question(**line))
    with pytest.raises(DataError) as raised:
        read([file], DatasetFormat.COLUMNS, Task.QUESTION_ANSWERING, **keys)
    assert message in str(raised.value)


def test_folder_without_json_lines_is_refused(tmp_path: Path) -> None:
    write(tmp_path, TEXT, name="readme.txt")
    with pytest.raises(DataError, match=r"pvc://data holds no \.jsonl file"):
        find_files(tmp_path, "pvc://data")


def test_digest_follows_the_content(tmp_path: Path) -> None:
    before = digest_of([write(tmp_path, TEXT)])
    assert digest_of([write(tmp_path, TEXT)]) == before
    assert digest_of([write(tmp_path, TEXT, TEXT)]) != before
    assert digest_of([write(tmp_path, TEXT, name="other.jsonl")]) != before


def test_what_is_too_large_to_keep_is_read_again_each_time(tmp_path: Path) -> None:
    file = write(tmp_path, *(f'{{"text": "{number}"}}'.encode() for number in range(50)))
    formats = formats_for(Task.COMPLETION, Columns())
    kept = read_files([file, file], DatasetFormat.AUTO, formats)
    again = read_files([file, file], DatasetFormat.AUTO, formats, kept=10)
    assert isinstance(kept.records, list)
    assert isinstance(again.records, Again)
    assert again.format is kept.format
    assert list(again.records) == list(again.records) == kept.records
    for one, other in zip(split(kept.records, 0.2, 1), split(again.records, 0.2, 1), strict=True):
        assert isinstance(one, list)
        assert isinstance(other, Again)
        assert list(other) == list(other) == one


def test_a_bad_line_of_what_is_not_kept_is_named_when_it_comes(tmp_path: Path) -> None:
    file = write(tmp_path, TEXT, b"{")
    formats = formats_for(Task.COMPLETION, Columns())
    found = read_files([file], DatasetFormat.AUTO, formats, kept=1)
    with pytest.raises(DataError, match=r"^train\.jsonl line 2: not JSON"):
        list(found.records)


def records(texts: list[str]) -> list[Located]:
    return [Located(Record(text=text), f"line {number}") for number, text in enumerate(texts)]


def test_held_out_records_do_not_depend_on_their_order() -> None:
    texts = [f"text {number}" for number in range(100)]
    kept, held_out = split(records(texts), 0.1, seed=1)
    assert [len(list(side)) for side in (kept, held_out)] == [90, 10]
    _, again = split(records(texts[::-1]), 0.1, seed=1)
    assert {item.record for item in again} == {item.record for item in held_out}
    _, other = split(records(texts), 0.1, seed=2)
    assert {item.record for item in other} != {item.record for item in held_out}


def test_equal_records_stay_on_one_side() -> None:
    kept, held_out = split(records(["a", "b", "c", "d"] * 10), 0.3, seed=5)
    assert held_out
    assert not {item.record for item in kept} & {item.record for item in held_out}


def test_split_that_leaves_nothing_is_refused() -> None:
    with pytest.raises(DataError, match="validationFraction"):
        split(records(["a"]), 0.05, seed=1)


TAGGED = b'{"tokens": ["Ada", "Byron", "wrote"], "tags": ["B-PERSON", "I-PERSON", "O"]}'
SPAN = b'{"question": "Who?", "context": "It was Ada.", "answers": [{"text": "Ada", "start": 7}]}'
SQUAD = b"""{"id": "1", "title": "t", "question": "Who?", "context": "It was Ada.",
  "answers": {"text": ["Ada"], "answer_start": [7]}}""".replace(b"\n", b"")


def test_words_and_tags_are_the_same_from_both_kinds_of_files(tmp_path: Path) -> None:
    columns = b"-DOCSTART- -X- O O\n\nAda NNP x B-PERSON\nByron NNP x I-PERSON\nwrote V x O\n\n\n"
    formats = formats_for(Task.TOKEN_CLASSIFICATION, Columns())
    one = read_files([write(tmp_path, TAGGED)], DatasetFormat.AUTO, formats)
    other = read_files([write(tmp_path, columns, name="a.conll")], DatasetFormat.AUTO, formats)
    assert one.format is other.format is DatasetFormat.CONLL
    assert [each.record for each in one.records] == [each.record for each in other.records]
    assert other.records[0].place == "a.conll line 3"


def test_answers_are_read_as_lists_of_either_kind(tmp_path: Path) -> None:
    formats = formats_for(Task.EXTRACTIVE_QUESTION_ANSWERING, Columns())
    one, other = read_files([write(tmp_path, SPAN, SQUAD)], DatasetFormat.AUTO, formats).records
    assert one.record == other.record
    assert one.record.span_question == SpanQuestion("Who?", "It was Ada.", (Span("Ada", 7),))


@pytest.mark.parametrize(
    ("task", "line", "message"),
    [
        (Task.TOKEN_CLASSIFICATION, TAGGED.replace(b', "O"', b""), "3 tokens, but 2 tags"),
        (
            Task.TOKEN_CLASSIFICATION,
            TAGGED.replace(b"B-PERSON", b"O"),
            "token 2 (Byron) is tagged I-PERSON after O: the first word of an entity is tagged B-",
        ),
        (
            Task.TOKEN_CLASSIFICATION,
            TAGGED.replace(b"I-PERSON", b"I-PLACE"),
            "is tagged I-PLACE after B-PERSON",
        ),
        (
            Task.TOKEN_CLASSIFICATION,
            TAGGED.replace(b"B-PERSON", b"S-PERSON"),
            "the tag 'S-PERSON' of token 1 (Ada) is not O, B-",
        ),
        (
            Task.EXTRACTIVE_QUESTION_ANSWERING,
            SPAN.replace(b"7", b"6"),
            "the answer 'Ada' is not at character 6 of the context, where ' Ad' is",
        ),
        (
            Task.EXTRACTIVE_QUESTION_ANSWERING,
            SQUAD.replace(b"[7]", b"[]"),
            "1 texts, but 0 starts",
        ),
        (
            Task.TEXT_CLASSIFICATION,
            b'{"text": "a", "label": 1.5}',
            "label: Value error, is a ",
        ),
        (Task.TEXT_CLASSIFICATION, b'{"text": "a", "label": [""]}', "is empty, and must be text"),
    ],
)
def test_bad_lines_for_other_heads_are_named(
    tmp_path: Path, task: Task, line: bytes, message: str
) -> None:
    formats = formats_for(task, Columns())
    with pytest.raises(DataError) as raised:
        read_files([write(tmp_path, line)], DatasetFormat.AUTO, formats)
    assert message in str(raised.value)


def test_a_word_without_a_tag_is_named(tmp_path: Path) -> None:
    formats = formats_for(Task.TOKEN_CLASSIFICATION, Columns())
    with pytest.raises(DataError, match=r"a\.conll line 2: a word without a tag"):
        read_files([write(tmp_path, b"a O", b"b", name="a.conll")], DatasetFormat.CONLL, formats)


@pytest.mark.parametrize(
    ("label", "expected"), [('"a"', "a"), ("3", "3"), ('["a", 2]', ("a", "2")), ("[]", ())]
)
def test_labels_are_names_numbers_or_lists(
    tmp_path: Path, label: str, expected: str | tuple[str, ...]
) -> None:
    formats = formats_for(Task.TEXT_CLASSIFICATION, Columns())
    line = b'{"text": "x", "label": %s}' % label.encode()
    (item,) = read_files([write(tmp_path, line)], DatasetFormat.AUTO, formats).records
    assert item.record.columns.label == expected
