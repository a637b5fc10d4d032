"""Measure on held-out data: the base model, along the way, and the tuned model."""

import logging
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from finetune_trainer.base_model import BaseModel
from finetune_trainer.data.dataset import Dataset
from finetune_trainer.data.examples import Example
from finetune_trainer.engine.callbacks import Surroundings
from finetune_trainer.engine.served import divergence, load_served
from finetune_trainer.errors import DivergedError
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

    def measure(self, model: torch.nn.Module, step: int, *, on_curve: bool = True) -> ScoresOfModel:
        """Every metric that is wanted, example by example, and some answers.

        Args:
            on_curve: false where the model is of an earlier step, which the curve has already.
        """
        wanted = self.recipe.evaluation.metrics
        return self._scores(model, self._measure(model, step, wanted, on_curve=on_curve))

    def measure_loss(self, model: torch.nn.Module, step: int, *, on_curve: bool) -> None:
        """For the curve alone, where nothing else is told of this model."""
        self._measure(model, step, (Metric.LOSS,), on_curve=on_curve)

    def measure_served(
        self, model: torch.nn.Module, base: BaseModel
    ) -> tuple[ScoresFile, float | None] | None:
        """The scores of base and tuned model as they are served, and how far that is from what was
        trained; None where they are the same, or there is no room for it."""
        recipe, judge = self.recipe, self.judge
        # Rewards are counted from the quantized model, and an adapter's from the model it is on.
        as_trained = recipe.preference or recipe.model.adapter_uri
        if recipe.quantization.type is QuantizationType.NONE or as_trained:
            return None
        served = load_served(
            model,
            recipe,
            base,
            dtype=METHODS[recipe.method.type].load_dtype(self.precision),
            settings=self.dataset.settings,
            judge=judge,
        )
        if served is None:
            return None
        with served.disable_adapter():
            of_base = self._scores(served, self._score(served, recipe.evaluation.metrics))
        of_tuned = self._scores(served, self._score(served, recipe.evaluation.metrics))
        distance = divergence(model, served, self._examples, recipe, judge)
        if distance is not None:
            log.info("KL of what is served from what was trained: %.4f nats a token", distance)
        return compared(of_base, of_tuned), distance

    def compare(self, model: torch.nn.Module, step: int) -> float:
        """What evaluations along the way are compared by.

        Raises:
            DivergedError: it is not a number.
        """
        metric = self.recipe.evaluation.best_metric
        found = value(metric, self._measure(model, step, [metric])[metric])
        if not math.isfinite(found):
            raise DivergedError(
                f"{metric} on held-out data became {found} at step {step}: lower "
                "training.learningRate or raise training.warmupSteps, and check the data"
            )
        return found

    def _measure(
        self,
        model: torch.nn.Module,
        step: int,
        wanted: Collection[Metric],
        *,
        on_curve: bool = True,
    ) -> dict[Metric, Rows]:
        around = self.around
        self._say(step, None)
        found = self._score(model, wanted)
        loss = value(Metric.LOSS, found[Metric.LOSS])
        self._say(step, loss)
        if around.world.leads and on_curve and math.isfinite(loss):
            point = Point(step=step, attempt=around.attempt, validation_loss=loss)
            around.metrics.append(point, durably=True)
        log.info("held-out loss at step %d: %.4f", step, loss)
        return found

    def _score(self, model: torch.nn.Module, wanted: Collection[Metric]) -> dict[Metric, Rows]:
        return objective_of(self.recipe).measure(model, self._examples, wanted, self.judge)

    def _scores(self, model: torch.nn.Module, found: Mapping[Metric, Rows]) -> ScoresOfModel:
        """With the answers that the report shows."""
        return ScoresOfModel(
            metrics={metric: Scores(rows=rows.tolist()) for metric, rows in found.items()},
            answers=objective_of(self.recipe).answers(model, self._examples, self.judge),
        )

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
