import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from typing import Any

import pytest

from finetune_trainer.engine import progress
from finetune_trainer.engine.progress import ProgressReporter
from finetune_trainer.manifest import Progress, Stage

Post = tuple[str | None, dict[str, Any]]


class Operator(ThreadingHTTPServer):
    """Takes posts; answers 503 to the first `failures` of them."""

    def __init__(self, failures: int = 0) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.failures = failures
        self.posts: Queue[Post] = Queue()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1/progress/tests/tiny"


class Handler(BaseHTTPRequestHandler):
    server: Operator

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        failing = self.server.failures > 0
        self.server.failures -= 1
        self.send_response(503 if failing else 204)
        self.end_headers()
        self.server.posts.put((self.headers["Authorization"], body))

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def operator() -> Iterator[Operator]:
    with Operator(failures=1) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def at(step: int) -> Progress:
    return Progress(attempt=2, stage=Stage.TRAINING, step=step, total_steps=9, loss=1.5)


def test_newest_progress_is_posted_with_the_newest_token(
    operator: Operator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "INTERVAL", 0.01)
    token = tmp_path / "token"
    token.write_text("first\n")
    with ProgressReporter(operator.url, token) as reporter:
        reporter.report(at(1))
        assert operator.posts.get(timeout=60)[0] == "Bearer first"  # refused by the operator
        token.write_text("renewed\n")
        reporter.report(at(2))
        authorization, body = operator.posts.get(timeout=60)
    assert authorization == "Bearer renewed"
    assert body == {
        "attempt": 2,
        "stage": "Training",
        "step": 2,
        "totalSteps": 9,
        "loss": 1.5,
    }


def test_training_does_not_depend_on_it(tmp_path: Path) -> None:
    with ProgressReporter("http://127.0.0.1:9/v1/progress", tmp_path / "none") as reporter:
        reporter.report(at(1))
    with ProgressReporter("", tmp_path / "none") as reporter:
        reporter.report(at(1))


def test_a_run_that_takes_no_step_goes_on_saying_so(
    operator: Operator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "INTERVAL", 0.01)
    monkeypatch.setattr(progress, "HEARTBEAT", 0.01)
    (tmp_path / "token").write_text("token")
    with ProgressReporter(operator.url, tmp_path / "token") as reporter:
        reporter.report(at(1))
        assert [operator.posts.get(timeout=60)[1]["step"] for _ in range(3)] == [1, 1, 1]
