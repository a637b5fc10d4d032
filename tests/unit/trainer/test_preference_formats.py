"""Replies that were judged, in the layouts that people have."""

import json
from pathlib import Path
from typing import Any

import pytest

from finetune_trainer.data.formats import Record, Reply, Role, Turn, formats_for
from finetune_trainer.data.read import read_files
from finetune_trainer.errors import DataError
from finetune_trainer.recipe import Columns, DatasetFormat, Task
from finetune_trainer.rules import problems
from tests.trainer.recipes import recipe

Json = dict[str, Any]


def says(role: str, content: str) -> Json:
    return {"role": role, "content": content}


ASKED, GOOD, BAD = says("user", "q"), says("assistant", "good"), says("assistant", "bad")
BEFORE = [says("user", "a"), says("assistant", "b")]


def read(tmp_path: Path, line: Json, wanted: DatasetFormat = DatasetFormat.AUTO) -> Record:
    path = tmp_path / "train.jsonl"
    path.write_text(json.dumps(line))
    found = read_files([path], wanted, formats_for(Task.PREFERENCE, Columns()))
    return found.records[0].record


PAIR = Record(
    turns=(Turn(Role.USER, "q"),),
    replies=(
        Reply((Turn(Role.ASSISTANT, "good"),), desirable=True),
        Reply((Turn(Role.ASSISTANT, "bad"),), desirable=False),
    ),
)


@pytest.mark.parametrize(
    "line",
    [
        {"prompt": "q", "chosen": "good", "rejected": "bad"},
        {"prompt": [ASKED], "chosen": [GOOD], "rejected": [BAD]},
        {"messages": [ASKED], "chosen": [GOOD], "rejected": "bad"},
        {"chosen": [ASKED, GOOD], "rejected": [ASKED, BAD]},
        {"prompt": "q", "chosen": [ASKED, GOOD], "rejected": [ASKED, BAD]},
    ],
    ids=["text", "messages", "mixed", "implicit prompt", "prompt repeated"],
)
def test_a_pair_is_the_same_in_every_layout(tmp_path: Path, line: Json) -> None:
    assert read(tmp_path, line) == PAIR


def test_what_both_conversations_begin_with_is_the_prompt(tmp_path: Path) -> None:
    line = {"chosen": [*BEFORE, ASKED, GOOD], "rejected": [*BEFORE, ASKED, BAD]}
    found = read(tmp_path, line)
    assert [turn.content for turn in found.turns] == ["a", "b", "q"]
    assert [reply.turns[0].content for reply in found.replies] == ["good", "bad"]


@pytest.mark.parametrize("label", [True, False])
def test_a_reply_may_be_judged_alone(tmp_path: Path, label: bool) -> None:
    found = read(tmp_path, {"prompt": "q", "completion": "good", "label": label})
    assert found == Record(turns=PAIR.turns, replies=(Reply(PAIR.replies[0].turns, label),))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"chosen": "a", "rejected": "b"}, "no message of role user before the replies"),
        ({"prompt": "q", "chosen": "a", "rejected": "a"}, "chosen and rejected are the same"),
        ({"prompt": 3, "chosen": "a", "rejected": "b"}, "prompt: Input should be a text or a list"),
        ({"prompt": "q", "chosen": [ASKED, ASKED], "rejected": "b"}, "a reply begins and ends"),
        (
            {"prompt": "q", "messages": [ASKED], "chosen": "a", "rejected": "b"},
            "prompt and messages say the same",
        ),
        ({"completion": "a", "label": True}, "prompt is missing: a text, or messages"),
        ({"prompt": "q", "completion": "a", "label": 1}, "label: Input should be a valid boolean"),
        ({"prompt": "q", "chosen": "a", "rejected": "b", "score": 1}, "score: Extra inputs"),
    ],
)
def test_bad_lines_are_named(tmp_path: Path, line: Json, message: str) -> None:
    with pytest.raises(DataError) as raised:
        read(tmp_path, line)
    assert str(raised.value).startswith("train.jsonl line 1: not of format ")
    assert message in str(raised.value)


def preference(loss: str, **changes: Any) -> list[str]:
    settings = {"task": "Preference", "preference": {"loss": loss, "beta": 0.1}}
    return problems(recipe(**settings, **changes))


def test_dpo_takes_pairs_only_and_kto_both() -> None:
    unpaired = {"dataset": {"format": "UnpairedPreference"}}
    (found,) = preference("DPO", **unpaired)
    assert "preference.loss DPO cannot be combined with dataset.format UnpairedPreference" in found
    assert "set preference.loss KTO" in found
    assert preference("KTO", **unpaired) == []
    assert preference("KTO", dataset={"format": "PreferencePairs"}) == []


@pytest.mark.parametrize("task", [task for task in Task if task is not Task.PREFERENCE])
def test_other_tasks_have_no_preference(task: Task) -> None:
    with pytest.raises(ValueError, match="preference is given exactly when task is Preference"):
        recipe(task=task, preference={"loss": "DPO", "beta": 0.1})


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ({"type": "Full", "lora": None}, "set method.type to the adapter's"),
        ({"lora": {"initialization": "PiSSA"}}, "set initialization Default"),
    ],
)
def test_what_has_another_start_goes_on_from_no_adapter(method: Json, message: str) -> None:
    (found,) = problems(recipe(model={"adapterUri": "oci://registry/a:v1"}, method=method))
    assert message in found
