"""Decoders for onnxruntime-genai, by its own model builder: a graph with a key-value cache, and
genai_config.json, which says how to run it."""

import json
import sys
import tempfile
from collections.abc import Mapping
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime_genai.models import builder

from finetune_trainer.export.comparison import Compute, Logits

CONFIG = "genai_config.json"
MODEL = "model.onnx"


def build(source: Path, target: Path, precision: str = "fp32", adapter: Path | None = None) -> None:
    """Write model.onnx, its weights, genai_config.json and the tokenizer.

    Args:
        source: a model as transformers loads it.
        target: an empty folder.
        precision: of the weights: fp32, or int8 for linear layers.
        adapter: one of LoRA's, whose matrices stay apart.
    """
    given = [f"adapter_path={adapter}"] if adapter else []
    with tempfile.TemporaryDirectory() as cache, redirect_stdout(sys.stderr):
        place = (None, str(source), str(target), precision, "cpu", cache)
        builder.create_model(*place, **builder.parse_extra_options(*place, given))


def by_onnxruntime(
    folder: Path, adapters: Mapping[str, NDArray[np.float32]] | None = None
) -> Compute:
    """The logits of a prompt, without a cache before it.

    Args:
        adapters: inputs of the graph by name, where it has such.
    """
    session = onnxruntime.InferenceSession(
        folder / MODEL, providers=["CPUExecutionProvider"], sess_options=_quiet()
    )
    decoder = json.loads((folder / CONFIG).read_text(encoding="utf-8"))["model"]["decoder"]
    shape = (1, decoder["num_key_value_heads"], 0, decoder["head_size"])
    names = {each.name for each in session.get_inputs()}
    empty = {
        name: np.zeros(shape, np.float32) for name in names if name.startswith("past_key_values.")
    }

    def compute(ids: NDArray[np.int64]) -> Logits:
        given = {
            "input_ids": ids[None],
            "attention_mask": np.ones_like(ids)[None],
            "position_ids": np.arange(len(ids))[None],
        }
        feed = {name: value for name, value in given.items() if name in names}
        (logits,) = session.run(["logits"], feed | empty | dict(adapters or {}))
        found: Logits = logits[0]
        return found

    return compute


def _quiet() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return options
