"""A wall clock that can be set for one process and its children, while they run."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest


class Clock:
    """Shows the right time until it is set."""

    def __init__(self, folder: Path) -> None:
        self._offset = folder / "clock-offset"
        self._offset.write_bytes(struct.pack("=q", 0))
        self._library = folder / "clock.so"
        compiler = shutil.which("cc")
        if compiler is None:
            pytest.exit("no C compiler: apt-get install gcc libc6-dev", 2)
        source = Path(__file__).with_suffix(".c")
        subprocess.run(
            [compiler, "-O1", "-shared", "-fPIC", "-o", self._library, source, "-ldl"], check=True
        )

    @property
    def environment(self) -> Mapping[str, str]:
        """Of a process that lives by this clock."""
        return {"LD_PRELOAD": str(self._library), "CLOCK_OFFSET": str(self._offset)}

    def set(self, seconds: int) -> None:
        """From now on it is off by so much."""
        file = os.open(self._offset, os.O_WRONLY)
        try:
            os.pwrite(file, struct.pack("=q", seconds), 0)
        finally:
            os.close(file)
