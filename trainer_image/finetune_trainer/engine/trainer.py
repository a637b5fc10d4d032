"""transformers.Trainer, taught our steps, checkpoints and manners."""

import contextlib
import math
import os
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader
from transformers import PrinterCallback, Trainer, TrainingArguments
from transformers.trainer import TRAINER_STATE_NAME

from finetune_trainer.data.examples import Examples
from finetune_trainer.data.plan import Plan
from finetune_trainer.engine import optimizers
from finetune_trainer.engine import state as tensors
from finetune_trainer.engine.callbacks import Agree, Evaluations, Report, Surroundings
from finetune_trainer.engine.checkpoints import CheckpointState
from finetune_trainer.engine.failures import not_finite
from finetune_trainer.engine.sharding import Sharding
from finetune_trainer.engine.world import World, keep_frozen_weights
from finetune_trainer.methods import METHODS
from finetune_trainer.methods.rates import set_rates
from finetune_trainer.objectives import Row, StepObjective, objective_of
from finetune_trainer.recipe import Passes, Recipe, Schedule

_SCHEDULES = {
    Schedule.COSINE: "cosine",
    Schedule.LINEAR: "linear",
    Schedule.CONSTANT: "constant_with_warmup",
}
"""transformers' words."""

GPU_LOGGING_STEPS = 10
"""Reading the loss waits for the GPU, so it is read once in so many steps; on a CPU at each."""


_TRACKERS = {"tensorboard": "TENSORBOARD_LOGGING_DIR", "mlflow": "MLFLOW_TRACKING_URI"}
"""transformers' own integrations, and the variable that tells each where to write."""


