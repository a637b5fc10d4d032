"""What a result was measured with."""

import os
import platform
from importlib.metadata import version

import torch

from bench.measured_with import commit, processor


def versions() -> dict[str, str]:
    """Libraries, commit (with a mark when files differ from it) and processor."""
    libraries = {name: version(name) for name in ("torch", "transformers", "peft", "trl")}
    return libraries | {
        "python": platform.python_version(),
        "commit": commit(),
        "processor": processor(),
        "cores": str(len(os.sched_getaffinity(0))),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
    }
