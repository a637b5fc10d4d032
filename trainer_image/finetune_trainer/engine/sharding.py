"""DeepSpeed, where a strategy gives each process a share of the model's states only.

DeepSpeed is imported here and nowhere else, and only by runs that shard: it costs each start
seconds. transformers.Trainer drives its engine; its checkpoints are not used (see state.py).
"""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import distributed

from finetune_trainer.recipe import (
    Device,
    Offload,
    Precision,
    QuantizationType,
    Recipe,
    Strategy,
)

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

_BUCKETS = ("reduce_bucket_size",)
_BUCKETS_OF_SHARDED_WEIGHTS = (
    *_BUCKETS,
    "stage3_prefetch_bucket_size",
    "stage3_param_persistence_threshold",
)
"""Sizes that transformers takes from the width of the model: DeepSpeed's own are gigabytes."""
_LIVE_WIDTHS = 24
"""Squares of the width that are gathered ahead, so many as two layers have; by itself DeepSpeed
goes on until 10^9 parameters are whole, which is all of a small model."""


@dataclass(frozen=True)
class Sharding:
    """How this run shards; the stage is 0 where every process holds everything."""

    stage: int
    settings: dict[str, Any]
    """DeepSpeed's, complete but for what transformers fills in for "auto"."""
    loads_sharded: bool
    """Whether no process ever holds all frozen weights. Quantized ones are sharded once they are
    loaded: transformers packs them whole."""

    @contextlib.contextmanager
    def loading(self, dtype: torch.dtype) -> Iterator[None]:
        """The context to load the model in, and to change it by a method.

        Args:
            dtype: of the weights; DeepSpeed allocates the shares before it sees them.
        """
        if not self.loads_sharded:
            yield
            return
        bf16 = {"bf16": {"enabled": dtype is torch.bfloat16}}
        with _known_as_shares(_filled(self.settings) | bf16):
            yield

    @contextlib.contextmanager
    def computing(self, model: torch.nn.Module) -> Iterator[None]:
        """The context to compute in with a model that was loaded in shares and is not trained."""
        if not self.loads_sharded:
            yield
            return
        import deepspeed  # noqa: PLC0415 - see above

        settings = _filled(self.settings)
        engine, *_ = deepspeed.initialize(model=model, config=settings)
        try:
            with _known_as_shares(settings):
                yield
        finally:
            engine.destroy()
            _forget_hooks(model)


def _forget_hooks(model: torch.nn.Module) -> None:
    """What `destroy` leaves: a copy, as PEFT makes of a head, would call the original's."""
    for module in model.modules():
        for name in ("pre_bwd_fn", "post_bwd_fn"):
            vars(module).pop(name, None)


@contextlib.contextmanager
def _known_as_shares(settings: dict[str, Any]) -> Iterator[None]:
    """transformers and PEFT know by the existence of an object that weights are shares."""
    from transformers.integrations.deepspeed import HfDeepSpeedConfig  # noqa: PLC0415 - see above

    made: Any = HfDeepSpeedConfig  # transformers leaves it untyped
    alive = made(settings)
    yield
    del alive


def sharding_of(
    recipe: Recipe, strategy: Strategy, precision: Precision, config: "PreTrainedConfig"
) -> Sharding:
    """What a strategy, and the recipe besides, ask of DeepSpeed for a model of that config."""
    stage = strategy.stage
    if stage == 0:
        return Sharding(0, {}, loads_sharded=False)
    _prepare_deepspeed(recipe.compute.device)
    quantized = recipe.quantization.type is not QuantizationType.NONE
    settings = _settings(recipe, stage, precision)
    if stage == 3:
        width = config.get_text_config().hidden_size
        settings["zero_optimization"]["stage3_max_live_parameters"] = _LIVE_WIDTHS * width**2
    return Sharding(stage, settings, loads_sharded=stage == 3 and not quantized)


@contextlib.contextmanager
def whole(parameters: Sequence[torch.nn.Parameter], *, changes: bool = False) -> Iterator[None]:
    """Each parameter with all its values, on every process, where processes hold shares of them.

    Args:
        changes: give the others what the leading process has changed; all must enter.
    """
    shared = [each for each in parameters if is_share(each)]
    if not shared:
        yield
        return
    from deepspeed.runtime.zero import GatheredParameters  # noqa: PLC0415 - see above

    with GatheredParameters(shared, modifier_rank=0 if changes else None):
        yield


def is_share(parameter: torch.Tensor) -> bool:
    """Whether this process holds only a share of it."""
    return hasattr(parameter, "ds_id")


def give_whole(model: torch.nn.Module, engine: Any, *, leads: bool) -> None:
    """Put every trained tensor, whole and in the host's memory, into the leading process's model.

    All must call it. Frozen weights stay shares: the model can be saved, and computes no more.

    Args:
        engine: what the model was trained by.
    """
    if not any(is_share(parameter) for parameter in model.parameters()):
        return
    modules = dict(model.named_modules())
    for name, parameter in list(model.named_parameters()):
        if parameter.requires_grad and is_share(parameter):
            with whole([parameter]):
                value = parameter.detach().to("cpu", copy=True) if leads else None
            if value is not None:
                module, _, attribute = name.rpartition(".")
                setattr(modules[module], attribute, torch.nn.Parameter(value))
    engine.destroy()  # with its hooks, which take every tensor for a share


