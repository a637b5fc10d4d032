"""Which code, and on which machine."""

import platform
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]
_MEASURED = ("bench", "examples", "operator", "trainer_image")


def commit() -> str:
    """Ends in `-dirty` where what is measured differs from it: results are written meanwhile."""
    found = _git("rev-parse", "--short=12", "HEAD")
    return found + ("-dirty" if _git("status", "--porcelain", "--", *_MEASURED) else "")


def processor() -> str:
    """The first core's name, as the kernel has it."""
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def _git(*arguments: str) -> str:
    command = ["git", *arguments]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return done.stdout.strip()
