"""Measure a model on held-out data: the same code for the base model and for the tuned one."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch

from finetune_trainer.data.chat_template import ChatTemplate
from finetune_trainer.data.examples import Example, Tokens
from finetune_trainer.data.packing import RowLayout, pack, rows, share
from finetune_trainer.engine.generation import answer, batches
from finetune_trainer.engine.world import World
from finetune_trainer.metrics import Rows
from finetune_trainer.recipe import Evaluation

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_BATCH_TOKENS = 4096
"""A batch holds no fewer tokens, so that small models are not asked one question at a time."""
_ROWS_OF_A_BATCH = 4
"""Keys and values of so many rows need less memory than the training of one."""

Batch = tuple[int, ...]
"""Indices of examples that are computed together."""

AnyExample = TypeVar("AnyExample", bound=Example)


@dataclass(frozen=True)
class Judge:
    """Shares what is to be measured among the processes, in rows of at most maxLength tokens."""

    world: World
    autocast: AbstractContextManager[object]
    max_length: int
    tokenizer: "PreTrainedTokenizerBase"
    settings: Evaluation
    in_step: bool = False
    """Whether processes hold shares of the weights, so that each pass needs all of them."""

    def score(
        self,
        model: torch.nn.Module,
        examples: Sequence[AnyExample],
        scores: Callable[[Sequence[AnyExample]], Collection[Sequence[float]]],
        *,
        columns: int,
        lay_out: RowLayout = rows,
    ) -> Rows:
        """The numbers of every example, on every process.

        Args:
            model: is put into evaluation, and computes without gradients.
            examples: in whose order the result is.
            scores: gives `columns` numbers for each example of a row.
            columns: how many numbers that are.
            lay_out: which examples are computed together.
        """
        found = np.zeros((len(examples), columns))
        lengths = [each.length for each in examples]
        packs = pack(lengths, range(len(examples)), self.max_length)
        shares = [
            lay_out(share(packs, rank, self.world.size), lengths, self.max_length)
            for rank in range(self.world.size)
        ]
        model.eval()
        with torch.no_grad(), self.autocast:
            for members, counts in self._mine(shares):
                made = list(scores([examples[index] for index in members]))
                if counts:
                    found[list(members)] = made
        return np.array(self.world.sum(found.ravel().tolist())).reshape(found.shape)

    def answers(self, model: torch.nn.Module, prompts: Sequence[Tokens]) -> list[str]:
        """What the model says after each prompt, on every process.

        Batches are made before they are shared, so that the number of processes changes nothing.
        """
        ends = _end_tokens(model, self.tokenizer)
        most = self.settings.max_new_tokens
        # Texts travel as numbers: 0 is no token, all others are one higher than they are.
        found = np.zeros((len(prompts), most))
        capacity = max(_BATCH_TOKENS, _ROWS_OF_A_BATCH * self.max_length)
        size = self.world.size
        made = batches([len(each) for each in prompts], most, capacity)
        model.eval()
        with self.autocast:
            for members, counts in self._mine([share(made, rank, size) for rank in range(size)]):
                written = answer(
                    model,
                    [prompts[index] for index in members],
                    max_new_tokens=most,
                    end_tokens=ends,
                    device=self.world.device,
                )
                for index, tokens in zip(members, written, strict=True):
                    found[index, : len(tokens)] = counts * (tokens + 1)
        everywhere = np.array(self.world.sum(found.ravel().tolist())).reshape(found.shape)
        return [self.text(row[row > 0].astype(np.int64) - 1) for row in everywhere]

    def _mine(self, shares: Sequence[Sequence[Batch]]) -> Iterator[tuple[Batch, bool]]:
        """What this process computes of all shares, and whether that counts: one that has less to
        do than others, who need its part of the weights, computes something again."""
        mine, most = shares[self.world.rank], max(shares, key=len)
        yield from ((each, True) for each in mine)
        if self.in_step:
            yield from ((each, False) for each in most[len(mine) :])

    def text(self, tokens: Tokens) -> str:
        """As people read it: without special tokens and blanks at the ends."""
        return str(self.tokenizer.decode(tokens.tolist(), skip_special_tokens=True)).strip()


def _end_tokens(model: Any, tokenizer: "PreTrainedTokenizerBase") -> list[int]:
    """What ends an answer: the tokenizer's end token, those that the model itself names, and that
    of the chat template.

    Raises:
        ConfigurationError: the chat template has none.
    """
    named = model.generation_config.eos_token_id
    found = [tokenizer.eos_token_id, *(named if isinstance(named, list) else [named])]
    if tokenizer.chat_template:
        found.append(tokenizer.convert_tokens_to_ids(ChatTemplate(tokenizer).end_token))
    return list(dict.fromkeys(int(each) for each in found if each is not None))
