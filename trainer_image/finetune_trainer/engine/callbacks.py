"""What happens between steps: agreeing on when to save and stop, and telling how far it is."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from finetune_trainer.data.plan import Plan
from finetune_trainer.engine.checkpoints import Checkpoints
from finetune_trainer.engine.progress import ProgressReporter
from finetune_trainer.engine.selection import Selection, is_due, is_over, select
from finetune_trainer.engine.stop import StopRequest
from finetune_trainer.engine.world import World
from finetune_trainer.manifest import Progress, Stage
from finetune_trainer.recipe import Checkpoint, Recipe
from finetune_trainer.report.metrics_log import MetricsLog, Point

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Surroundings:
    """What a run meets outside of its model."""

    world: World
    stop: StopRequest
    reporter: ProgressReporter
    checkpoints: Checkpoints
    attempt: int
    metrics: MetricsLog


class Agree(TrainerCallback):
    """After each step all processes agree on whether to save and whether to stop.

    Without agreement one process would leave while the others wait for its gradients.
    """

    def __init__(self, checkpoint: Checkpoint, around: Surroundings) -> None:
        self._checkpoint = checkpoint
        self._around = around
        self._saved_at = time.monotonic()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        now = time.monotonic()
        overdue = now - self._saved_at >= self._checkpoint.interval_seconds
        # The clock of one process decides for all.
        mine = [self._around.stop.requested, overdue and self._around.world.leads]
        stopping, saving = self._around.world.maximum(mine)
        if stopping:
            self._around.stop.requested = self._around.stop.agreed = True
            control.should_training_stop = True
        if (
            stopping
            or saving
            or state.global_step % self._checkpoint.interval_steps == 0
            or state.global_step == state.max_steps
        ):
            # Logged first, so that diverged weights are never saved.
            control.should_log = True
            control.should_save = True
            self._saved_at = now


class Evaluations(TrainerCallback):
    """Held-out data along the way, and what follows from it: see selection.py."""

    def __init__(
        self,
        recipe: Recipe,
        stop: StopRequest,
        selection: Selection | None,
        measure: Callable[[int], float],
    ) -> None:
        """
        Args:
            selection: of the checkpoint that training goes on from.
            measure: gives evaluation.bestMetric after a step, the same on every process.
        """
        self._recipe = recipe
        self._stop = stop
        self._measure = measure
        self.selection = selection

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        if is_due(self._recipe, state.global_step, state.max_steps):
            control.should_log = True
            control.should_save = True

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        # Asked to stop, all processes leave at once: the next attempt evaluates.
        due = is_due(self._recipe, state.global_step, state.max_steps)
        if self._stop.agreed or not due:
            return
        self.evaluate(state.global_step)
        if is_over(self.selection, self._recipe):
            control.should_training_stop = True

    def evaluate(self, step: int) -> None:
        value = self._measure(step)
        if self._recipe.evaluation.keep_best:
            self.selection = select(self.selection, self._recipe, step, value)


class Report(TrainerCallback):
    """Progress to the operator and one line to the log, whenever the loss is read."""

    def __init__(self, plan: Plan, around: Surroundings) -> None:
        self._plan = plan
        self._around = around
        self._began = 0.0
        self._first = 0
        self._last = (0.0, 0)
        """When the loss was read last, and after which step."""

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self._began, self._first = time.monotonic(), state.global_step
        self._last = (self._began, self._first)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        if not self._around.world.leads:
            return
        logs: dict[str, float] = kwargs["logs"]
        now = time.monotonic()
        seconds = now - self._began
        done, left = state.global_step - self._first, state.max_steps - state.global_step
        tokens = self._plan.tokens(self._first, state.global_step)
        progress = Progress(
            attempt=self._around.attempt,
            stage=Stage.TRAINING,
            step=state.global_step,
            total_steps=state.max_steps,
            loss=logs["loss"],
            learning_rate=logs["learning_rate"],
            tokens_per_second=tokens / seconds,
            remaining_seconds=round(seconds / done * left),
        )
        self._around.reporter.report(progress)
        before, last = self._last
        self._last = (now, state.global_step)
        self._around.metrics.append(
            Point(
                step=state.global_step,
                attempt=self._around.attempt,
                loss=logs["loss"],
                learning_rate=logs["learning_rate"],
                tokens_per_second=self._plan.tokens(last, state.global_step) / (now - before),
            ),
            durably=control.should_save,
        )
        log.info(
            "step %d/%d  loss %.6f  learning rate %.3g  %.0f tokens/s  %d s left",
            progress.step,
            progress.total_steps,
            progress.loss,
            progress.learning_rate,
            progress.tokens_per_second,
            progress.remaining_seconds,
        )
