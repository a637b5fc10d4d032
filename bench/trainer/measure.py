"""What every contestant reports, measured in the same way."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel
from transformers import TrainerCallback


class Measured(BaseModel):
    """One run of one contestant."""

    contestant: str
    conversations: int
    seconds: float
    """From the first optimizer step to the end of the last."""
    peak_bytes: int
    """Highest from just before training on: anonymous resident memory, without mapped files; of a
    GPU what torch has allocated."""
    tokens: int
    """Tokens of the conversations, without padding."""
    computed: int
    """Tokens that went through the model, padding included."""
    last_loss: float
    supervised: int | None = None
    """Tokens that were learned from; told by this trainer only, the same for all."""
    before: list[list[float]] | None = None
    """Loss times tokens, and tokens, of each conversation that was held out; of the base model."""
    held_out: list[list[float]] | None = None
    """The same of what was trained."""

    @property
    def rate(self) -> float:
        """Conversations per second."""
        return self.conversations / self.seconds

    @property
    def padding(self) -> float:
        """Share of the computed tokens that were padding."""
        return 1 - self.tokens / self.computed


@dataclass
class PeakMemory:
    """The highest RssAnon seen, sampled fifty times a second; of a GPU torch's own count."""

    device: str
    bytes: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def watched(self) -> Iterator[None]:
        if self.device == "GPU":
            torch.cuda.reset_peak_memory_stats()
            yield
            self.bytes = torch.cuda.max_memory_allocated()
            return
        thread = threading.Thread(target=self._watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.02):
            self.bytes = max(self.bytes, resident())


def resident() -> int:
    """This process's anonymous resident memory, bytes (Linux: RssAnon of /proc/self/status)."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise OSError("/proc/self/status has no RssAnon: this bench needs Linux")


def wait_for(device: str) -> None:
    """Until the device has done what it was given."""
    if device == "GPU":
        torch.cuda.synchronize()


class Clock(TrainerCallback):
    """When training began and ended, by transformers.Trainer's own callbacks."""

    def __init__(self, device: str) -> None:
        self._device = device
        self.began = self.ended = 0.0
        self.loss = float("nan")

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self.began = time.perf_counter()

    def on_train_end(self, *_: Any, **__: Any) -> None:
        wait_for(self._device)
        self.ended = time.perf_counter()

    def on_log(self, *_: Any, **more: Any) -> None:
        self.loss = more["logs"].get("loss", self.loss)

    @property
    def seconds(self) -> float:
        return self.ended - self.began
