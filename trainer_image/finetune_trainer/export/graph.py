"""Models of any architecture as plain graphs, exported by torch: tokens in, logits out."""

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


class _Plain(torch.nn.Module):
    """Only what the graph is to have: two inputs, and what of the output holds logits."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        answer = self.model(input_ids=input_ids, attention_mask=attention_mask)
        return tuple(answer[name] for name in _outputs(answer))


def export(model: torch.nn.Module, ids: NDArray[np.int64], folder: Path) -> None:
    """Write model.onnx, and config.json, which names the classes of a head.

    Args:
        ids: tokens of a prompt, to trace with.
    """
    given = torch.from_numpy(ids)[None].repeat(2, 1)
    mask = torch.ones_like(given)
    config = cast("PreTrainedModel", model).config
    config.use_cache = False
    with torch.no_grad():
        outputs = _outputs(model(input_ids=given, attention_mask=mask))
    axes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("tokens")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch's, about its own future
        program = torch.onnx.export(
            _Plain(model),
            (given, mask),
            input_names=["input_ids", "attention_mask"],
            output_names=outputs,
            dynamic_shapes=(axes, axes),
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

    def compute(ids: NDArray[np.int64]) -> Logits:
        given = {"input_ids": ids[None], "attention_mask": np.ones_like(ids)[None]}
        found = session.run(None, given)
        logits: Logits = found[0][0]
        return logits

    return compute


def _outputs(answer: Mapping[str, torch.Tensor]) -> list[str]:
    """logits, or start_logits and end_logits of a head that finds spans."""
    return [name for name in answer if name.endswith("logits")]
