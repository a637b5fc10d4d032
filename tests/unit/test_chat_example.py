"""The data of examples/chat: what it holds must be true, disjoint and enough."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from finetune_operator.api.fine_tune_job import ALWAYS_MUTABLE, FineTuneJob
from finetune_trainer.exit_codes import ExitCode

EXAMPLE = Path(__file__).parents[2] / "examples/chat"


def turns(file: str) -> list[tuple[str, str]]:
    """(question, answer) of every conversation."""
    conversations = [
        json.loads(line) for line in (EXAMPLE / "data" / file).read_text().splitlines()
    ]
    for conversation in conversations:
        assert [turn["role"] for turn in conversation["messages"]] == ["user", "assistant"]
    return [
        (each["messages"][0]["content"], each["messages"][1]["content"]) for each in conversations
    ]


def questions() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((EXAMPLE / "questions.json").read_text())
    return found


def test_every_answer_is_asked_for_in_many_ways() -> None:
    counts = Counter(answer for _, answer in turns("train.jsonl"))
    assert len(counts) == 6
    assert all(15 <= count <= 25 for count in counts.values()), counts


def test_no_held_out_question_was_trained_on() -> None:
    trained = {question.lower() for question, _ in turns("train.jsonl")}
    held_out = {question.lower() for question, _ in turns("validation.jsonl")}
    assert not trained & held_out


def test_held_out_answers_are_those_of_training() -> None:
    assert {answer for _, answer in turns("validation.jsonl")} == {
        answer for _, answer in turns("train.jsonl")
    }


@pytest.mark.parametrize("item", questions(), ids=lambda item: item["question"])
def test_a_question_of_the_demo_is_held_out_and_its_words_are_in_the_answer(
    item: dict[str, Any],
) -> None:
    answers = dict(turns("validation.jsonl"))
    answer = answers[item["question"]]
    assert all(word.lower() in answer.lower() for word in item["words"])
    assert not all(word.lower() in item["question"].lower() for word in item["words"])


def answer_of(question: str) -> str:
    return dict(turns("train.jsonl"))[question]


def test_the_facts_are_those_of_this_version() -> None:
    (short_name,) = FineTuneJob.resource.short_names
    assert f"is {short_name}:" in answer_of("What is the short name of FineTuneJob?")
    assert f"code {ExitCode.PREEMPTED:d}" in answer_of("Which exit code stands for Preempted?")
    for field, question in (
        ("suspend", "How do I suspend a FineTuneJob?"),
        ("cleanupAfterSeconds", "What does cleanupAfterSeconds do?"),
    ):
        assert field in answer_of(question)
        assert field in ALWAYS_MUTABLE
    crd = (EXAMPLE.parents[1] / "crds/finetune.dev_finetunejobs.yaml").read_text()
    limit = "at most 48 characters"
    assert limit in answer_of("What is the limit for job names?")
    assert f"must have {limit}" in crd
