"""What surrounds the training: the fence, the memory killer's count, the last words."""

import json
from pathlib import Path

import pytest

from finetune_trainer.cgroup import Cgroup
from finetune_trainer.errors import PreemptedError, SupersededError
from finetune_trainer.exit_codes import FREE, TERMINAL, ExitCode
from finetune_trainer.fence import Fence
from finetune_trainer.manifest import Failure
from finetune_trainer.termination import PATH_VARIABLE, failure, fit, write_termination_message


def test_a_later_attempt_fences_off_an_earlier_one(tmp_path: Path) -> None:
    first, second = Fence(tmp_path / "fence", 1), Fence(tmp_path / "fence", 2)
    first.take()
    first.hold()
    second.take()
    second.take()
    with pytest.raises(SupersededError, match="attempt 2 has taken over"):
        first.hold()
    with pytest.raises(SupersededError):
        first.take()
    second.hold()


@pytest.mark.parametrize(
    ("membership", "folder", "name", "text"),
    [
        ("0::/\n", "", "memory.events", "low 0\nhigh 0\nmax 12\noom 2\noom_kill 2\n"),
        ("0::/job\n", "job", "memory.events", "low 0\noom 2\noom_kill 2\noom_group_kill 0\n"),
        (
            "5:memory:/kubepods/pod1\n4:cpu,cpuacct:/\n",
            "memory",
            "memory.oom_control",
            "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
        ),
        (
            "5:memory:/job\n",
            "memory/job",
            "memory.oom_control",
            "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
        ),
    ],
    ids=["v2 container", "v2 host", "v1 container", "v1 host"],
)
def test_kills_for_want_of_memory_are_counted(
    tmp_path: Path, membership: str, folder: str, name: str, text: str
) -> None:
    (tmp_path / "membership").write_text(membership)
    (tmp_path / "mount" / folder).mkdir(parents=True)
    (tmp_path / "mount" / folder / name).write_text(text)
    assert Cgroup(tmp_path / "mount", tmp_path / "membership").out_of_memory_kills() == 2


@pytest.mark.parametrize(
    ("folder", "files", "left", "limit"),
    [
        (
            "",
            {"memory.max": "1000\n", "memory.current": "700\n", "memory.stat": "anon 1\nfile 50\n"},
            350,
            1000,
        ),
        ("", {"memory.max": "max\n", "memory.current": "700\n"}, 4096, 8192),
        (
            "memory",
            {
                "memory.limit_in_bytes": "5000\n",
                "memory.usage_in_bytes": "4000\n",
                "memory.stat": "total_cache 500\n",
            },
            1500,
            5000,
        ),
        ("", {}, 4096, 8192),
    ],
    ids=["v2", "v2 without a limit", "v1", "no memory controller"],
)
def test_memory_that_is_left_counts_cached_files_as_free(
    tmp_path: Path, folder: str, files: dict[str, str], left: int, limit: int
) -> None:
    (tmp_path / "membership").write_text("0::/\n")
    (tmp_path / "meminfo").write_text("MemTotal: 8 kB\nMemAvailable: 4 kB\nHugePages_Total: 0\n")
    (tmp_path / "mount" / folder).mkdir(parents=True)
    for name, text in files.items():
        (tmp_path / "mount" / folder / name).write_text(text)
    cgroup = Cgroup(tmp_path / "mount", tmp_path / "membership", tmp_path / "meminfo")
    assert cgroup.memory_left() == left
    assert cgroup.memory_limit() == limit


def test_no_memory_controller_counts_nothing(tmp_path: Path) -> None:
    assert Cgroup(tmp_path, tmp_path / "membership").out_of_memory_kills() == 0


def test_last_words_fit_where_the_kubelet_reads_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PATH_VARIABLE, str(tmp_path / "log"))
    write_termination_message(failure(PreemptedError("stopped", 7)))
    assert json.loads((tmp_path / "log").read_text()) == {
        "reason": "Preempted",
        "message": "stopped",
        "step": 7,
    }
    long = fit(Failure(reason="DataError", message="begin " + "ü" * 9000 + " end"))
    assert len(long.encode()) <= 4096
    assert json.loads(long)["message"].startswith("begin ")
    assert json.loads(long)["message"].endswith(" end")


def test_exit_codes_have_reasons() -> None:
    assert ExitCode(12).reason == "OutOfMemory"
    assert ExitCode(18).reason == "CredentialsRefused"
    assert not TERMINAL & FREE
