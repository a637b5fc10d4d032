"""One run of one process, read downwards: prepare, measure the base, train, measure, write."""

import logging
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch

from finetune_trainer import starting_adapter
from finetune_trainer.base_model import BaseModel, open_base_model
from finetune_trainer.data.dataset import Dataset, load_dataset
from finetune_trainer.data.plan import Plan, make_plan
from finetune_trainer.engine.callbacks import Evaluations, Surroundings
from finetune_trainer.engine.checkpoints import Checkpoint, Checkpoints, CheckpointState
from finetune_trainer.engine.held_out import HeldOut, compared, summary
from finetune_trainer.engine.layout import lay_out
from finetune_trainer.engine.loading import load_model, published_dtype
from finetune_trainer.engine.precision import autocast, resolve
from finetune_trainer.engine.progress import ProgressReporter
from finetune_trainer.engine.references import References, Start
from finetune_trainer.engine.selection import Selection, is_due, is_over
from finetune_trainer.engine.sharding import Sharding, give_whole, sharding_of
from finetune_trainer.engine.state import load_weights
from finetune_trainer.engine.stop import StopRequest
from finetune_trainer.engine.trainer import PackedTrainer
from finetune_trainer.engine.world import World
from finetune_trainer.errors import ConfigurationError
from finetune_trainer.evaluate import Judge
from finetune_trainer.export.output import Result, already_complete, write_output
from finetune_trainer.fence import Fence
from finetune_trainer.heads import HEADS
from finetune_trainer.manifest import Best, Progress, Stage, Trained
from finetune_trainer.memory.layout import Layout
from finetune_trainer.methods import METHODS
from finetune_trainer.methods.adapters import load_adapter
from finetune_trainer.objectives import ReferencedObjective, objective_of
from finetune_trainer.recipe import Precision, Recipe
from finetune_trainer.report.metrics_log import MetricsLog
from finetune_trainer.report.scores import ScoresFile, ScoresOfModel
from finetune_trainer.starting_adapter import open_adapter
from finetune_trainer.tasks import TASKS
from finetune_trainer.workspace import Workspace, locate, write_durably

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Prepared:
    base: BaseModel
    dataset: Dataset
    layout: Layout
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

    prepared = _prepare(recipe, workspace, world)
    plan = prepared.plan
    around.reporter.report(
        Progress(attempt=attempt, stage=Stage.LOADING, step=0, total_steps=plan.total_steps)
    )
    found = _find_checkpoint(checkpoints, recipe, world)
    precision = found.state.precision if found else resolve(recipe.training.precision, world)
    if world.leads:
        around.metrics.take_back(found.state.step if found else -1)
    template = found.state if found else _first_state(recipe, prepared, precision)
    template = template.model_copy(update={"attempt": attempt})
    sharding = sharding_of(recipe, prepared.layout.strategy, precision)
    judge = Judge(
        world,
        autocast(precision, world.device),
        plan.max_length,
        prepared.dataset.tokenizer,
        recipe.evaluation,
        in_step=sharding.stage == 3,
    )

    first = _load_first(recipe, prepared, precision, sharding, world.device)
    with sharding.computing(first):
        prepared = _referenced(prepared, Start(first, recipe, precision), workspace, judge)
        held_out = HeldOut(recipe, prepared.dataset, judge, around, precision, plan.total_steps)
        if found is None and prepared.dataset.validation:
            kept = held_out.measure(first, step=0)
            if world.leads:
                write_durably(workspace.base_scores, kept.model_dump_json().encode())
    model = first if prepared.adapter else _apply(first, recipe, precision, sharding)

    evaluations = Evaluations(recipe, stop, template.selection, partial(held_out.compare, model))
    if found:
        with sharding.computing(model):
            plan = _evaluate_again(found, evaluations, model, recipe, plan)
    trainer = PackedTrainer(
        model=model,
        recipe=recipe,
        passes=prepared.layout.passes,
        plan=plan,
        examples=prepared.dataset.train,
        around=around,
        autocast=autocast(precision, world.device),
        sharding=sharding,
        template=template,
        evaluations=evaluations,
    )
    with stop.deferred():
        trainer.train(resume_from_checkpoint=str(found.path) if found else None)
    if stop.requested:
        raise stop.preempted()

    end = trainer.state.global_step
    best = evaluations.selection
    if best and best.step != end:
        load_weights(checkpoints.path(best.step), model)
    METHODS[recipe.method.type].finish(model, published_dtype(prepared.base))
    scores, distance = None, None
    if prepared.dataset.validation:
        # With ZeRO-3 no process is to hold the unquantized model.
        of_served = prepared.base if sharding.stage < 3 else None
        scores, distance = _measure_both(
            held_out, model, workspace, step=end, on_curve=best is None, of_served=of_served
        )
    give_whole(model, trainer.model_wrapped, leads=world.leads)
    if not world.leads:
        return None
    result = Result(
        recipe=recipe,
        attempt=attempt,
        dataset=prepared.dataset,
        step=end,
        total_steps=prepared.plan.total_steps,
        best=_best(best, recipe),
        loss=trainer.last_loss,
        evaluation=summary(scores, prepared.dataset.leaks) if scores else None,
        scores=scores,
        divergence=distance,
        precision=precision,
    )
    return write_output(model, prepared.base, result, workspace, fence)


