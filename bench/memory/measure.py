"""One real run on this machine's processors, watched from a thread, or on its GPU. Prints JSON."""

import json
import multiprocessing
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from bench.memory.configurations import SHAPES, Configuration
from bench.trainer.versions import versions
from finetune_trainer.base_model import BaseModel
from finetune_trainer.engine import run as _everything_a_run_imports  # noqa: F401
from finetune_trainer.engine.loading import load_model
from finetune_trainer.engine.loss import summed_loss
from finetune_trainer.engine.norms import fuse_norms
from finetune_trainer.engine.precision import autocast
from finetune_trainer.engine.rows import Row, make_row
from finetune_trainer.methods import METHODS
from finetune_trainer.recipe import Precision

STEPS = 3


def resident() -> dict[str, int]:
    """Bytes of this process by kind, as the kernel counts them."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return {
        line.split(":")[0]: int(line.split()[1]) << 10
        for line in lines
        if line.startswith(("RssAnon", "RssFile"))
    }


class Watch:
    """The most memory while it is open: RssAnon, and the weights that are used where they lie in
    the model's files; of a GPU what torch has reserved, and all that is taken beside (this process
    is alone on it).

    Args:
        files_before: bytes that were mapped of files before the model was.
        in_files: bytes of weights that can lie in files. What else is mapped of them was read to
            be quantized, and the kernel takes it back as it likes.
    """

    def __init__(self, files_before: int, in_files: int, device: torch.device) -> None:
        self.peak = 0
        self.parts: dict[str, int] = {}
        self._device = device
        self._files_before = files_before
        self._in_files = in_files
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> "Watch":
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        else:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._device.type == "cuda":
            free, total = torch.cuda.mem_get_info()
            reserved = torch.cuda.max_memory_reserved()
            beside = total - free - torch.cuda.memory_reserved()
            self.parts = {
                "allocated": torch.cuda.max_memory_allocated(),
                "reserved": reserved,
                "beside": beside,
            }
            self.peak = reserved + beside
            return
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(0.002):
            now = resident()
            files = min(now["RssFile"] - self._files_before, self._in_files)
            self.peak = max(self.peak, now["RssAnon"] + files)


def measure(configuration: Configuration) -> dict[str, Any]:
    """Load, train a few steps, and say what was used."""
    recipe = configuration.recipe()
    imported = resident()
    device = torch.device("cuda" if configuration.device == "GPU" else "cpu")
    with TemporaryDirectory() as folder:
        if device.type == "cuda":
            write_model(configuration, Path(folder), device)
            torch.cuda.empty_cache()
        else:
            write_model_apart(configuration, Path(folder))
        before = resident()
        precision = Precision(configuration.precision)
        method = METHODS[recipe.method.type]
        base = BaseModel(Path(folder), AutoConfig.from_pretrained(folder))
        loaded = load_model(base, method.load_dtype(precision), device, recipe.quantization.type)
        in_files = sum(each.nbytes for each in loaded.parameters() if each.is_floating_point())
        model: Any = method.apply(loaded, recipe).train()
        fuse_norms(model)
        if configuration.activation_checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        after = resident()
        trained = [each for each in model.parameters() if each.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=1e-4, fused=True)
        row, seconds = random_row(configuration).to(device), []
        with Watch(before["RssFile"], in_files, device) as watch:
            for _ in range(STEPS):
                began = time.perf_counter()
                for _ in range(configuration.passes):
                    with autocast(precision, device):
                        loss = summed_loss(model, row)
                    torch.autograd.backward(loss)
                    # As in transformers.Trainer, whose step ends here: what the graph's own
                    # functions have kept beside autograd (bitsandbytes in eight bits) goes with it.
                    del loss
                optimizer.step()
                optimizer.zero_grad()
                if device.type == "cuda":
                    torch.cuda.synchronize()
                seconds.append(time.perf_counter() - began)
    return {
        "versions": versions(),
        "configuration": asdict(configuration),
        "imported": imported["RssAnon"],
        "before": before,
        "loaded": after,
        "peak": watch.peak,
        "parts": watch.parts,
        "seconds": min(seconds),
        "trained": sum(each.numel() for each in trained),
        "supervised": len(row.targets),
    }


def write_model(configuration: Configuration, folder: Path, device: torch.device) -> None:
    """A model of that shape with random weights."""
    shape = SHAPES[configuration.shape]
    given = {name: value for name, value in shape.items() if name != "model_type"}
    # As models that are tuned on a GPU are published.
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    config = AutoConfig.for_model(shape["model_type"], **given, dtype=dtype)
    factory: Any = AutoModelForCausalLM
    with device:
        made = factory.from_config(config)
    made.save_pretrained(folder)


def write_model_apart(configuration: Configuration, folder: Path) -> None:
    """The same in another process, so that nothing of it is left in this one's heap."""
    writer = multiprocessing.get_context("fork").Process(
        target=write_model, args=(configuration, folder, torch.device("cpu"))
    )
    writer.start()
    writer.join()


def random_row(configuration: Configuration) -> Row:
    """Random tokens, the last of each document learned from."""
    generator = np.random.default_rng(1)
    size = configuration.tokens // configuration.documents
    documents: list[Any] = []
    for _ in range(configuration.documents):
        ids = generator.integers(3, SHAPES[configuration.shape]["vocab_size"], size)
        supervised = np.arange(size) >= size * (1 - configuration.supervised)
        documents.append(SimpleNamespace(ids=ids, supervised=supervised))
    return make_row(documents)


if __name__ == "__main__":
    print(json.dumps(measure(Configuration(**json.loads(sys.argv[1])))))
