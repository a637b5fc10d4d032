"""How the model that training starts from does on held-out data, measured once and kept."""

import hashlib
import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from finetune_trainer.data.dataset import Dataset
from finetune_trainer.engine.origin import Origin
from finetune_trainer.engine.world import World
from finetune_trainer.recipe import Metric, QuantizationType
from finetune_trainer.report.scores import ScoresOfModel
from finetune_trainer.workspace import write_durably

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BaseScores:
    """Kept by content: see Origin. The folder is one that all processes see."""

    origin: Origin
    dataset: Dataset
    world: World
    folder: Path

    def of(
        self,
        quantization: QuantizationType,
        wanted: Collection[Metric],
        measure: Callable[[], ScoresOfModel],
        *,
        answers: bool = True,
    ) -> ScoresOfModel:
        """Read, or measured and kept; all processes call it.

        Args:
            quantization: of the model that `measure` measures.
            answers: whether it has the model write what the report shows.
        """
        shown = self.origin.recipe.evaluation.shown_examples if answers else 0
        path = self.folder / f"{self._digest(quantization, wanted, shown)}.json"
        kept = _read(path) if self.world.leads else None
        if self.world.maximum([float(kept is not None)])[0]:
            log.info("the scores of the model at the start are kept from before")
            return kept or ScoresOfModel.model_validate_json(path.read_bytes())
        measured = measure()
        if self.world.leads:
            self.folder.mkdir(exist_ok=True)
            write_durably(path, measured.model_dump_json().encode())
        return measured

    def _digest(
        self, quantization: QuantizationType, wanted: Collection[Metric], shown: int
    ) -> str:
        recipe = self.origin.recipe
        evaluation = recipe.evaluation
        settings = (
            recipe.task,
            recipe.preference,
            list(wanted),
            evaluation.max_new_tokens,
            evaluation.generated_examples,
            shown,
            # The data as it was given has the answers that are right as well.
            self.dataset.digest,
        )
        digest = hashlib.sha256(self.origin.identity(quantization).encode())
        digest.update(repr(settings).encode())
        for example in self.dataset.validation.examples if self.dataset.validation else ():
            digest.update(len(example.content).to_bytes(8))
            digest.update(example.content)
        return digest.hexdigest()


def _read(path: Path) -> ScoresOfModel | None:
    try:
        return ScoresOfModel.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None
