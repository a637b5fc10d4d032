"""One run of one process, read downwards: prepare, measure the base, train, measure, write."""

import logging
from dataclasses import dataclass

import torch

from finetune_trainer.data.dataset import Dataset, load_dataset
from finetune_trainer.data.plan import Plan, make_plan
from finetune_trainer.engine.base_model import BaseModel, open_base_model
from finetune_trainer.engine.callbacks import Surroundings
from finetune_trainer.engine.checkpoints import Checkpoint, Checkpoints, CheckpointState
from finetune_trainer.engine.precision import autocast, resolve
from finetune_trainer.engine.progress import ProgressReporter
from finetune_trainer.engine.stop import StopRequest
from finetune_trainer.engine.trainer import PackedTrainer
from finetune_trainer.engine.world import World
from finetune_trainer.evaluate import held_out_losses, mean_loss
from finetune_trainer.export.output import Result, already_complete, write_output
from finetune_trainer.fence import Fence
from finetune_trainer.manifest import Evaluation, Metrics, Progress, Stage, Trained
from finetune_trainer.methods import METHODS
from finetune_trainer.recipe import Precision, Recipe
from finetune_trainer.report.metrics_log import MetricsLog, Point
from finetune_trainer.report.scores import Scores, ScoresFile, ScoresOfBoth, read_scores
from finetune_trainer.workspace import Workspace, locate, write_durably

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Prepared:
    base: BaseModel
    dataset: Dataset
    plan: Plan


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
    loaded = prepared.base.load(dtype, world.device, recipe.quantization.type)
    template = found.state if found else _first_state(recipe, prepared, precision)
    if found is None and prepared.dataset.validation:
        # Before the method changes it: not every method starts as the base model itself.
        loss, scores = _measure(loaded, prepared, around, precision, step=0)
        template = template.model_copy(update={"base_loss": loss})
        if world.leads:
            write_durably(workspace.base_scores, scores.model_dump_json().encode())
    model = method.apply(loaded, recipe)
    template = template.model_copy(update={"attempt": attempt})

    trainer = PackedTrainer(
        model=model,
        recipe=recipe,
        plan=prepared.plan,
        examples=prepared.dataset.train,
        around=around,
        autocast=autocast(precision, world.device),
        template=template,
    )
    with stop.deferred():
        trainer.train(resume_from_checkpoint=str(found.path) if found else None)
    if stop.requested:
        raise stop.preempted()

    method.finish(model, prepared.base.published_dtype)
    evaluation, of_both = None, None
    if prepared.dataset.validation and template.base_loss is not None:
        tuned, scores = _measure(model, prepared, around, precision, step=prepared.plan.total_steps)
        if before := read_scores(workspace.base_scores):
            of_both = ScoresFile(metrics={"Loss": ScoresOfBoth(base=before, tuned=scores)})
        evaluation = Evaluation(base=_metrics(template.base_loss), tuned=_metrics(tuned))
    if not world.leads:
        return None
    result = Result(
        recipe=recipe,
        attempt=attempt,
        dataset=prepared.dataset,
        total_steps=prepared.plan.total_steps,
        loss=trainer.last_loss,
        evaluation=evaluation,
        scores=of_both,
        precision=precision,
    )
    return write_output(model, prepared.base, result, workspace, fence)


def _prepare(recipe: Recipe, workspace: Workspace) -> _Prepared:
    path = locate(workspace.model, recipe.model.storage_uri)
    base = open_base_model(path, recipe.training.max_length)
    dataset = load_dataset(recipe, workspace, base.tokenizer())
    plan = make_plan(dataset.train.examples, recipe.training, recipe.compute.micro_batch)
    return _Prepared(base, dataset, plan)


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
        base_loss=None,
        scheduler={},
    )


def _measure(
    model: torch.nn.Module,
    prepared: _Prepared,
    around: Surroundings,
    precision: Precision,
    step: int,
) -> tuple[float, Scores]:
    """The held-out loss, and that of each example."""
    examples = prepared.dataset.validation
    if examples is None:
        raise TypeError("nothing is held out")
    _say(around, prepared.plan, Stage.EVALUATING, step)
    losses = held_out_losses(
        model,
        examples,
        prepared.plan.max_length,
        around.world,
        autocast(precision, around.world.device),
    )
    loss = mean_loss(losses, examples)
    _say(around, prepared.plan, Stage.EVALUATING, step, validation_loss=loss)
    if around.world.leads:
        point = Point(step=step, attempt=around.attempt, validation_loss=loss)
        around.metrics.append(point, durably=True)
    log.info("held-out loss at step %d: %.4f", step, loss)
    weights = [example.targets for example in examples.examples]
    each = [total / weight for total, weight in zip(losses, weights, strict=True)]
    return loss, Scores(values=each, weights=weights)


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


def _metrics(loss: float) -> Metrics:
    return Metrics(Loss=f"{loss:.4f}")
