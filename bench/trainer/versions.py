"""What a result was measured with."""

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import torch


def versions() -> dict[str, str]:
    """Libraries, commit (with a mark when files differ from it) and processor."""
    libraries = {name: version(name) for name in ("torch", "transformers", "peft", "trl")}
    return libraries | {
        "python": platform.python_version(),
        "commit": _commit(),
        "processor": processor(),
        "cores": str(len(os.sched_getaffinity(0))),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
    }


def _commit() -> str:
    command = ["git", "describe", "--always", "--abbrev=12", "--dirty"]
    root = Path(__file__).parent
    asked = subprocess.run(command, cwd=root, check=False, capture_output=True, text=True)
    return asked.stdout.strip() or "unknown"


def processor() -> str:
    """The first core's name, as the kernel has it."""
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()
