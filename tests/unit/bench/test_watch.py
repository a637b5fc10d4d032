"""Real processes, watched from outside."""

import subprocess
import sys
from pathlib import Path

from bench.scenarios.watch import Watch

SIZE = 100 << 20
CHILD = """
import sys, time
from pathlib import Path
held = bytearray(int(sys.argv[1]))
held[::4096] = b"x" * len(held[::4096])
for step in range(3):
    with Path(sys.argv[2]).open("a") as file:
        file.write('{"step": 1, "loss": 2.0}\\n')
    end = time.process_time() + 0.2
    while time.process_time() < end:
        pass
"""


def test_memory_by_rank_and_time_by_step(tmp_path: Path) -> None:
    metrics = tmp_path / "metrics.jsonl"
    other = str(tmp_path / "other.jsonl")
    command = [sys.executable, "-c", CHILD]
    with Watch(metrics) as watch:
        started = [
            subprocess.Popen([*command, str(size), path], env={"RANK": str(rank)})
            for rank, (size, path) in enumerate([(SIZE, str(metrics)), (2 * SIZE, other)])
        ]
        watch.started += [each.pid for each in started]
        assert [each.wait() for each in started] == [0, 0]
    assert sorted(watch.peaks) == [0, 1]
    assert SIZE < watch.peaks[0] < 1.5 * SIZE
    assert 2 * SIZE < watch.peaks[1] < 2.5 * SIZE
    assert watch.steps.count == 3
    assert watch.steps.last_cpu - watch.steps.first_cpu > 0.2