def _prepare_deepspeed(device: Device) -> None:
    # Before the first import: it would look for devices by itself.
    os.environ["DS_ACCELERATOR"] = "cuda" if device is Device.GPU else "cpu"
    # It reads this and has no default; a process that is alone has not been given it.
    os.environ.setdefault("LOCAL_RANK", "0")
    import deepspeed.ops  # noqa: PLC0415 - see above

    # Or it compiles one of its operators wherever it finds a compiler, at the start of a run.
    deepspeed.ops.__compatible_ops__ = {}


def _settings(recipe: Recipe, stage: int, precision: Precision) -> dict[str, Any]:
    zero: dict[str, Any] = {"stage": stage}
    zero |= dict.fromkeys(_BUCKETS_OF_SHARDED_WEIGHTS if stage == 3 else _BUCKETS, "auto")
    if stage == 3:
        # Or a model of less than a billion parameters stays whole once it has been gathered.
        zero["stage3_max_reuse_distance"] = 0
    pinned = {"device": "cpu", "pin_memory": recipe.compute.device is Device.GPU}
    if recipe.distribution.offload is not Offload.NONE:
        zero["offload_optimizer"] = pinned
    if recipe.distribution.offload is Offload.OPTIMIZER_AND_PARAMETERS:
        zero["offload_param"] = pinned
    return {
        "zero_optimization": zero,
        # A step is ours: so many passes as it takes, then one update.
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,
        "gradient_clipping": "auto",
        # torch's AdamW updates on the host as well; DeepSpeed's own would have to be compiled.
        "zero_force_ds_cpu_optimizer": False,
        # Its engine ends any other autocast. No module is to exchange gradients in 16 bits.
        "torch_autocast": {
            "enabled": precision is Precision.BF16,
            "dtype": "bfloat16",
            "lower_precision_safe_modules": [],
        },
    }


def _filled(settings: dict[str, Any]) -> dict[str, Any]:
    """Without what only a trainer fills in."""
    zero = settings["zero_optimization"]
    given = {name: value for name, value in zero.items() if value != "auto"}
    return settings | {"zero_optimization": given, "gradient_clipping": 0.0}


def gather(parameter: torch.nn.Parameter) -> Callable[[], torch.Tensor]:
    """Gives the parameter with all its values: a copy in the host's memory where this process
    holds a share, and then all must call it."""

    def get() -> torch.Tensor:
        if not is_share(parameter):
            return parameter.detach()
        with whole([parameter]):
            return parameter.detach().to("cpu", copy=True)

    return get


class SharedMoments:
    """What DeepSpeed's optimizer knows of each parameter, though each process keeps one flat
    share of all of them."""

    def __init__(self, zero: Any) -> None:
        self._zero = zero
        self._state: dict[torch.Tensor, dict[str, torch.Tensor]] = zero.optimizer.state
        sharded_weights = hasattr(zero, "fp32_partitioned_groups_flat")
        self._flat: list[torch.Tensor] = (
            zero.fp32_partitioned_groups_flat
            if sharded_weights
            else zero.single_partition_of_fp32_groups
        )
        self._link()

    @classmethod
    def of_optimizer(cls, optimizer: torch.optim.Optimizer) -> Self | None:
        """None where it is not DeepSpeed's."""
        inner = getattr(optimizer, "optimizer", None)
        if not type(inner).__module__.startswith("deepspeed."):
            return None
        return cls(inner)

    def of(self, parameter: torch.nn.Parameter) -> Mapping[str, Callable[[], torch.Tensor]]:
        from deepspeed.utils import safe_get_full_optimizer_state  # noqa: PLC0415 - see above

        def get(key: str) -> torch.Tensor:
            found: torch.Tensor = safe_get_full_optimizer_state(parameter, key)
            return found.cpu()

        flat = self._flat[0]
        return {
            key: partial(get, key) if value.shape == flat.shape else value.clone
            for key, value in self._state[flat].items()
        }

    def put(self, parameter: torch.nn.Parameter, saved: Mapping[str, torch.Tensor]) -> None:
        """Keep this process's share of it."""
        from deepspeed.utils import safe_set_full_optimizer_state  # noqa: PLC0415 - see above

        for key, value in saved.items():
            if value.shape != getattr(parameter, "ds_shape", parameter.shape):
                for flat in self._flat:  # the number of steps, the same of all parameters
                    self._state[flat][key] = value.to(flat.device, copy=True)
                continue
            self._make_room(key)
            if is_share(parameter):
                self._put_share(parameter, key, value)
            else:
                safe_set_full_optimizer_state(parameter, value, key)

    def _make_room(self, key: str) -> None:
        """torch's optimizers make it in their first step only."""
        if key in self._state[self._flat[0]]:
            return
        for flat in self._flat:
            self._state[flat][key] = torch.zeros_like(flat)
        self._link()

    def _link(self) -> None:
        """Let each parameter know its part of a flat share: DeepSpeed does so after the first step
        of the first group of parameters, when nothing is known of the others."""
        if hasattr(self._zero, "_lazy_init_hp_params_optimizer_state"):
            self._zero._hp_optimizer_states_linked = False
            self._zero._lazy_init_hp_params_optimizer_state()

    def _put_share(self, parameter: torch.nn.Parameter, key: str, value: torch.Tensor) -> None:
        from deepspeed.utils import safe_set_local_optimizer_state  # noqa: PLC0415 - see above

        # DeepSpeed's way to set a whole state fails where the shares are not equal.
        size: int = parameter.ds_tensor.numel()  # type: ignore[attr-defined]
        mine = value.flatten()[distributed.get_rank() * size :][:size]
        padded = torch.nn.functional.pad(mine, (0, size - mine.numel()))
        safe_set_local_optimizer_state(parameter, padded, key)
