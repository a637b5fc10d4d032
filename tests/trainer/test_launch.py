"""`python -m finetune_trainer train` as the container runs it: two nodes, one killed for memory."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from finetune_trainer.exit_codes import ExitCode
from tests.trainer.recipes import workspace

TIMEOUT = 300.0
MEMORY_LIMIT = 200 * 2**20
"""Bytes: the launcher needs 30 MB, importing torch more than this."""


def command(root: Path) -> list[str]:
    arguments = ["--recipe", str(root / "recipe.json"), "--workspace", str(root)]
    return [sys.executable, "-m", "finetune_trainer", "train", *arguments]


def launch(root: Path, name: str, **environment: str) -> subprocess.Popen[bytes]:
    own = {"FINETUNE_TERMINATION_LOG": str(root / f"{name}.json"), "OMP_NUM_THREADS": "1"}
    with (root / f"{name}.log").open("wb") as log:
        return subprocess.Popen(
            command(root), env=os.environ | own | environment, stdout=log, stderr=log
        )


def launch_two(root: Path) -> list[subprocess.Popen[bytes]]:
    """Two nodes of one attempt; their logs are node-0.log and node-1.log."""
    place = {"PET_MASTER_ADDR": "127.0.0.1", "PET_MASTER_PORT": str(free_port())}
    return [launch(root, f"node-{rank}", PET_NODE_RANK=str(rank), **place) for rank in range(2)]


def until(path: Path, text: str, processes: list[subprocess.Popen[bytes]]) -> None:
    deadline = time.monotonic() + TIMEOUT
    while text not in path.read_text():
        assert all(process.poll() is None for process in processes), path.read_text()
        assert time.monotonic() < deadline, path.read_text()
        time.sleep(0.05)


def worker_of(node: subprocess.Popen[bytes]) -> int:
    """The process id of a launcher's only child."""
    (worker,) = Path(f"/proc/{node.pid}/task/{node.pid}/children").read_text().split()
    return int(worker)


def mapped(pid: int) -> str:
    """The files that a process has in its memory."""
    return Path(f"/proc/{pid}/maps").read_text()


def told(pid: int) -> dict[str, str]:
    """The environment that a process was started with."""
    pairs = Path(f"/proc/{pid}/environ").read_text().split("\0")
    return dict(each.split("=", 1) for each in pairs if each)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_sigterm_to_one_node_saves_and_ends_both(tiny_model: Path, tmp_path: Path) -> None:
    workspace(tmp_path, tiny_model, compute={"nodes": 2}, training={"maxSteps": 100_000})
    nodes = launch_two(tmp_path)
    until(tmp_path / "node-0.log", "step 3/", nodes)
    workers = [worker_of(node) for node in nodes]
    assert all("/libjemalloc." in mapped(worker) for worker in workers)
    assert all(told(worker)["GOMP_SPINCOUNT"] == "1000" for worker in workers)
    nodes[1].send_signal(signal.SIGTERM)
    assert [node.wait(TIMEOUT) for node in nodes] == [ExitCode.PREEMPTED] * 2
    messages = [json.loads((tmp_path / f"node-{rank}.json").read_text()) for rank in range(2)]
    assert {message["reason"] for message in messages} == {"Preempted"}
    (step,) = {message["step"] for message in messages}
    assert (tmp_path / "checkpoints" / f"step-{step:08d}").is_dir()


def test_a_lost_peer_is_told_of_after_its_own_end(tiny_model: Path, tmp_path: Path) -> None:
    workspace(tmp_path, tiny_model, compute={"nodes": 2}, training={"maxSteps": 100_000})
    nodes = launch_two(tmp_path)
    until(tmp_path / "node-0.log", "step 3/", nodes)
    os.kill(worker_of(nodes[1]), signal.SIGKILL)
    assert nodes[1].wait(TIMEOUT) == 128 + signal.SIGKILL
    until(tmp_path / "node-0.log", "so that its own end is known", nodes[:1])
    nodes[0].send_signal(signal.SIGTERM)
    assert nodes[0].wait(TIMEOUT) == ExitCode.PEER_LOST
    assert json.loads((tmp_path / "node-0.json").read_text())["reason"] == "PeerLost"


def test_sigterm_before_training_begins_is_free(tiny_model: Path, tmp_path: Path) -> None:
    workspace(tmp_path, tiny_model, training={"maxSteps": 100_000})
    node = launch(tmp_path, "node")
    children = Path(f"/proc/{node.pid}/task/{node.pid}/children")
    deadline = time.monotonic() + TIMEOUT
    while not children.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    node.send_signal(signal.SIGTERM)
    assert node.wait(TIMEOUT) == ExitCode.PREEMPTED
    assert json.loads((tmp_path / "node.json").read_text())["reason"] == "Preempted"


@pytest.fixture
def small_cgroup(tmp_path: Path) -> Iterator[Path]:
    """A memory cgroup of its own (root, version 1), with a limit that torch exceeds."""
    path = Path("/sys/fs/cgroup/memory") / f"finetune-test-{os.getpid()}"
    path.mkdir()
    (path / "memory.limit_in_bytes").write_text(str(MEMORY_LIMIT))
    yield path
    path.rmdir()


def test_memory_limit_is_out_of_memory(
    tiny_model: Path, tmp_path: Path, small_cgroup: Path
) -> None:
    workspace(tmp_path, tiny_model)
    enter = f'echo $$ > {small_cgroup}/cgroup.procs; exec "$@"'
    ended = subprocess.run(
        ["sh", "-c", enter, "sh", *command(tmp_path)],
        env=os.environ | {"FINETUNE_TERMINATION_LOG": str(tmp_path / "message.json")},
        timeout=TIMEOUT,
        check=False,
    )
    assert ended.returncode == ExitCode.OUT_OF_MEMORY
    message = json.loads((tmp_path / "message.json").read_text())
    assert message["reason"] == "OutOfMemory"
    assert "training.tokensPerBatch" in message["message"]


def test_failure_of_a_worker_is_passed_on(tiny_model: Path, tmp_path: Path) -> None:
    workspace(tmp_path, tiny_model, [{"messages": [{"role": "user", "content": "alone"}]}])
    node = launch(tmp_path, "node")
    assert node.wait(TIMEOUT) == ExitCode.DATA_ERROR
    message = json.loads((tmp_path / "node.json").read_text())
    assert message["reason"] == "DataError"
    assert "train.jsonl line 1" in message["message"]
