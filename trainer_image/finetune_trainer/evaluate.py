"""Measure a model on held-out data: the same code for the base model and for the tuned one."""

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch

from finetune_trainer.data.examples import Example
from finetune_trainer.data.packing import pack, share
from finetune_trainer.engine.world import World
from finetune_trainer.metrics import Rows

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

AnyExample = TypeVar("AnyExample", bound=Example)


@dataclass(frozen=True)
class Judge:
    """Shares what is to be measured among the processes, in rows of at most maxLength tokens."""

    world: World
    autocast: AbstractContextManager[object]
    max_length: int
    tokenizer: "PreTrainedTokenizerBase"

    def score(
        self,
        model: torch.nn.Module,
        examples: Sequence[AnyExample],
        scores: Callable[[Sequence[AnyExample]], Collection[Sequence[float]]],
        *,
        columns: int,
    ) -> Rows:
        """The numbers of every example, on every process.

        Args:
            model: is put into evaluation, and computes without gradients.
            examples: in whose order the result is.
            scores: gives `columns` numbers for each example of a row.
            columns: how many numbers that are.
        """
        found = np.zeros((len(examples), columns))
        packs = pack([each.length for each in examples], range(len(examples)), self.max_length)
        model.eval()
        with torch.no_grad(), self.autocast:
            for members in share(packs, self.world.rank, self.world.size):
                found[list(members)] = list(scores([examples[index] for index in members]))
        return np.array(self.world.sum(found.ravel().tolist())).reshape(found.shape)
