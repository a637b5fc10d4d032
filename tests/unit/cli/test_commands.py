"""Whole commands, from their arguments to their exit code, over HTTP on loopback."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from finetune_operator import cli
from finetune_trainer.exit_codes import ExitCode
from tests.unit.cli import stories
from tests.unit.cli.stories import Story
from tests.unit.cli.story_server import StoryServer
from tests.unit.cluster.test_kubeconfig import write


class Commands:
    """Runs commands against the server of a story, in the namespace of its job."""

    def __init__(self, server: StoryServer, config: str, read: Callable[[], tuple[str, str]]):
        self.server = server
        self._config = config
        self._read = read

    async def __call__(self, *arguments: str) -> tuple[int, str, str]:
        """Exit code, output, and what was said beside it."""
        where = ["--kubeconfig", self._config, "--namespace", "team"]
        async with asyncio.timeout(30):
            code = await asyncio.to_thread(cli.main, [*arguments, *where])
        return code, *self._read()


@pytest.fixture
def read(capsys: pytest.CaptureFixture[str]) -> Callable[[], tuple[str, str]]:
    def both() -> tuple[str, str]:
        said = capsys.readouterr()
        return said.out, said.err

    return both


async def told(
    story: Story, folder: Path, read: Callable[[], tuple[str, str]], *arguments: str
) -> tuple[int, str, str]:
    """One command over a story."""
    server = StoryServer(story, 2)
    async with server.serving() as url:
        return await Commands(server, write(folder, url), read)(*arguments)


Read = Callable[[], tuple[str, str]]


async def test_list(tmp_path: Path, read: Read) -> None:
    story = stories.second_attempt()
    code, out, err = await told(story, tmp_path, read, "list")
    assert (code, err) == (ExitCode.OK, "")
    header, row = out.splitlines()
    assert header.split() == [
        *["NAME", "PHASE", "PROGRESS", "REMAINING", "METHOD", "AGE", "QUEUE"]
    ]  # fmt: skip
    assert row.split()[:5] == ["second-attempt", "Training", "440/1800", "24%", "1h38m"]
    code, out, err = await told(story, tmp_path, read, "list", "-A")
    assert out.startswith("NAMESPACE")


@pytest.mark.parametrize(("output", "load"), [("json", json.loads), ("yaml", yaml.safe_load)])
async def test_list_as_objects(
    tmp_path: Path, read: Read, output: str, load: Callable[[str], object]
) -> None:
    code, out, _ = await told(stories.new(), tmp_path, read, "list", "-o", output)
    found = load(out)
    assert isinstance(found, dict)
    assert (code, found["kind"]) == (ExitCode.OK, "List")
    assert [each["metadata"]["name"] for each in found["items"]] == ["new"]


async def test_list_of_names_is_what_other_commands_take(tmp_path: Path, read: Read) -> None:
    _, out, _ = await told(stories.new(), tmp_path, read, "list", "-o", "name")
    assert out == "finetunejob.finetune.dev/new\n"
    code, _, _ = await told(stories.new(), tmp_path, read, "describe", out.strip())
    assert code == ExitCode.OK


async def test_describe(tmp_path: Path, read: Read) -> None:
    code, out, err = await told(stories.diverged(), tmp_path, read, "describe", "diverged")
    assert (code, err) == (ExitCode.OK, "")
    assert "Diverged: the loss became nan at step 41" in out
    assert "train-2/0" in out
    assert "attempt 1 starts" in out


async def test_what_may_not_be_read_hides_nothing_else(tmp_path: Path, read: Read) -> None:
    server = StoryServer(stories.diverged(), 2)
    server.forbidden_events = True
    async with server.serving() as url:
        commands = Commands(server, write(tmp_path, url), read)
        code, out, _ = await commands("describe", "diverged")
    assert code == ExitCode.OK
    assert out.splitlines()[-1] == "not shown  events is forbidden"
    assert "the loss became nan at step 41" in out


async def test_a_job_that_is_not_there(tmp_path: Path, read: Read) -> None:
    code, out, err = await told(stories.new(), tmp_path, read, "logs", "-f", "old")
    assert (code, out) == (ExitCode.CONFIGURATION_ERROR, "")
    assert err == "refused  FineTuneJob old does not exist in namespace team: there are new\n"


async def test_top_makes_four_requests(tmp_path: Path, read: Read) -> None:
    server = StoryServer(stories.second_attempt(), 2)
    async with server.serving() as url:
        code, out, _ = await Commands(server, write(tmp_path, url), read)("top", "--once")
    assert code == ExitCode.OK
    assert "440/1800" in out
    assert "second-attempt-train-2-0" in out
    assert len(server.asked) <= 4, server.asked


@pytest.mark.parametrize(
    ("options", "lines"),
    [
        (["--role", "train"], ["train-1/0  train says 0", "train-1/0  train says 1"]),
        (["--attempt", "1", "--no-prefix"], ["train says 0", "train says 1"]),
    ],
)
async def test_logs_of_what_is_over(
    tmp_path: Path, read: Read, options: list[str], lines: list[str]
) -> None:
    code, out, _ = await told(stories.succeeded(), tmp_path, read, "logs", "succeeded", *options)
    assert (code, out.splitlines()) == (ExitCode.OK, lines)


async def test_logs_of_what_is_not_there(tmp_path: Path, read: Read) -> None:
    arguments = ("logs", "succeeded", "--attempt", "7")
    code, out, err = await told(stories.succeeded(), tmp_path, read, *arguments)
    assert (code, out) == (ExitCode.CONFIGURATION_ERROR, "")
    assert "pods that are there: prepare-1, train-1/0, publish-1" in err


async def test_plan_by_name(tmp_path: Path, read: Read) -> None:
    path = tmp_path / "plan.json"
    arguments = ("plan", "second-attempt", "--json", str(path))
    code, out, _ = await told(stories.second_attempt(), tmp_path, read, *arguments)
    assert code == ExitCode.OK
    assert "LoRA on 1 CPU node(s)" in out
    assert json.loads(path.read_text())["plan"]["method"] == "LoRA"


async def test_stop_and_resume(tmp_path: Path, read: Read) -> None:
    story = Story("chat")
    story.to_training()
    story.trains(420)
    server = StoryServer(story, 2)
    async with server.serving() as url:
        commands = Commands(server, write(tmp_path, url), read)
        code, out, _ = await commands("stop", "chat", "--wait")
        assert code == ExitCode.OK
        assert out.startswith("suspended  team/chat: ")
        assert "kubectl finetune resume chat" in out
        code, out, _ = await commands("resume", "chat")
        assert (code, out.split()[0]) == (ExitCode.OK, "resumed")
        code, out, _ = await commands("resume", "chat")
        assert "is not suspended" in out
    assert server.changes == [{"spec": {"suspend": True}}, {"spec": {"suspend": False}}]


@pytest.mark.parametrize("command", ["stop", "resume"])
async def test_nothing_is_asked_of_a_job_that_is_over(
    tmp_path: Path, read: Read, command: str
) -> None:
    server = StoryServer(stories.succeeded(), 2)
    async with server.serving() as url:
        code, _, err = await Commands(server, write(tmp_path, url), read)(command, "succeeded")
    assert code == ExitCode.CONFIGURATION_ERROR
    assert err.startswith("refused  team/succeeded is Succeeded")
    assert server.changes == []
