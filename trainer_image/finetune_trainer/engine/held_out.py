"""Measure on held-out data: the base model, along the way, and the tuned model."""

import logging
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from peft import PeftModel

from finetune_trainer.base_model import BaseModel
from finetune_trainer.data.dataset import Dataset
from finetune_trainer.data.examples import Example
from finetune_trainer.engine.base_scores import BaseScores
from finetune_trainer.engine.callbacks import Surroundings
from finetune_trainer.engine.failures import not_finite
from finetune_trainer.engine.served import divergence, load_served
from finetune_trainer.evaluate import Judge
from finetune_trainer.manifest import Evaluation, Leaks, Progress, Stage
from finetune_trainer.methods import METHODS
from finetune_trainer.metrics import Rows, value
from finetune_trainer.objectives import objective_of
from finetune_trainer.recipe import Metric, Precision, QuantizationType, Recipe
from finetune_trainer.report.answers import side_by_side
from finetune_trainer.report.metrics_log import Point
from finetune_trainer.report.scores import Scores, ScoresFile, ScoresOfBoth, ScoresOfModel

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class HeldOut:
    """The held-out data of a run, and who is told what it says."""

    recipe: Recipe
    dataset: Dataset
    judge: Judge
    around: Surroundings
    precision: Precision
    total_steps: int
    base_scores: BaseScores
    served: BaseModel | None
    """What is served in place of the quantized model; None where that is what is trained."""

    def measure_start(self, model: torch.nn.Module, *, on_curve: bool) -> ScoresOfModel:
        """The model that training starts from: all that is wanted, or the loss alone where another
        is served."""
        quantization = self.recipe.quantization.type
        wanted = (Metric.LOSS,) if self.served else self.recipe.evaluation.metrics
        self._say(0, None)
        whole = self.served is None
        found = self.base_scores.of(
            quantization,
            wanted,
            lambda: self._scores(model, wanted, answers=whole),
            answers=whole,
        )
        self._tell(0, np.array(found.metrics[Metric.LOSS].rows), on_curve=on_curve)
        return found

    def measure_end(
        self, model: torch.nn.Module, start: ScoresOfModel, step: int, *, on_curve: bool
    ) -> tuple[ScoresFile, float | None]:
        """The scores of base and tuned model as they are served, and how far that is from what was
        trained, where it is not the same.

        Args:
            start: what `measure_start` said.
            on_curve: false where the model is of an earlier step, which the curve has already.
        """
        wanted = self.recipe.evaluation.metrics
        served = self._load_served(model) if self.served else None
        if served is None:
            base = self._base_as_trained(model) if self.served else start
            self._say(step, None)
            tuned = self._scores(model, wanted)
            self._tell(step, np.array(tuned.metrics[Metric.LOSS].rows), on_curve=on_curve)
            return compared(base, tuned), None
        with served.disable_adapter():
            base = self.base_scores.of(
                QuantizationType.NONE, wanted, lambda: self._scores(served, wanted)
            )
        tuned = self._scores(served, wanted)
        distance = divergence(model, served, self._examples, self.recipe, self.judge)
        if distance is not None:
            log.info("KL of what is served from what was trained: %.4f nats a token", distance)
        if on_curve:
            self._measure(model, step, (Metric.LOSS,))
        return compared(base, tuned), distance

    def _load_served(self, model: torch.nn.Module) -> PeftModel | None:
        if self.served is None:
            return None
        return load_served(
            model,
            self.recipe,
            self.served,
            dtype=METHODS[self.recipe.method.type].load_dtype(self.precision),
            settings=self.dataset.settings,
            judge=self.judge,
        )

    def _base_as_trained(self, model: torch.nn.Module) -> ScoresOfModel:
        """There was no room for what is served."""
        wanted = self.recipe.evaluation.metrics
        with cast("PeftModel", model).disable_adapter():
            return self.base_scores.of(
                self.recipe.quantization.type, wanted, lambda: self._scores(model, wanted)
            )

    def compare(self, model: torch.nn.Module, step: int) -> float:
        """What evaluations along the way are compared by.

        Raises:
            DivergedError, ConfigurationError: it is not a number.
        """
        metric = self.recipe.evaluation.best_metric
        found = value(metric, self._measure(model, step, [metric])[metric])
        if not math.isfinite(found):
            raise not_finite(model, f"{metric} on held-out data became {found} at step {step}")
        return found

    def _measure(
        self, model: torch.nn.Module, step: int, wanted: Collection[Metric]
    ) -> dict[Metric, Rows]:
        self._say(step, None)
        found = self._score(model, wanted)
        self._tell(step, found[Metric.LOSS], on_curve=True)
        return found

    def _score(self, model: torch.nn.Module, wanted: Collection[Metric]) -> dict[Metric, Rows]:
        return objective_of(self.recipe).measure(model, self._examples, wanted, self.judge)

    def _scores(
        self, model: torch.nn.Module, wanted: Collection[Metric], *, answers: bool = True
    ) -> ScoresOfModel:
        """With the answers that the report shows, where wanted.

        Raises:
            DivergedError, ConfigurationError: a score is not a number.
        """
        found, objective = self._score(model, wanted), objective_of(self.recipe)
        for metric, rows in found.items():
            if not np.isfinite(rows).all():
                raise not_finite(model, f"{metric} of a held-out example is no number")
        return ScoresOfModel(
            metrics={metric: Scores(rows=rows.tolist()) for metric, rows in found.items()},
            answers=objective.answers(model, self._examples, self.judge) if answers else [],
        )

    def _tell(self, step: int, losses: Rows, *, on_curve: bool) -> None:
        around, loss = self.around, value(Metric.LOSS, losses)
        self._say(step, loss)
        if around.world.leads and on_curve and math.isfinite(loss):
            point = Point(step=step, attempt=around.attempt, validation_loss=loss)
            around.metrics.append(point, durably=True)
        log.info("held-out loss at step %d: %.4f", step, loss)

    @property
    def _examples(self) -> Sequence[Example]:
        if self.dataset.validation is None:
            raise TypeError("nothing is held out")
        return self.dataset.validation.examples

    def _say(self, step: int, loss: float | None) -> None:
        self.around.reporter.report(
            Progress(
                attempt=self.around.attempt,
                stage=Stage.EVALUATING,
                step=step,
                total_steps=self.total_steps,
                validation_loss=loss if loss is None or math.isfinite(loss) else None,
            )
        )


def compared(base: ScoresOfModel, tuned: ScoresOfModel) -> ScoresFile:
    """The scores of both, metric by metric."""
    both = {
        metric: ScoresOfBoth(base=base.metrics[metric], tuned=scores)
        for metric, scores in tuned.metrics.items()
    }
    return ScoresFile(metrics=both, answers=side_by_side(base.answers, tuned.answers))


def summary(scores: ScoresFile, leaks: Leaks) -> Evaluation:
    """The metrics themselves."""
    return Evaluation(
        base={metric: _shown(metric, both.base) for metric, both in scores.metrics.items()},
        tuned={metric: _shown(metric, both.tuned) for metric, both in scores.metrics.items()},
        warning=leaks.message,
    )


def _shown(metric: Metric, scores: Scores) -> str:
    return f"{value(metric, np.array(scores.rows)):.4f}"
