"""Write conversations of people, from the package chitchat-dataset, as OpenAIChat lines.

    python examples/small-talk/build.py FOLDER    # train.jsonl and validation.jsonl

Nobody who speaks in a held-out conversation speaks in one that is learned from. The first to speak
is the user; what somebody says in several messages before the other answers is one turn.
"""

import argparse
import hashlib
import json
from pathlib import Path
from typing import Any

import chitchat_dataset

HELD_OUT_IN = 3
"""Of so many people one is held out."""
TRAIN, HELD_OUT = 100, 60
"""Conversations: what two cores learn in a minute or two."""
TURNS = range(4, 17)
CHARACTERS = 1000
"""Of a conversation at most, so that none is cut at training.maxLength."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    train, held_out = conversations()
    for name, chosen in (("train", train), ("validation", held_out)):
        lines = "".join(json.dumps({"messages": messages}) + "\n" for messages in chosen)
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")
        print(f"{name}: {len(chosen)} conversations")


def conversations() -> tuple[list[list[dict[str, str]]], list[list[dict[str, str]]]]:
    """Those to learn from, and those held out; always the same ones."""
    train: list[list[dict[str, str]]] = []
    held_out: list[list[dict[str, str]]] = []
    everything = chitchat_dataset.Dataset()
    for key in sorted(everything, key=_spread):
        turns = everything[key]["messages"]
        messages = _messages(turns)
        size = sum(len(message["content"]) for message in messages)
        if len(messages) not in TURNS or size > CHARACTERS:
            continue
        apart = {_spread(each["sender"]) % HELD_OUT_IN == 0 for turn in turns for each in turn}
        if apart == {False} and len(train) < TRAIN:
            train.append(messages)
        if apart == {True} and len(held_out) < HELD_OUT:
            held_out.append(messages)
    return train, held_out


def _messages(turns: list[list[dict[str, Any]]]) -> list[dict[str, str]]:
    """Up to the assistant's last turn."""
    texts = [" ".join(each["text"] for each in turn).strip() for turn in turns]
    if not all(texts):
        return []
    texts = texts[: len(texts) // 2 * 2]
    return [
        {"role": "user" if index % 2 == 0 else "assistant", "content": text}
        for index, text in enumerate(texts)
    ]


def _spread(name: str) -> int:
    """A number that has nothing to do with what the name stands for, and is always the same."""
    return int(hashlib.sha256(name.encode()).hexdigest()[:8], 16)


if __name__ == "__main__":
    main()
