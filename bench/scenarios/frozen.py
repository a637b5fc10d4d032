"""A classifier on what an encoder says of a text as it is: what has to be beaten by tuning it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from transformers import AutoModel, AutoTokenizer

_BATCH = 32
_TOKENS = 256
"""Of a text at most."""


def predicted(
    model: Path, train: Sequence[str], labels: Sequence[str], texts: Sequence[str]
) -> list[str]:
    """The labels of the texts by a logistic regression on mean token embeddings."""
    encode = _encoder(model)
    classifier = LogisticRegression(max_iter=2000).fit(encode(train), labels)
    return [str(label) for label in classifier.predict(encode(texts))]


def _encoder(model: Path) -> Any:
    tokenizer: Any = AutoTokenizer.from_pretrained(model)
    encoder: Any = AutoModel.from_pretrained(model, dtype=torch.float32).eval()

    def encode(texts: Sequence[str]) -> NDArray[np.float32]:
        found = []
        for at in range(0, len(texts), _BATCH):
            batch = tokenizer(
                list(texts[at : at + _BATCH]),
                padding=True,
                truncation=True,
                max_length=_TOKENS,
                return_tensors="pt",
            )
            with torch.no_grad():
                states = encoder(**batch).last_hidden_state
            seen = batch["attention_mask"][..., None]
            found.append(((states * seen).sum(1) / seen.sum(1)).numpy())
        return np.concatenate(found)

    return encode
