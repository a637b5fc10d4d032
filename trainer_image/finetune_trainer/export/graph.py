"""Models of any architecture as plain graphs, exported by torch: tokens in, logits out."""

import inspect
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from finetune_trainer.export.comparison import Compute, Logits

MODEL = "model.onnx"
_OPSET = 20
_SEGMENTS = "token_type_ids"
"""Of models that tell two texts apart, as BERT does a question and a text."""


class _Plain(torch.nn.Module):
    """Only what the graph is to have: its inputs, and what of the output holds logits."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        token_type_ids: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, ...]:
        segments = {} if token_type_ids is None else {_SEGMENTS: token_type_ids}
        answer = self.model(input_ids=input_ids, attention_mask=attention_mask, **segments)
        return tuple(answer[name] for name in _outputs(answer))


def export(model: torch.nn.Module, ids: NDArray[np.int64], folder: Path) -> None:
    """Write model.onnx, and config.json, which names the classes of a head.

    Args:
        ids: tokens of a prompt, to trace with.
    """
    given = torch.from_numpy(ids)[None].repeat(2, 1)
    inputs = {"input_ids": given, "attention_mask": torch.ones_like(given)}
    if _SEGMENTS in inspect.signature(model.forward).parameters:
        inputs[_SEGMENTS] = torch.zeros_like(given)
    config = cast("PreTrainedModel", model).config
    config.use_cache = False
    with torch.no_grad():
        outputs = _outputs(model(**inputs))
    axes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("tokens")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch's, about its own future
        program = torch.onnx.export(
            _Plain(model),
            tuple(inputs.values()),
            input_names=list(inputs),
            output_names=outputs,
            dynamic_shapes=(axes,) * len(inputs),
            opset_version=_OPSET,
            dynamo=True,
            verbose=False,
        )
    if program is None:
        raise RuntimeError("torch exported nothing")
    program.save(str(folder / MODEL), external_data=True)
    config.save_pretrained(folder)


def by_onnxruntime(folder: Path) -> Compute:
    """The logits of a prompt."""
    session = onnxruntime.InferenceSession(folder / MODEL, providers=["CPUExecutionProvider"])

    names = {each.name for each in session.get_inputs()}

    def compute(ids: NDArray[np.int64]) -> Logits:
        given = {
            "input_ids": ids[None],
            "attention_mask": np.ones_like(ids)[None],
            _SEGMENTS: np.zeros_like(ids)[None],
        }
        found = session.run(None, {name: each for name, each in given.items() if name in names})
        logits: Logits = found[0][0]
        return logits

    return compute


def _outputs(answer: Mapping[str, torch.Tensor]) -> list[str]:
    """logits, or start_logits and end_logits of a head that finds spans."""
    return [name for name in answer if name.endswith("logits")]
