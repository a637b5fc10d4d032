"""Data are tokenized once for all processes and attempts, and again when they have changed."""

from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from finetune_trainer.data.dataset import Dataset, load_dataset
from finetune_trainer.data.examples import Examples
from finetune_trainer.errors import DataError
from finetune_trainer.heads import HEADS, Head
from finetune_trainer.recipe import Recipe, Task
from finetune_trainer.workspace import Workspace
from tests.trainer.matrix import TASK_DATA
from tests.trainer.recipes import CONVERSATIONS, recipe, workspace, write_lines
from tests.trainer.tiny_models import write_encoder
from tests.unit.trainer.test_store import same

HELD_OUT = {"dataset": {"validationFraction": 0.25}}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_encoder(tmp_path_factory.mktemp("encoder"))


def load(made: Recipe, root: Path, **options: Any) -> Dataset:
    tokenizer = AutoTokenizer.from_pretrained(root / "inputs" / "model")
    return load_dataset(made, Workspace(root), tokenizer, **options)


def written(root: Path) -> list[tuple[str, int]]:
    """The files, and which ones they are."""
    folder = Workspace(root).examples
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return [(str(path.relative_to(folder)), path.stat().st_ino) for path in files]


def alike(one: Examples | None, other: Examples | None) -> bool:
    assert one
    assert other
    numbers = [{**vars(each), "examples": None} for each in (one, other)]
    return numbers[0] == numbers[1] and all(map(same, one.examples, other.examples))


@pytest.mark.parametrize("name", TASK_DATA)
def test_the_second_time_gives_what_the_first_gave(
    tiny_model: Path, encoder: Path, tmp_path: Path, name: str
) -> None:
    task, _, loss = name.partition(" by ")
    model = tiny_model if HEADS[Task(task)] is Head.CAUSAL_LM else encoder
    preference = {"loss": loss, "beta": 0.1} if loss else None
    made = workspace(tmp_path, model, TASK_DATA[name], **HELD_OUT, task=task, preference=preference)
    first = load(made, tmp_path)
    files = written(tmp_path)
    second = load(made, tmp_path)
    assert written(tmp_path) == files
    assert alike(first.train, second.train)
    assert alike(first.validation, second.validation)
    assert len(first.train.examples) == len(first.train.lengths) > 0
    for member in ("settings", "format", "digest", "leaks"):
        assert getattr(first, member) == getattr(second, member)
    for member in ("chat_template", "pad_token"):
        assert getattr(first.tokenizer, member) == getattr(second.tokenizer, member)


@pytest.mark.parametrize(
    ("changes", "again"),
    [
        ({"training": {"learningRate": 0.5}}, False),
        ({"training": {"maxLength": 64}}, True),
        ({"training": {"seed": 7}}, True),
        ({"dataset": {"validationFraction": 0.5}}, True),
        ({"dataset": {"chatTemplate": "{{ messages[0]['content'] }}"}}, None),
    ],
)
def test_only_what_decides_the_tokens_makes_them_again(
    tiny_model: Path, tmp_path: Path, changes: dict[str, Any], again: bool | None
) -> None:
    load(workspace(tmp_path, tiny_model, **HELD_OUT), tmp_path)
    files = written(tmp_path)
    settings: dict[str, Any] = {"training": {}} | HELD_OUT
    other = recipe(
        **{name: settings.get(name, {}) | of for name, of in (settings | changes).items()}
    )
    if again is None:
        with pytest.raises(Exception, match="template"):
            load(other, tmp_path)
        assert written(tmp_path) == files  # what was there stays
        return
    load(other, tmp_path)
    assert (written(tmp_path) != files) is again


def test_other_data_are_read_again_and_bad_ones_cost_nothing(
    tiny_model: Path, tmp_path: Path
) -> None:
    made = workspace(tmp_path, tiny_model)
    first = load(made, tmp_path)
    file = tmp_path / "inputs" / "train-0" / "train.jsonl"
    file.write_text(file.read_text() + "{")
    with pytest.raises(DataError, match="line 25"):
        load(made, tmp_path)
    assert not list(tmp_path.glob(".examples*"))
    write_lines(file, CONVERSATIONS[:10])
    second = load(made, tmp_path)
    assert (len(first.train.examples), len(second.train.examples)) == (24, 10)
    assert first.digest != second.digest
    assert first.train.examples[3].length  # whoever has it open goes on with it


def test_torn_files_are_made_again(tiny_model: Path, tmp_path: Path) -> None:
    made = workspace(tmp_path, tiny_model)
    first = load(made, tmp_path)
    facts = Workspace(tmp_path).examples / "dataset.json"
    facts.write_text(facts.read_text()[:20])
    assert alike(first.train, load(made, tmp_path).train)


def test_all_processors_give_what_one_gives(tiny_model: Path, tmp_path: Path) -> None:
    many = [{"messages": turns["messages"]} for turns in CONVERSATIONS * 40]
    for index, each in enumerate(many):
        question, reply = each["messages"]
        each["messages"] = [question | {"content": f"{question['content']} {index}"}, reply]
    sides = []
    for processes in (1, 3):
        root = tmp_path / str(processes)
        sides.append(load(workspace(root, tiny_model, many), root, processes=processes).train)
    assert alike(*sides)
    assert sides[0].duplicates == 0
