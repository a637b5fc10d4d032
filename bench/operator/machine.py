"""What it was measured with."""

import os
import platform
import subprocess
import sys

from bench.measured_with import ROOT, commit, processor


def versions() -> dict[str, str]:
    """Python, commit (with a mark when files differ from it), processor and Kubernetes."""
    return {
        "python": platform.python_version(),
        "commit": commit(),
        "processor": processor(),
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
