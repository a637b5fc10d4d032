"""Held-out questions: what base and tuned model answer, and whether they know the fact."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from shell import Kubectl

MAXIMUM_TOKENS = 64


@dataclass(frozen=True)
class Question:
    """A question that was not trained on, and the words that a right answer holds."""

    text: str
    words: tuple[str, ...]

    def answered_by(self, answer: str) -> bool:
        return all(word.lower() in answer.lower() for word in self.words)


def read(path: Path) -> list[Question]:
    """The questions of a file, in its order."""
    return [
        Question(item["question"], tuple(item["words"])) for item in json.loads(path.read_text())
    ]


def ask(kubectl: Kubectl, workspace: str, model: str, question: Question) -> str:
    """What the model answers, greedily, through the API server's proxy to the Service."""
    request = {
        "model": model,
        "messages": [{"role": "user", "content": question.text}],
        "max_tokens": MAXIMUM_TOKENS,
        "temperature": 0,
    }
    service = f"/api/v1/namespaces/{kubectl.namespace}/services/{workspace}:80/proxy"
    path = f"{service}/v1/chat/completions"
    answer = kubectl("create", "--raw", path, "--filename", "-", stdin=json.dumps(request))
    content: str = json.loads(answer)["choices"][0]["message"]["content"]
    return " ".join(content.split())
