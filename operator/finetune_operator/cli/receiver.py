"""Takes the progress that a trainer on this machine posts, as the operator does in a cluster."""

import secrets
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Self

from pydantic import ValidationError

from finetune_trainer.manifest import Progress

_LARGEST = 65536
"""Bytes of a post; progress has some hundreds."""


class ProgressReceiver:
    """Listens on the loopback interface, for whoever has the token that lies in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._token = secrets.token_urlsafe(32)
        self._token_path = folder / "token"
        self._token_path.touch(mode=0o600)
        self._token_path.write_text(self._token)
        self._received: SimpleQueue[Progress] = SimpleQueue()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def environment(self) -> dict[str, str]:
        """What the trainer has to know."""
        return {
            "FINETUNE_PROGRESS_URL": f"http://127.0.0.1:{self._server.server_port}/",
            "FINETUNE_PROGRESS_TOKEN_PATH": str(self._token_path),
        }

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def wait(self, seconds: float) -> Progress | None:
        """The next progress, None when none arrives in time."""
        try:
            return self._received.get(timeout=seconds)
        except Empty:
            return None

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        expected, received = f"Bearer {self._token}", self._received

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                size = int(self.headers.get("Content-Length") or 0)
                given = self.headers.get("Authorization", "")
                if not secrets.compare_digest(given.encode(), expected.encode()):
                    self._answer(HTTPStatus.UNAUTHORIZED)
                elif size > _LARGEST:
                    self._answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
                else:
                    self._answer(_take(self.rfile.read(size), received))

            def _answer(self, status: HTTPStatus) -> None:
                self.send_response(status)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """The progress bar says it."""

        return Handler


def _take(body: bytes, received: SimpleQueue[Progress]) -> HTTPStatus:
    try:
        received.put(Progress.model_validate_json(body))
    except ValidationError:
        return HTTPStatus.BAD_REQUEST
    return HTTPStatus.NO_CONTENT
