"""What shells complete: bash for real; kubectl's way by the program that kubectl runs."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from finetune_operator import cli
from tests.installed import ROOT, write_programs


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the installed distribution puts on PATH."""
    return write_programs(tmp_path_factory.mktemp("bin"))


def run(programs: Path, *command: str) -> str:
    environment = {
        **os.environ,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONPATH": f"{ROOT / 'operator'}:{ROOT / 'trainer_image'}",
        "KUBECONFIG": str(programs / "no-such-kubeconfig"),
    }
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=60, check=True
    ).stdout


@pytest.mark.parametrize(
    ("line", "completions"),
    [
        ("finetune lo", ["logs "]),
        ("kubectl-finetune des", ["describe "]),
        ("finetune logs --role tr", ["train "]),
        ("finetune list -o ", ["wide", "name", "json", "yaml"]),
        ("finetune describe ", ["--help", "--namespace", "--context", "--kubeconfig"]),
    ],
)
def test_bash(programs: Path, line: str, completions: list[str]) -> None:
    program = line.split(maxsplit=1)[0]
    script = (
        f'eval "$({program} completion bash)"\n'
        f"function=$(complete -p {program} | grep -o -- '-F [^ ]*')\n"
        f'COMP_LINE="{line}" COMP_POINT={len(line)} COMP_TYPE=9\n'
        f"${{function#-F }} {program}\n"
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    assert run(programs, "bash", "-c", script).splitlines() == completions


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_get_a_script_of_their_own(
    shell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["completion", shell]) == 0
    script = capsys.readouterr().out
    marks = {"zsh": "compdef", "fish": "complete --command"}
    assert marks[shell] in script
    assert "kubectl-finetune" in script


@pytest.mark.parametrize(
    ("words", "first"),
    [
        (["to"], "top\twatch how far the jobs are, and what runs on which node"),
        (["logs", "--fol"], "--follow\tgo on, from attempt to attempt, until the job ends;"),
        (["completion", "z"], "zsh\t"),
    ],
)
def test_kubectl(programs: Path, words: list[str], first: str) -> None:
    lines = run(programs, "kubectl_complete-finetune", *words).splitlines()
    assert lines[0].startswith(first)
    assert lines[-1] == ":4", "no names of files after these"


def test_the_program_has_the_name_that_it_was_started_by(programs: Path) -> None:
    assert run(programs, "kubectl-finetune", "--help").startswith("usage: kubectl finetune ")
    assert run(programs, "finetune", "--help").startswith("usage: finetune ")
