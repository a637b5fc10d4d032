"""One run on fake tensors: nothing is computed, and torch's own tracker counts. Prints JSON.

Of a processor: torch's autograd asks the driver for a GPU's context, fake tensors or not.
"""

import json
import sys
import time
from contextlib import AbstractContextManager
from dataclasses import asdict
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed._tools.mem_tracker import MemTracker
from torch.utils.weak import WeakIdKeyDictionary
from transformers import AutoConfig, AutoModelForCausalLM

from bench.memory.configurations import SHAPES, Configuration
from bench.memory.measure import random_row
from bench.trainer.versions import versions
from finetune_trainer.engine.attention import register_attention
from finetune_trainer.engine.loss import summed_loss
from finetune_trainer.engine.precision import autocast
from finetune_trainer.engine.rows import Row
from finetune_trainer.methods import METHODS
from finetune_trainer.recipe import Precision, Recipe

STEPS = 2
"""The optimizer's states come with the first."""
CPU = torch.device("cpu")


@torch.library.register_fake("mkldnn::_linear_pointwise.binary")  # type: ignore[untyped-decorator]
def _sum_and_product(
    x: torch.Tensor,
    other: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    attr: str,
) -> torch.Tensor:
    """torch knows the shape of its product alone, not of that with something added."""
    return torch.empty_like(other)


class _NoHook:
    def remove(self) -> None: ...


class _Tracker(MemTracker):  # type: ignore[no-untyped-call]  # its base is not typed
    """Of models that are not trained as a whole, and of several passes."""

    def _track_module_params_and_buffers(
        self, module: torch.nn.Module, install_grad_hooks: bool = True
    ) -> tuple[int, int]:
        # A frozen parameter has no gradient to wait for, and bears no hook.
        for parameter in module.parameters():
            if not parameter.requires_grad:
                self._param_to_grad_hook_handles[parameter] = (_NoHook(), _NoHook())
        return super()._track_module_params_and_buffers(module, install_grad_hooks)

    def _update_peak_stats(self, peak_state: Any) -> None:
        # Not of each module, which takes minutes: every operation would go through all of them.
        of_modules, self.memory_tracking = self.memory_tracking, WeakIdKeyDictionary()
        super()._update_peak_stats(peak_state)
        self.memory_tracking = of_modules


def tracked(configuration: Configuration) -> dict[str, Any]:
    """Peak bytes of two steps by kind."""
    began = time.perf_counter()
    recipe = configuration.recipe()
    precision = Precision(configuration.precision)
    method = METHODS[recipe.method.type]
    row = random_row(configuration)
    known = _known(recipe, row)
    # On meta first: PEFT moves what it adds to where the base is, and fake tensors cannot be moved.
    model: Any = method.apply(_base(configuration, method.load_dtype(precision)), recipe).train()
    if configuration.activation_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    with FakeTensorMode(allow_non_fake_inputs=True):
        _materialize(model)
        trained = [each for each in model.parameters() if each.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=1e-4, fused=True)
        tracker = _Tracker()
        tracker.track_external(model, optimizer)
        # Also in backward passes, which compute activations again.
        with tracker, known:
            for _ in range(STEPS):
                for _ in range(configuration.passes):
                    tracker.reset_mod_stats()
                    with autocast(precision, CPU):
                        loss = summed_loss(model, row)
                    torch.autograd.backward(loss)
                optimizer.step()
                optimizer.zero_grad()
    peak = tracker.get_tracker_snapshot("peak")[CPU]
    parts = {getattr(kind, "value", kind): size for kind, size in peak.items()}
    return {
        "versions": versions(),
        "configuration": asdict(configuration),
        "peak": parts.pop("Total"),
        "parts": parts,
        "seconds": time.perf_counter() - began,
        "supervised": len(row.targets),
    }


def _known(recipe: Recipe, row: Row) -> AbstractContextManager[object]:
    """Tell the documents' sizes, with a prompt before each or without: a fake tensor has no values
    to read."""
    given = torch.diff(row.boundaries).tolist()
    prompt = recipe.method.prompt_tuning
    prompted = [size + (prompt.virtual_tokens if prompt else 0) for size in given]

    def diff(boundaries: torch.Tensor) -> SimpleNamespace:
        sizes = given if boundaries is row.boundaries else prompted
        return SimpleNamespace(tolist=lambda: sizes)

    return mock.patch("torch.diff", diff)


def _materialize(model: torch.nn.Module) -> None:
    """Give each parameter and buffer of a model on meta a fake tensor on the CPU."""
    made: dict[torch.nn.Parameter, torch.nn.Parameter] = {}
    for module in model.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            if parameter not in made:
                fake = torch.empty_like(parameter, device=CPU)
                made[parameter] = torch.nn.Parameter(fake, parameter.requires_grad)
            module.register_parameter(name, made[parameter])
        for name, buffer in module.named_buffers(recurse=False):
            module.register_buffer(name, torch.empty_like(buffer, device=CPU))


def _base(configuration: Configuration, dtype: torch.dtype) -> torch.nn.Module:
    shape = SHAPES[configuration.shape]
    given = {name: value for name, value in shape.items() if name != "model_type"}
    config = AutoConfig.for_model(shape["model_type"], **given)
    factory: Any = AutoModelForCausalLM
    with torch.device("meta"):
        model = factory.from_config(config, dtype=dtype, attn_implementation=register_attention())
    model.requires_grad_(False)
    made: torch.nn.Module = model
    return made


if __name__ == "__main__":
    print(json.dumps(tracked(Configuration(**json.loads(sys.argv[1])))))
