"""What it was measured with."""

import os
import platform
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def versions() -> dict[str, str]:
    """Python, commit (with a mark when files differ from it), processor and Kubernetes."""
    return {
        "python": platform.python_version(),
        "commit": _said("git", "describe", "--always", "--abbrev=12", "--dirty"),
        "processor": _processor(),
        "cores": str(len(os.sched_getaffinity(0))),
        "kubernetes": _said(
            sys.executable,
            "-c",
            "import sys; sys.path.insert(0, 'dev/cluster');"
            " import programs; print(programs.KUBERNETES_VERSION)",
        ),
    }


def _said(*command: str) -> str:
    asked = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    return asked.stdout.strip() or "unknown"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()
