"""Models with a head of their own: what is made of records, what is learned, what is published."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from finetune_trainer.base_model import open_base_model
from finetune_trainer.data.formats import ColumnValues, Record, Span, SpanQuestion
from finetune_trainer.engine.loading import load_model
from finetune_trainer.errors import ConfigurationError, DataError
from finetune_trainer.heads import HEADS
from finetune_trainer.objectives import OBJECTIVES
from finetune_trainer.objectives.span import answers_of
from finetune_trainer.recipe import Recipe, Task
from finetune_trainer.rules import TASK_METRICS
from finetune_trainer.tasks import TASKS
from finetune_trainer.tasks.extractive_question_answering import overlapping
from finetune_trainer.tasks.padded import fill_with
from finetune_trainer.tasks.token_classification import NOT_ASKED, windows
from finetune_trainer.workspace import Workspace
from tests.trainer.matrix import train
from tests.trainer.recipes import recipe, workspace
from tests.trainer.tiny_models import write_encoder, write_model

CPU = torch.device("cpu")
WORDS = st.lists(st.text("abé", min_size=1, max_size=9), min_size=1, max_size=30)


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_encoder(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def tokenizer(bert: Path) -> Any:
    return AutoTokenizer.from_pretrained(bert)


def of_task(task: Task, **training: Any) -> Recipe:
    return recipe(task=task.value, training=training)


def tagged(entities: list[bool]) -> tuple[str, ...]:
    """True begins an entity of two words, of one at the end."""
    tags, before = [], "O"
    for begins in entities:
        before = "B-A" if begins else "I-A" if before == "B-A" else "O"
        tags.append(before)
    return tuple(tags)


@given(WORDS, st.randoms())
@settings(max_examples=50, deadline=None)
def test_each_word_is_asked_for_once_in_parts_that_cut_no_entity(
    tokenizer: Any, words: list[str], random: Any
) -> None:
    tags = tagged([random.random() < 0.4 for _ in words])
    record = Record(words=tuple(words), tags=tags)
    known = Record(words=("a", "b"), tags=("B-A", "I-A"))
    made = of_task(Task.TOKEN_CLASSIFICATION, maxLength=40)
    encode = TASKS[Task.TOKEN_CLASSIFICATION].prepare(tokenizer, made, [known, record])
    parts: list[Any] = list(encode(record))
    asked = [part.labels[part.labels != NOT_ASKED] for part in parts]
    assert [part.names[each] for part, of in zip(parts, asked, strict=True) for each in of] == list(
        tags
    )
    assert all(part.length <= 40 for part in parts)
    assert not any(
        part.names[of[0]].startswith("I-") for part, of in zip(parts, asked, strict=True)
    )
    text = "".join(tokenizer.decode(part.ids, skip_special_tokens=True) for part in parts)
    assert text == " ".join(words)


@given(st.integers(1, 200), st.sets(st.integers(1, 199)), st.integers(1, 50))
def test_parts_are_as_long_as_borders_allow(length: int, borders: set[int], room: int) -> None:
    made = list(windows(length, sorted(borders), room))
    assert [end for _, end in made[:-1]] == [start for start, _ in made[1:]]
    assert (made[0][0], made[-1][1]) == (0, length)
    for start, end in made:
        assert 0 < end - start <= room
        assert (
            end in borders or end == length or not borders & {*range(start + 1, start + room + 1)}
        )


@given(st.integers(1, 500), st.integers(1, 100), st.data())
def test_what_is_no_longer_than_the_overlap_is_whole_in_a_window(
    length: int, room: int, data: st.DataObject
) -> None:
    made = list(overlapping(length, room))
    assert (made[0][0], made[-1][1]) == (0, length)
    assert all(0 < end - start <= room for start, end in made)
    size = data.draw(st.integers(1, max(1, min(length, room // 4))))
    first = data.draw(st.integers(0, length - size))
    assert any(start <= first and first + size <= end for start, end in made)


@given(st.integers(0, 300), st.integers(1, 8), st.integers(30, 120))
@settings(max_examples=50, deadline=None)
def test_a_window_says_where_its_answer_is(
    tokenizer: Any, before: int, size: int, most: int
) -> None:
    context = "x" * before + "é" * size + "y" * 40
    question = SpanQuestion("Why?", context, (Span("é" * size, before),))
    made = of_task(Task.EXTRACTIVE_QUESTION_ANSWERING, maxLength=most)
    encode = TASKS[Task.EXTRACTIVE_QUESTION_ANSWERING].prepare(
        tokenizer, made, [Record(span_question=question)]
    )
    parts: list[Any] = list(encode(Record(span_question=question)))
    assert all(part.length <= most for part in parts)
    found = [part for part in parts if part.span != (0, 0)]
    for part in found:
        (start, _), (_, end) = part.offsets[part.span[0]], part.offsets[part.span[1]]
        assert context[start:end] == "é" * size
        assert all(part.allowed[list(part.span)])
    # A letter beyond ASCII is two tokens of this tokenizer, and the overlap a quarter of the room.
    if 2 * size <= (most - 7) // 4:
        assert found


def test_the_answer_is_the_best_of_all_windows_and_none_where_refusing_is_better() -> None:
    def window(question: SpanQuestion, may_refuse: bool) -> Any:
        return type("Window", (), {"question": question, "may_refuse": may_refuse})()

    sure, unsure = (SpanQuestion(each, "abc def", ()) for each in ("sure?", "unsure?"))
    examples = [window(sure, True), window(sure, True), window(unsure, True)]
    best = np.array([[-9, -1, 0, 3], [-2, -5, 4, 7], [-3, -1, 0, 3]], dtype=np.float64)
    assert answers_of(examples, best) == {sure: "def", unsure: ""}
    assert answers_of([window(unsure, False)], best[2:]) == {unsure: "abc"}


RECORDS: dict[Task, list[Record]] = {
    Task.TEXT_CLASSIFICATION: [
        Record(columns=ColumnValues(text="a" * size, label=f"{size % 3}")) for size in range(1, 9)
    ],
    Task.TOKEN_CLASSIFICATION: [
        Record(words=("a",) * size, tags=("O",) * (size - 1) + ("B-A",)) for size in range(1, 9)
    ],
    Task.EXTRACTIVE_QUESTION_ANSWERING: [
        Record(span_question=SpanQuestion("b?", "a" * size + "b", (Span("b", size),)))
        for size in range(1, 9)
    ],
}


@pytest.mark.parametrize(
    ("architecture", "task"),
    [("bert", task) for task in RECORDS] + [("llama", Task.TEXT_CLASSIFICATION)],
)
def test_the_loss_of_a_text_is_the_same_whatever_fills_up_beside_it(
    tmp_path: Path, architecture: str, task: Task
) -> None:
    write = write_encoder if architecture == "bert" else write_model
    base = open_base_model(write(tmp_path, architecture), 128, HEADS[task])
    encode = TASKS[task].prepare(base.tokenizer(), of_task(task), RECORDS[task])
    examples = [example for record in RECORDS[task] for example in encode(record)]
    model = load_model(base, torch.float32, CPU, settings=encode.settings)
    objective = OBJECTIVES[task]
    with torch.no_grad():
        alone = sum(objective.summed_loss(model, objective.make_row([each])) for each in examples)
        together = objective.summed_loss(model, objective.make_row(examples))
        assert objective.summed_loss(model, objective.make_row([])) == 0
    torch.testing.assert_close(together, alone)


def test_balanced_weights_let_each_class_count_alike(tokenizer: Any) -> None:
    records = [
        Record(columns=ColumnValues(text="a", label="rare" if number == 0 else "usual"))
        for number in range(10)
    ]
    made = of_task(Task.TEXT_CLASSIFICATION, classWeights="Balanced")
    encode = TASKS[Task.TEXT_CLASSIFICATION].prepare(tokenizer, made, records)
    weights = [example.weight for record in records for example in encode(record)]
    assert weights[0] == pytest.approx(sum(weights[1:]))
    assert sum(weights) == pytest.approx(10)


@pytest.mark.parametrize(
    ("records", "message"),
    [
        (["a", ("a", "b")], "a label is a list in some lines and none in others"),
        (["a", "a"], r"has 1 class\(es\) \(a\), and 2 are needed"),
        ([(), ()], r"has 0 class\(es\)"),
    ],
)
def test_labels_that_cannot_be_learned_are_refused(
    tokenizer: Any, records: list[Any], message: str
) -> None:
    made = [Record(columns=ColumnValues(text="x", label=each)) for each in records]
    with pytest.raises(DataError, match=message):
        TASKS[Task.TEXT_CLASSIFICATION].prepare(tokenizer, of_task(Task.TEXT_CLASSIFICATION), made)


def test_what_fills_up_is_in_no_text(tmp_path: Path) -> None:
    path = write_model(tmp_path)
    tokenizer: Any = AutoTokenizer.from_pretrained(path)
    tokenizer.pad_token = None
    assert fill_with(tokenizer) not in tokenizer("text")["input_ids"]
    assert tokenizer.pad_token is not None
    task = TASKS[Task.TEXT_CLASSIFICATION]
    records = RECORDS[Task.TEXT_CLASSIFICATION]
    encode = task.prepare(tokenizer, of_task(Task.TEXT_CLASSIFICATION), records)
    with pytest.raises(DataError, match="which stands for the end of a text"):
        encode(Record(columns=ColumnValues(text=f"a{tokenizer.pad_token}", label="1")))


def test_several_classes_are_learned_and_published_with_the_head(
    bert: Path, tmp_path: Path
) -> None:
    lines = [
        {"body": f"text {number}", "topics": [name for name in ("a", "b") if name in kind]}
        for number, kind in enumerate(["a", "b", "ab", ""] * 6)
    ]
    made = workspace(
        tmp_path,
        bert,
        lines,
        task="TextClassification",
        dataset={"columns": {"text": "body", "label": "topics"}, "validationFraction": 0.25},
        training={"maxSteps": 2, "warmupSteps": 0},
        evaluation={"metrics": TASK_METRICS[Task.TEXT_CLASSIFICATION]},
    )
    place = Workspace(tmp_path)
    train(made, place, attempt=1)
    folder = place.output / "adapter"
    config = json.loads((folder / "config.json").read_text())
    assert config["id2label"] == {"0": "a", "1": "b"}
    assert config["problem_type"] == "multi_label_classification"
    completion = json.loads(place.completion.read_text())
    assert set(completion["evaluation"]["tuned"]) == {"Loss", "Accuracy", "MacroF1"}
    assert "AutoModelForSequenceClassification" in (folder / "README.md").read_text()


def test_weights_that_are_missing_are_no_new_head(tmp_path: Path) -> None:
    path = write_encoder(tmp_path, num_hidden_layers=2)
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))
    base = open_base_model(path, 128, HEADS[Task.TOKEN_CLASSIFICATION])
    with pytest.raises(ConfigurationError, match=r"hold no weights for bert\.encoder\.layer\.2"):
        load_model(base, torch.float32, CPU)


def test_a_model_is_refused_for_a_head_that_it_cannot_have(tmp_path: Path, bert: Path) -> None:
    llama, head = write_model(tmp_path / "llama"), HEADS[Task.EXTRACTIVE_QUESTION_ANSWERING]
    with pytest.raises(ConfigurationError, match="cannot find answers in a text"):
        open_base_model(llama, 128, head)
    # Roberta counts positions from after its pad token, which is 0 here.
    roberta = write_encoder(tmp_path / "roberta", "roberta")
    with pytest.raises(ConfigurationError, match="the 259 positions"):
        open_base_model(roberta, 260, HEADS[Task.TEXT_CLASSIFICATION])


@pytest.mark.parametrize("task", list(RECORDS), ids=str)
def test_an_example_is_shown_with_what_is_learned(tokenizer: Any, task: Task) -> None:
    encode = TASKS[task].prepare(tokenizer, of_task(task), RECORDS[task])
    (example,) = encode(RECORDS[task][1])
    parts = TASKS[task].show(tokenizer, example)
    learned = "".join(part.text for part in parts if part.learned)
    expected = {
        Task.TEXT_CLASSIFICATION: "2",
        Task.TOKEN_CLASSIFICATION: "/O/B-A",
        Task.EXTRACTIVE_QUESTION_ANSWERING: "b",
    }
    assert learned == expected[task]
