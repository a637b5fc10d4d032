"""One run of one process, read downwards: prepare, measure the base, train, measure, write."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from finetune_trainer import starting_adapter
from finetune_trainer.base_model import BaseModel, open_base_model
from finetune_trainer.data.dataset import Dataset, load_dataset
from finetune_trainer.data.examples import Example
from finetune_trainer.data.plan import Plan, make_plan
from finetune_trainer.engine.callbacks import Surroundings
from finetune_trainer.engine.checkpoints import Checkpoint, Checkpoints, CheckpointState
from finetune_trainer.engine.loading import load_model, published_dtype
from finetune_trainer.engine.precision import autocast, resolve
from finetune_trainer.engine.progress import ProgressReporter
from finetune_trainer.engine.references import References, Start
from finetune_trainer.engine.served import divergence, load_served
from finetune_trainer.engine.sharding import Sharding, give_whole, sharding_of
from finetune_trainer.engine.stop import StopRequest
from finetune_trainer.engine.trainer import PackedTrainer
from finetune_trainer.engine.world import World
from finetune_trainer.errors import ConfigurationError
from finetune_trainer.evaluate import Judge
from finetune_trainer.export.output import Result, already_complete, write_output
from finetune_trainer.fence import Fence
from finetune_trainer.heads import HEADS
from finetune_trainer.manifest import Evaluation, Leaks, Progress, Stage, Trained
from finetune_trainer.methods import METHODS
from finetune_trainer.methods.adapters import load_adapter
from finetune_trainer.metrics import value
from finetune_trainer.objectives import ReferencedObjective, objective_of
from finetune_trainer.recipe import Metric, Precision, QuantizationType, Recipe
from finetune_trainer.report.answers import side_by_side
from finetune_trainer.report.metrics_log import MetricsLog, Point
from finetune_trainer.report.scores import (
    Scores,
    ScoresFile,
    ScoresOfBoth,
    ScoresOfModel,
    read_scores,
)
from finetune_trainer.starting_adapter import open_adapter
from finetune_trainer.tasks import TASKS
from finetune_trainer.workspace import Workspace, locate, write_durably

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Prepared:
    base: BaseModel
    dataset: Dataset
    plan: Plan
    adapter: Path | None
    """What training goes on from, where it does not start from the base model."""


def run(
    recipe: Recipe,
    workspace: Workspace,
    *,
    attempt: int,
    world: World,
    stop: StopRequest,
    reporter: ProgressReporter,
) -> Trained | None:
    """Train, or go on training. Returns what to report on the leading process, None on others.

    Raises:
        TrainerError: every end that has an exit code of its own.
    """
    fence = Fence(workspace.fence, attempt)
    if world.leads:
        fence.take()
    if done := already_complete(workspace, recipe):
        return done if world.leads else None
    checkpoints = Checkpoints(workspace.checkpoints, recipe.checkpoint.keep, fence)
    around = Surroundings(
        world, stop, reporter, checkpoints, attempt, MetricsLog(workspace.metrics)
    )

    prepared = _prepare(recipe, workspace)
    _say(around, prepared.plan, Stage.LOADING, 0)
    found = _find_checkpoint(checkpoints, recipe, world)
    precision = found.state.precision if found else resolve(recipe.training.precision, world)
    if world.leads:
        around.metrics.take_back(found.state.step if found else -1)
    method = METHODS[recipe.method.type]
    dtype = method.load_dtype(precision)
    sharding = sharding_of(recipe, precision)
    torch.manual_seed(recipe.training.seed)  # a new head is the same one after a restart
    with sharding.loading(dtype):
        loaded = load_model(
            prepared.base,
            dtype,
            world.device,
            recipe.quantization.type,
            prepared.dataset.settings,
            in_shares=sharding.loads_sharded,
        )
    template = found.state if found else _first_state(recipe, prepared, precision)
    # Not every method starts as the base model itself, which is what its result is compared with.
    first = _first(loaded, recipe, prepared)
    with sharding.computing(first):
        prepared = _referenced(prepared, Start(first, recipe, precision), workspace, around)
    if found is None and prepared.dataset.validation:
        with sharding.computing(first):
            kept = _measure(
                first, recipe, prepared, around, precision=precision, sharding=sharding, step=0
            )
        if world.leads:
            write_durably(workspace.base_scores, kept.model_dump_json().encode())
    model = first
    if not prepared.adapter:
        with sharding.loading(dtype):
            model = method.apply(loaded, recipe)
    template = template.model_copy(update={"attempt": attempt})

    trainer = PackedTrainer(
        model=model,
        recipe=recipe,
        plan=prepared.plan,
        examples=prepared.dataset.train,
        around=around,
        autocast=autocast(precision, world.device),
        sharding=sharding,
        template=template,
    )
    with stop.deferred():
        trainer.train(resume_from_checkpoint=str(found.path) if found else None)
    if stop.requested:
        raise stop.preempted()

    method.finish(model, published_dtype(prepared.base))
    scores_of_both, distance = None, None
    if prepared.dataset.validation:
        end = prepared.plan.total_steps
        tuned = _measure(
            model, recipe, prepared, around, precision=precision, sharding=sharding, step=end
        )
        scores_of_both = _compared(read_scores(workspace.base_scores), tuned)
        # With ZeRO-3 no process is to hold the unquantized model.
        if _is_served_otherwise(recipe) and sharding.stage < 3:
            served = _measure_served(model, recipe, prepared, around, precision)
            scores_of_both, distance = served or (scores_of_both, None)
    give_whole(model, trainer.model_wrapped, leads=world.leads)
    if not world.leads:
        return None
    result = Result(
        recipe=recipe,
        attempt=attempt,
        dataset=prepared.dataset,
        total_steps=prepared.plan.total_steps,
        loss=trainer.last_loss,
        evaluation=_evaluation(scores_of_both, prepared.dataset.leaks) if scores_of_both else None,
        scores=scores_of_both,
        divergence=distance,
        precision=precision,
    )
    return write_output(model, prepared.base, result, workspace, fence)


def _prepare(recipe: Recipe, workspace: Workspace) -> _Prepared:
    path = locate(workspace.model, recipe.model.storage_uri)
    base = open_base_model(path, recipe.training.max_length, HEADS[recipe.task])
    dataset = load_dataset(recipe, workspace, base.tokenizer())
    plan = make_plan(
        dataset.train.examples,
        recipe.training,
        recipe.compute.micro_batch,
        TASKS[recipe.task].lay_out,
        dataset.mixture,
    )
    return _Prepared(base, dataset, plan, _adapter(base, recipe, workspace))


def _adapter(base: BaseModel, recipe: Recipe, workspace: Workspace) -> Path | None:
    if not recipe.model.adapter_uri:
        return None
    adapter = open_adapter(locate(workspace.adapter, recipe.model.adapter_uri))
    if found := starting_adapter.problems(adapter, base, recipe):
        raise ConfigurationError("; ".join(found))
    return adapter.path


def _first(loaded: torch.nn.Module, recipe: Recipe, prepared: _Prepared) -> torch.nn.Module:
    """The base model, or the base model with the adapter that training goes on from."""
    if prepared.adapter is None:
        return loaded
    model = METHODS[recipe.method.type].apply(loaded, recipe)
    load_adapter(model, prepared.adapter)
    return model


def _referenced(
    prepared: _Prepared, start: Start, workspace: Workspace, around: Surroundings
) -> _Prepared:
    """What an objective needs to know of the model that training starts from, if it does."""
    objective = objective_of(start.recipe)
    if not isinstance(objective, ReferencedObjective):
        return prepared
    weights = [path for path in (prepared.base.path, prepared.adapter) if path]
    judge = _judge(start.recipe, prepared, around, start.precision)
    keeper = References(objective, start, weights, judge, workspace.references)
    return replace(prepared, dataset=keeper.complete(prepared.dataset))


def _find_checkpoint(checkpoints: Checkpoints, recipe: Recipe, world: World) -> Checkpoint | None:
    """One process reads the files and verifies their digests; the others take its word."""
    found = checkpoints.newest(recipe.training_digest()) if world.leads else None
    (step,) = world.maximum([float(found.state.step) if found else -1.0])
    if step < 0:
        return None
    checkpoint = found or checkpoints.at(int(step))
    log.info("going on from step %d", checkpoint.state.step)
    return checkpoint


def _first_state(recipe: Recipe, prepared: _Prepared, precision: Precision) -> CheckpointState:
    return CheckpointState(
        attempt=1,
        step=0,
        total_steps=prepared.plan.total_steps,
        training_digest=recipe.training_digest(),
        dataset_digest=prepared.dataset.digest,
        precision=precision,
        loss=0.0,
        scheduler={},
    )


def _measure(
    model: torch.nn.Module,
    recipe: Recipe,
    prepared: _Prepared,
    around: Surroundings,
    *,
    precision: Precision,
    sharding: Sharding,
    step: int,
) -> ScoresOfModel:
    """Score it and say the loss, in the log of metrics too."""
    _say(around, prepared.plan, Stage.EVALUATING, step)
    judge = _judge(recipe, prepared, around, precision, in_step=sharding.stage == 3)
    scores = _score(model, recipe, prepared, judge)
    loss = value(Metric.LOSS, np.array(scores.metrics[Metric.LOSS].rows))
    _say(around, prepared.plan, Stage.EVALUATING, step, validation_loss=loss)
    if around.world.leads:
        point = Point(step=step, attempt=around.attempt, validation_loss=loss)
        around.metrics.append(point, durably=True)
    log.info("held-out loss at step %d: %.4f", step, loss)
    return scores


def _is_served_otherwise(recipe: Recipe) -> bool:
    """Whether scores are to be those of the unquantized model. Not where rewards are counted from
    the quantized one, or where the base is a model with an adapter."""
    quantized = recipe.quantization.type is not QuantizationType.NONE
    return quantized and not recipe.preference and not recipe.model.adapter_uri


def _measure_served(
    model: torch.nn.Module,
    recipe: Recipe,
    prepared: _Prepared,
    around: Surroundings,
    precision: Precision,
) -> tuple[ScoresFile | None, float | None] | None:
    """The scores of base and tuned model as they are served, and how far that is from what was
    trained; None where there is no room for it."""
    judge = _judge(recipe, prepared, around, precision)
    served = load_served(
        model,
        recipe,
        prepared.base,
        dtype=METHODS[recipe.method.type].load_dtype(precision),
        settings=prepared.dataset.settings,
        judge=judge,
    )
    if served is None:
        return None
    with served.disable_adapter():
        base = _score(served, recipe, prepared, judge)
    tuned = _score(served, recipe, prepared, judge)
    distance = divergence(model, served, _held_out(prepared), recipe, judge)
    if distance is not None:
        log.info("KL of what is served from what was trained: %.4f nats a token", distance)
    return _compared(base, tuned), distance


def _score(
    model: torch.nn.Module, recipe: Recipe, prepared: _Prepared, judge: Judge
) -> ScoresOfModel:
    """Every metric on the held-out data, and some answers."""
    objective, examples = objective_of(recipe), _held_out(prepared)
    found = objective.measure(model, examples, recipe.evaluation.metrics, judge)
    return ScoresOfModel(
        metrics={metric: Scores(rows=rows.tolist()) for metric, rows in found.items()},
        answers=objective.answers(model, examples, judge),
    )


def _judge(
    recipe: Recipe,
    prepared: _Prepared,
    around: Surroundings,
    precision: Precision,
    *,
    in_step: bool = False,
) -> Judge:
    return Judge(
        around.world,
        autocast(precision, around.world.device),
        prepared.plan.max_length,
        prepared.dataset.tokenizer,
        recipe.evaluation,
        in_step=in_step,
    )


def _held_out(prepared: _Prepared) -> Sequence[Example]:
    if prepared.dataset.validation is None:
        raise TypeError("nothing is held out")
    return prepared.dataset.validation.examples


def _compared(base: ScoresOfModel | None, tuned: ScoresOfModel) -> ScoresFile | None:
    """None where an attempt of an older version has not left what the base model scored."""
    if base is None:
        return None
    both = {
        metric: ScoresOfBoth(base=base.metrics[metric], tuned=scores)
        for metric, scores in tuned.metrics.items()
        if metric in base.metrics
    }
    return ScoresFile(metrics=both, answers=side_by_side(base.answers, tuned.answers))


def _evaluation(scores: ScoresFile, leaks: Leaks) -> Evaluation:
    return Evaluation(
        base={metric: _shown(metric, both.base) for metric, both in scores.metrics.items()},
        tuned={metric: _shown(metric, both.tuned) for metric, both in scores.metrics.items()},
        warning=leaks.message,
    )


def _say(
    around: Surroundings, plan: Plan, stage: Stage, step: int, validation_loss: float | None = None
) -> None:
    around.reporter.report(
        Progress(
            attempt=around.attempt,
            stage=stage,
            step=step,
            total_steps=plan.total_steps,
            validation_loss=validation_loss,
        )
    )


def _shown(metric: Metric, scores: Scores) -> str:
    return f"{value(metric, np.array(scores.rows)):.4f}"
