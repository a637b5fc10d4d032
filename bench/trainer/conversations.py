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
    path: Path, count: int, fits: Callable[[Messages], bool] = lambda _: True
) -> None:
    """Write `count` conversations of two or more turns that fit as OpenAIChat lines, always the
    same."""
    conversations = [
        messages
        for conversation in chitchat_dataset.Dataset().values()
        if len(messages := _messages(conversation)) > 1 and fits(messages)
    ]
    chosen = random.Random(SEED).sample(conversations, count)  # noqa: S311 - a fixed choice
    lines = [json.dumps({"messages": messages}) + "\n" for messages in chosen]
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
