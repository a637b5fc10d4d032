"""One run of one process, read downwards: prepare, measure the base, train, measure, write."""

import logging
from dataclasses import replace
from functools import partial
from typing import cast

import torch
from torch.optim import Optimizer

from finetune_trainer import products
from finetune_trainer.base_model import BaseModel
from finetune_trainer.data.plan import Plan
from finetune_trainer.engine import footprint
from finetune_trainer.engine.base_scores import BaseScores
from finetune_trainer.engine.callbacks import Evaluations, Surroundings
from finetune_trainer.engine.checkpoints import Checkpoint, Checkpoints, CheckpointState
from finetune_trainer.engine.held_out import HeldOut, summary
from finetune_trainer.engine.layout import estimated
from finetune_trainer.engine.loading import load_model, published_dtype
from finetune_trainer.engine.norms import fuse_norms
from finetune_trainer.engine.origin import Origin
from finetune_trainer.engine.precision import autocast, resolve
from finetune_trainer.engine.preparation import Preparation, prepare
from finetune_trainer.engine.progress import ProgressReporter
from finetune_trainer.engine.references import References
from finetune_trainer.engine.selection import Selection, is_due, is_over
from finetune_trainer.engine.sharding import Sharding, give_whole, sharding_of
from finetune_trainer.engine.state import load_weights
from finetune_trainer.engine.stop import StopRequest
from finetune_trainer.engine.trainer import PackedTrainer
from finetune_trainer.engine.world import World
from finetune_trainer.evaluate import Judge
from finetune_trainer.export.output import Result, already_complete, write_output
from finetune_trainer.fence import Fence
from finetune_trainer.manifest import Best, Progress, Stage, Trained
from finetune_trainer.methods import METHODS
from finetune_trainer.methods.adapters import load_adapter
from finetune_trainer.objectives import ReferencedObjective, objective_of
from finetune_trainer.recipe import Precision, QuantizationType, Recipe
from finetune_trainer.report.memory import Memory
from finetune_trainer.report.metrics_log import MetricsLog
from finetune_trainer.workspace import Workspace

log = logging.getLogger(__name__)


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

    libraries = footprint.files_in_memory()
    prepared = prepare(recipe, workspace, world)
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
    sharding = sharding_of(recipe, prepared.layout.strategy, precision, prepared.base.config)
    judge = Judge(
        world,
        autocast(precision, world.device),
        plan.max_length,
        prepared.dataset.tokenizer,
        recipe.evaluation,
        in_step=sharding.stage == 3,
    )

    first = _load_first(recipe, prepared, precision, sharding, world.device)
    origin = Origin(prepared.weights, recipe, precision, world.device)
    start = None
    with sharding.computing(first):
        prepared = _referenced(prepared, first, origin, workspace, judge)
        held_out = HeldOut(
            recipe,
            prepared.dataset,
            judge,
            around,
            precision,
            plan.total_steps,
            BaseScores(origin, prepared.dataset, world, workspace.base_scores),
            _served(recipe, prepared.base, sharding),
        )
        if prepared.dataset.validation:
            start = held_out.measure_start(first, on_curve=found is None)
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

    held = None if sharding.stage else footprint.held(model, cast("Optimizer", trainer.optimizer))
    end = trainer.state.global_step
    best = evaluations.selection
    if best and best.step != end:
        load_weights(checkpoints.path(best.step), model)
    METHODS[recipe.method.type].finish(model, published_dtype(prepared.base))
    scores, distance = None, None
    if start:
        scores, distance = held_out.measure_end(model, start, step=end, on_curve=best is None)
    memory = Memory(
        peak=footprint.highest(world.device, libraries),
        held=held,
        estimate=estimated(recipe, prepared.base, prepared.layout, precision, world.device),
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
        memory=memory,
    )
    return write_output(model, prepared.base, result, workspace, fence)


def _load_first(
    recipe: Recipe,
    prepared: Preparation,
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
        applied = method.apply(loaded, recipe)
    fuse_norms(applied)
    products.use_in(applied)
    return applied


def _served(recipe: Recipe, base: BaseModel, sharding: Sharding) -> BaseModel | None:
    """The unquantized model, where it is what is to be measured."""
    if recipe.quantization.type is QuantizationType.NONE:
        return None
    # Rewards are counted from the quantized model, and an adapter's from the model it is on.
    as_trained = recipe.preference or recipe.model.adapter_uri
    # With ZeRO-3 no process is to hold the unquantized model.
    return None if as_trained or sharding.stage == 3 else base


def _referenced(
    prepared: Preparation,
    model: torch.nn.Module,
    origin: Origin,
    workspace: Workspace,
    judge: Judge,
) -> Preparation:
    """What an objective needs to know of the model that training starts from, if it does."""
    objective = objective_of(origin.recipe)
    if not isinstance(objective, ReferencedObjective):
        return prepared
    keeper = References(objective, model, origin, judge, workspace.references)
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


def _first_state(recipe: Recipe, prepared: Preparation, precision: Precision) -> CheckpointState:
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
