"""How the server behaves among others: clients that leave, many at once, SIGTERM, metrics."""

import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from finetune_trainer.exit_codes import ExitCode
from tests.trainer.serving.server import Running, config, run

LONG: dict[str, Any] = {"model": "base", "prompt": "Once", "max_tokens": 16000, "temperature": 0}
"""Takes a minute: whoever waits for its end waits in vain."""

WAIT_SECONDS = 300
"""Above what importing torch takes on a machine that has other things to do."""


def wait_for(condition: Any) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def metric(running: Running, name: str) -> float:
    """A sample by its full name; 0 when there is none."""
    found = re.search(rf"^{re.escape(name)} (\S+)$", running.get("/metrics"), re.MULTILINE)
    return float(found[1]) if found else 0.0


def test_the_model_stops_for_a_client_that_left(
    server: Running, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with server.client.completions.create(**LONG, stream=True) as stream:
        next(iter(stream))
    wait_for(lambda: metric(server, "finetune_serve_pending_requests") == 0)
    (line,) = [text for text in caplog.messages if "the client went away" in text]
    tokens = re.search(r"(\d+) out", line)
    assert tokens is not None
    assert int(tokens[1]) < LONG["max_tokens"]


def test_more_than_may_wait_are_sent_away(base: Path) -> None:
    with (
        run(config(base, queueLimit=1)) as running,
        running.client.completions.create(**LONG, stream=True) as answered,
        ThreadPoolExecutor() as threads,
    ):
        next(iter(answered))
        short = LONG | {"max_tokens": 1}
        waiting = threads.submit(lambda: running.client.completions.create(**short))
        wait_for(lambda: metric(running, "finetune_serve_pending_requests") == 2)
        with pytest.raises(openai.RateLimitError, match="waiting already") as caught:
            running.client.completions.create(**short)
        assert caught.value.response.headers["Retry-After"] == "1"
        answered.close()
        assert waiting.result(WAIT_SECONDS).model == "base"


def test_an_answer_that_takes_too_long(base: Path) -> None:
    with run(config(base, requestSeconds=1)) as running:
        with pytest.raises(openai.InternalServerError, match="within 1 s") as caught:
            running.client.completions.create(**LONG)
        assert caught.value.status_code == 503
        stream = running.client.completions.create(**LONG, stream=True)
        with pytest.raises(openai.APIError, match="within 1 s"):
            list(stream)


def test_metrics_know_configured_names_only(server: Running) -> None:
    def counted(code: int, model: str) -> float:
        return metric(server, f'finetune_serve_requests_total{{code="{code}",model="{model}"}}')

    before = [counted(200, "base"), counted(404, "unknown")]
    tokens = 'finetune_serve_tokens_total{kind="completion",model="base"}'
    tokens_before = metric(server, tokens)
    server.client.completions.create(**LONG | {"max_tokens": 3})
    with pytest.raises(openai.NotFoundError):
        server.client.completions.create(**LONG | {"model": "somebody"})
    assert [counted(200, "base"), counted(404, "unknown")] == [before[0] + 1, before[1] + 1]
    assert metric(server, tokens) == tokens_before + 3
    assert "somebody" not in server.get("/metrics")


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def started(settings: dict[str, Any], folder: Path) -> "Iterator[subprocess.Popen[bytes]]":
    """The command, as the container runs it."""
    path = folder / "serve.json"
    path.write_text(json.dumps(settings, default=str))
    environment = os.environ | {
        "FINETUNE_TERMINATION_LOG": str(folder / "termination-log"),
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "OMP_WAIT_POLICY": "PASSIVE",
        "HF_HUB_OFFLINE": "1",
    }
    command = [sys.executable, "-m", "finetune_trainer", "serve", "--config", str(path)]
    with subprocess.Popen(command, env=environment) as process:
        try:
            yield process
        finally:
            process.kill()


def test_sigterm_lets_answers_end(base: Path, tmp_path: Path, port: int) -> None:
    settings = {
        "name": "support",
        "baseModel": {"name": "base", "path": base},
        "host": "127.0.0.1",
        "port": port,
        "precision": "FP32",
        "lingerSeconds": 0,
    }
    url = f"http://127.0.0.1:{port}"
    with started(settings, tmp_path) as process:
        wait_for(lambda: answers(f"{url}/readyz"))
        client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
        with client, client.completions.create(**LONG | {"max_tokens": 100}, stream=True) as stream:
            pieces = iter(stream)
            next(pieces)
            process.send_signal(signal.SIGTERM)
            last = list(pieces)[-1]
        assert last.choices[0].finish_reason == "length"
        assert process.wait(WAIT_SECONDS) == ExitCode.OK


def answers(url: str) -> bool:
    try:
        return httpx2.get(url, timeout=5).status_code == 200
    except httpx2.TransportError:
        return False


def test_a_model_that_cannot_be_loaded_ends_the_command(tmp_path: Path, port: int) -> None:
    settings = {
        "name": "support",
        "baseModel": {"name": "base", "path": tmp_path / "nothing"},
        "host": "127.0.0.1",
        "port": port,
    }
    with started(settings, tmp_path) as process:
        assert process.wait(WAIT_SECONDS) == ExitCode.CONFIGURATION_ERROR
    message = json.loads((tmp_path / "termination-log").read_text())
    assert message["reason"] == "ConfigurationError"
    assert "holds no model" in message["message"]