class PackedTrainer(Trainer):
    """Trains by a plan.

    One item of its data is one whole optimizer step, so that the loss is the sum over all
    examples of the step divided by the sum of their weights (supervised tokens, in most tasks),
    however they are spread over rows and processes.
    """

    def __init__(
        self,
        *,
        model: torch.nn.Module,
        recipe: Recipe,
        passes: Passes,
        plan: Plan,
        examples: Examples,
        around: Surroundings,
        autocast: torch.autocast,
        sharding: Sharding,
        template: CheckpointState,
        evaluations: Evaluations,
    ) -> None:
        """`template` is the state of a checkpoint but for what each step changes."""
        self._trained_model = model
        self._recipe = recipe
        self._objective = objective_of(recipe)
        self._plan = plan
        self._examples = examples.examples
        self._around = around
        self._autocast = autocast
        self._template = template
        self._evaluations = evaluations
        self.last_loss = template.loss
        keep_frozen_weights(model)
        super().__init__(
            model=model,
            args=_arguments(recipe, passes, plan, around, sharding),
            callbacks=[Agree(recipe.checkpoint, around), evaluations, Report(plan, around)],
        )
        self.remove_callback(PrinterCallback)  # Report says it

    # What a step is

    def create_optimizer(self, model: torch.nn.Module | None = None) -> torch.optim.Optimizer:
        if self.optimizer is not None:
            return self.optimizer
        optimizers.forget_earlier_ones(self._recipe.training.optimizer)
        optimizer = super().create_optimizer(model)
        method = METHODS[self._recipe.method.type]
        set_rates(optimizer, self._trained_model, method.rates(self._trained_model, self._recipe))
        return optimizer

    def get_decay_parameter_names(self, model: torch.nn.Module) -> list[str]:
        """Matrices. The vectors of adapters (magnitudes, factors) do not belong near 0 either."""
        # A share has the shape of what it is a share of beside it.
        shapes = {
            name: getattr(value, "ds_shape", value.shape)
            for name, value in model.named_parameters()
        }
        matrices = {name for name, shape in shapes.items() if len(shape) > 1}
        return [name for name in super().get_decay_parameter_names(model) if name in matrices]

    def get_train_dataloader(self) -> DataLoader[dict[str, int]]:
        steps = [{"step": index} for index in range(self._plan.total_steps)]
        return DataLoader(cast("Any", steps), shuffle=False, collate_fn=lambda items: items[0])

    def training_step(
        self, model: torch.nn.Module, inputs: dict[str, Any], num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """Gradients of one optimizer step. Returns this process's share of its loss."""
        world = self._around.world
        step = self._plan.step(inputs["step"], world.rank, world.size)
        tensors.seed_step(self._recipe.training.seed, inputs["step"], world.rank)
        model.train()
        # Gradients are averaged over the processes; we want their sum.
        factor = world.size / step.weight
        loss = torch.zeros((), device=world.device)
        rows: Sequence[Row] = [
            self._objective.make_row([self._examples[index] for index in members]).to(world.device)
            for members in step.rows
        ]
        if isinstance(self._objective, StepObjective):
            with self._autocast:
                rows = self._objective.before_step(model, rows, world)
        for position, row in enumerate(rows):
            with self._exchanging_gradients(model, last=position == len(rows) - 1):
                with self._autocast:
                    part = self._objective.summed_loss(model, row) * factor
                self.accelerator.backward(part)
            loss += part.detach()
            # The graph ends before the next is made: what bitsandbytes' product in eight bits keeps
            # beside autograd is let go with it only, a copy of every input.
            del part
        return loss

    @contextlib.contextmanager
    def _exchanging_gradients(self, model: torch.nn.Module, *, last: bool) -> Iterator[None]:
        """A pass of a step. Gradients are exchanged in the last one only, but for ZeRO-2 and 3,
        which keep no more than a share of them from one pass to the next."""
        # DeepSpeed clips and updates in the backward pass for which this is so.
        self.accelerator.sync_gradients = last
        if isinstance(model, DistributedDataParallel) and not last:
            with model.no_sync():
                yield
        else:
            yield

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        return 0

    # What is said about it

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Raises `not_finite` when the loss or the gradient is no longer a number."""
        if "loss" not in logs:
            return
        self.last_loss = logs["loss"]
        for what in ("loss", "grad_norm"):
            if not math.isfinite(logs.get(what, 0.0)):
                raise not_finite(
                    self._trained_model,
                    f"{what} became {logs[what]} at step {self.state.global_step}",
                )
        self.control = self.callback_handler.on_log(self.args, self.state, self.control, logs)

    # How it is kept

    def _save_checkpoint(self, model: torch.nn.Module, trial: object) -> None:
        state = self._template.model_copy(
            update={
                "step": self.state.global_step,
                "loss": self.last_loss,
                "scheduler": self._running[1].state_dict(),
                "selection": self._evaluations.selection,
            }
        )
        states = tensors.states(self._trained_model, self._running[0])
        if self._around.world.leads:
            self._around.checkpoints.write(state, partial(self._fill, states))
        else:
            tensors.lend(states)
        # Nobody goes on, or away, before the checkpoint is safe.
        self._around.world.maximum([0.0])
        self._around.stop.checkpoint_saved(self.state.global_step)

    def _fill(self, states: tensors.States, directory: Path) -> None:
        tensors.save(directory, states)
        self.state.save_to_json(str(directory / TRAINER_STATE_NAME))

    def _prepare_for_training(
        self, max_steps: int, train_dataloader: Any, resume_from_checkpoint: str | None
    ) -> Any:
        """Weights go into the model before it is wrapped or sharded, the optimizer's state after:
        the same files for every strategy, where DeepSpeed would look for its own."""
        prepare: Any = super()._prepare_for_training  # transformers leaves it untyped
        if resume_from_checkpoint is None:
            return prepare(max_steps, train_dataloader, None)
        checkpoint = Path(resume_from_checkpoint)
        tensors.load_weights(checkpoint, self._trained_model)
        prepared = prepare(max_steps, train_dataloader, None)
        optimizer, scheduler = self._running
        tensors.load_optimizer(checkpoint, self._trained_model, optimizer)
        scheduler.load_state_dict(self._template.scheduler)
        for group, rate in zip(optimizer.param_groups, scheduler.get_last_lr(), strict=True):
            group["lr"] = rate
        return prepared

    def _load_from_checkpoint(
        self, resume_from_checkpoint: str, model: torch.nn.Module | None = None
    ) -> None:
        """Nothing to load here: _prepare_for_training."""

    @property
    def _running(self) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
        if self.optimizer is None or self.lr_scheduler is None:
            raise RuntimeError("training has not begun")
        return self.optimizer, self.lr_scheduler

    def _load_rng_state(self, checkpoint: str | None) -> None:
        """Nothing to load: seed_step."""


def _arguments(
    recipe: Recipe, passes: Passes, plan: Plan, around: Surroundings, sharding: Sharding
) -> TrainingArguments:
    training = recipe.training
    world = around.world
    on_gpu = world.device.type == "cuda"
    return TrainingArguments(
        output_dir=str(around.checkpoints.root),
        max_steps=plan.total_steps,
        learning_rate=training.learning_rate,
        lr_scheduler_type=_SCHEDULES[training.schedule],
        warmup_steps=training.warmup_steps,
        max_grad_norm=training.max_gradient_norm,
        weight_decay=training.weight_decay,
        optim=optimizers.NAMES[training.optimizer],
        seed=training.seed,
        use_cpu=not on_gpu,
        deepspeed=sharding.settings or None,
        activation_checkpointing=passes.activation_checkpointing,
        activation_checkpointing_kwargs={"use_reentrant": False},
        logging_steps=GPU_LOGGING_STEPS if on_gpu else 1,
        logging_first_step=True,
        # A loss that is not a number is an end of its own here.
        logging_nan_inf_filter=False,
        # One item of our data is a whole step; saving, evaluating and reporting are ours.
        per_device_train_batch_size=1,
        gradient_accumulation_steps=1,
        dataloader_pin_memory=False,
        remove_unused_columns=False,
        average_tokens_across_devices=False,
        save_strategy="no",
        eval_strategy="no",
        report_to=_trackers(world),
        disable_tqdm=True,
        ddp_find_unused_parameters=False,
        ddp_broadcast_buffers=False,
    )


def _trackers(world: World) -> list[str]:
    """Those that the user has set up, in compute.podTemplate.env or in the shell."""
    if not world.leads:
        return []
    return [name for name, variable in _TRACKERS.items() if os.environ.get(variable)]