def _prepare(recipe: Recipe, workspace: Workspace, world: World) -> _Prepared:
    path = locate(workspace.model, recipe.model.storage_uri)
    base = open_base_model(path, recipe.training.max_length, HEADS[recipe.task])
    if not world.leads:
        world.maximum([0.0])  # until the data is there
    dataset = load_dataset(recipe, workspace, base.tokenizer())
    if world.leads:
        world.maximum([0.0])
    layout = lay_out(recipe, base, world)
    plan = make_plan(
        dataset.train.lengths,
        dataset.train.weights,
        recipe.training,
        micro_batch=layout.micro_batch,
        lay_out=TASKS[recipe.task].lay_out,
        mixture=dataset.mixture,
    )
    return _Prepared(base, dataset, layout, plan, _adapter(base, recipe, workspace))


def _adapter(base: BaseModel, recipe: Recipe, workspace: Workspace) -> Path | None:
    if not recipe.model.adapter_uri:
        return None
    adapter = open_adapter(locate(workspace.adapter, recipe.model.adapter_uri))
    if found := starting_adapter.problems(adapter, base, recipe):
        raise ConfigurationError("; ".join(found))
    return adapter.path


def _load_first(
    recipe: Recipe,
    prepared: _Prepared,
    precision: Precision,
    sharding: Sharding,
    device: torch.device,
) -> torch.nn.Module:
    """The model that the result is compared with: the base model, because not every method starts
    as it; or, where training goes on from an adapter, the base model with that."""
    dtype = METHODS[recipe.method.type].load_dtype(precision)
    torch.manual_seed(recipe.training.seed)  # a new head is the same one after a restart
    with sharding.loading(dtype):
        loaded = load_model(
            prepared.base,
            dtype,
            device,
            recipe.quantization.type,
            prepared.dataset.settings,
            in_shares=sharding.loads_sharded,
        )
    if prepared.adapter is None:
        return loaded
    adapted = _apply(loaded, recipe, precision, sharding)
    load_adapter(adapted, prepared.adapter)
    return adapted


def _apply(
    loaded: torch.nn.Module, recipe: Recipe, precision: Precision, sharding: Sharding
) -> torch.nn.Module:
    method = METHODS[recipe.method.type]
    with sharding.loading(method.load_dtype(precision)):
        return method.apply(loaded, recipe)


def _measure_both(
    held_out: HeldOut,
    model: torch.nn.Module,
    workspace: Workspace,
    *,
    step: int,
    on_curve: bool,
    of_served: BaseModel | None,
) -> tuple[ScoresFile, float | None]:
    """The scores of base and tuned model, and how far what is served is from what was trained."""
    served = held_out.measure_served(model, of_served) if of_served else None
    if served:
        held_out.measure_loss(model, step, on_curve=on_curve)
        return served
    tuned = held_out.measure(model, step=step, on_curve=on_curve)
    base = ScoresOfModel.model_validate_json(workspace.base_scores.read_bytes())
    return compared(base, tuned), None


def _referenced(prepared: _Prepared, start: Start, workspace: Workspace, judge: Judge) -> _Prepared:
    """What an objective needs to know of the model that training starts from, if it does."""
    objective = objective_of(start.recipe)
    if not isinstance(objective, ReferencedObjective):
        return prepared
    weights = [path for path in (prepared.base.path, prepared.adapter) if path]
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


def _evaluate_again(
    found: Checkpoint,
    evaluations: Evaluations,
    model: torch.nn.Module,
    recipe: Recipe,
    plan: Plan,
) -> Plan:
    """A checkpoint is of before its evaluation, with which training may end."""
    step = found.state.step
    if is_due(recipe, step, plan.total_steps):
        load_weights(found.path, model)
        evaluations.evaluate(step)
    return plan.until(step) if is_over(evaluations.selection, recipe) else plan


def _best(selection: Selection | None, recipe: Recipe) -> Best | None:
    if selection is None:
        return None
    metric = recipe.evaluation.best_metric
    return Best(step=selection.step, metric=metric, value=f"{selection.value:.4f}")


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
