"""What all tasks share whose model has a head of its own instead of going on with a text."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from finetune_trainer.data.encoded import EncodedText
from finetune_trainer.data.formats import Record
from finetune_trainer.data.packing import RowLayout, padded_rows
from finetune_trainer.errors import ConfigurationError, DataError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Example = TypeVar("Example", bound=EncodedText)


@dataclass(frozen=True)
class PaddedEncoder(Generic[Example]):
    """From a record to examples, and what the model's configuration is to say."""

    encode: Callable[[Record], list[Example]]
    settings: dict[str, object] = field(default_factory=dict)

    def __call__(self, record: Record) -> list[Example]:
        return self.encode(record)


class PaddedTask:
    """Texts side by side, the shorter ones filled up: encoders look in both directions, so texts
    in one row would see each other. The base of such tasks."""

    lay_out: RowLayout = staticmethod(padded_rows)


def classes(labels: tuple[str, ...]) -> dict[str, object]:
    """The part of a configuration that names the outputs of a head."""
    return {
        "id2label": dict(enumerate(labels)),
        "label2id": {label: index for index, label in enumerate(labels)},
    }


class Texts:
    """The tokenizer as encoders need it.

    Raises:
        ConfigurationError: it cannot trace tokens back to the text, or fill up a batch.
    """

    def __init__(self, tokenizer: "PreTrainedTokenizerBase") -> None:
        if not tokenizer.is_fast:
            raise ConfigurationError(
                "the model has no tokenizer.json, so tokens cannot be traced back to the text: "
                "choose a model that ships one"
            )
        self.tokenizer: Any = tokenizer
        """transformers leaves it untyped."""
        self.pad = fill_with(tokenizer)
        self.has_segments = "token_type_ids" in tokenizer.model_input_names

    def refuse_filler(self, *texts: str) -> None:
        """
        Raises:
            DataError: a text holds what fills up, which a head would take for its end.
        """
        filler = self.tokenizer.pad_token
        if any(filler in text for text in texts):
            raise DataError(
                f"the text contains {filler}, which stands for the end of a text: remove it"
            )

    def encode(self, *texts: str) -> "Encoded":
        """One text or two, with special tokens around."""
        encoding = self.tokenizer(
            *texts,
            return_offsets_mapping=True,
            return_special_tokens_mask=True,
            return_token_type_ids=True,
        )
        special = [bool(each) for each in encoding["special_tokens_mask"]]
        return Encoded(
            ids=np.array(encoding["input_ids"], dtype=np.int64),
            segments=np.array(encoding["token_type_ids"], dtype=np.int64)
            if self.has_segments
            else None,
            offsets=np.array(encoding["offset_mapping"], dtype=np.int64).reshape(-1, 2),
            texts=np.array([-1 if of is None else of for of in encoding.sequence_ids()]),
            opening=_run(special),
            closing=_run(special[::-1]),
        )


@dataclass(frozen=True)
class Encoded:
    """What the tokenizer has made of one text or two; all of shape (length,) but for offsets."""

    ids: NDArray[np.int64]
    segments: NDArray[np.int64] | None
    offsets: NDArray[np.int64]
    """(length, 2): where each token begins and ends in its text."""
    texts: NDArray[np.int64]
    """Of which text each token is; -1 for special tokens."""
    opening: int
    """Special tokens at the beginning."""
    closing: int
    """Special tokens at the end."""

    @property
    def length(self) -> int:
        return len(self.ids)

    def part(self, start: int, end: int) -> NDArray[np.int64]:
        """Positions of some tokens, with all special ones around."""
        last = self.length - self.closing
        where: NDArray[np.int64] = np.r_[: self.opening, start:end, last : self.length]
        return where


def _run(special: list[bool]) -> int:
    return next((count for count, each in enumerate(special) if not each), len(special))


def fill_with(tokenizer: "PreTrainedTokenizerBase") -> int:
    """The id of a token to fill up with that is in no text; the tokenizer is completed.

    A head that reads the last token of a text finds it by what fills up after it. Many decoders
    name no token for it, and some put the one they name at the end of every text.

    Raises:
        ConfigurationError: the tokenizer puts each of its special tokens into texts.
    """
    said = {*tokenizer("a")["input_ids"], *tokenizer("a", "a")["input_ids"]}
    if tokenizer.pad_token is not None and tokenizer.pad_token_id not in said:
        return int(tokenizer.pad_token_id)
    free = sorted(
        (number, token.content)
        for number, token in tokenizer.added_tokens_decoder.items()
        if token.special and number not in said
    )
    if not free:
        raise ConfigurationError(
            "the model's tokenizer has no token to fill up short texts with: it puts each of its "
            "special tokens into texts; choose a model that has a pad_token"
        )
    number, tokenizer.pad_token = free[0]
    return number
