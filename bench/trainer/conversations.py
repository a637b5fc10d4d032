"""The fixed data: real conversations of natural length, from the package chitchat-dataset (MIT)."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import chitchat_dataset

SEED = 7


Messages = list[dict[str, str]]


def write_conversations(
    path: Path,
    count: int,
    fits: Callable[[Messages], bool] = lambda _: True,
    held_out: Path | None = None,
) -> None:
    """Write `count` conversations of two or more turns that fit as OpenAIChat lines, always the
    same; and as many others to be held out."""
    conversations = [
        messages
        for conversation in chitchat_dataset.Dataset().values()
        if len(messages := _messages(conversation)) > 1 and fits(messages)
    ]
    drawn = random.Random(SEED)  # noqa: S311 - a fixed choice
    chosen = drawn.sample(range(len(conversations)), count)
    _write(path, [conversations[index] for index in chosen])
    if held_out:
        others = sorted(set(range(len(conversations))) - set(chosen))
        _write(held_out, [conversations[index] for index in drawn.sample(others, count)])


def _write(path: Path, conversations: list[Messages]) -> None:
    lines = [json.dumps({"messages": messages}) + "\n" for messages in conversations]
    path.write_text("".join(lines), encoding="utf-8")


def _messages(conversation: dict[str, Any]) -> Messages:
    """Turns of the two speakers, the first as the user, up to the assistant's last."""
    turns = [
        " ".join(utterance["text"] for utterance in turn).strip()
        for turn in conversation["messages"]
    ]
    turns = [text for text in turns if text]
    turns = turns[: len(turns) // 2 * 2]
    return [
        {"role": "user" if index % 2 == 0 else "assistant", "content": text}
        for index, text in enumerate(turns)
    ]
