"""A hub on the loopback interface that speaks what huggingface_hub's documented API asks for.

The client is the real one; what it asks here is what it asks the real hub: repository information
with the list of files, the tree of a commit, and the files themselves (HEAD, then GET).
"""

import hashlib
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

COMMIT = "0a67737cc96d2554230f90338b163bc6380a2a85"
TOKEN = "hf_right"


@dataclass
class Repository:
    """One repository at one commit; `main` and `v1` point to it."""

    files: dict[str, bytes]
    private: bool = False
    gated: bool = False


@dataclass
class Hub:
    """The server's content and memory."""

    url: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    """By kind and name, for example models/owner/name."""
    requests: list[str] = field(default_factory=list)
    """Method and path of each."""
    failure: int = 0
    """Status that every request is answered with; 0: none."""
    refused: set[str] = field(default_factory=set)
    """Files that are answered with status 403."""


@contextmanager
def run(certificate: Path | None = None) -> Iterator[Hub]:
    """
    Args:
        certificate: a file with certificate and key, for a hub that speaks TLS.
    """
    hub = Hub()

    class Handler(_Handler):
        content = hub

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    scheme = "http" if certificate is None else "https"
    hub.url = f"{scheme}://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    content: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: object) -> None:
        del format, args

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.content.requests.append(f"{self.command} {path}")
        if self.content.failure:
            self._send(self.content.failure, b"{}")
            return
        parts = path.strip("/").split("/")
        if parts[0] == "api":
            self._api(parts[1:])
        else:
            kind = "datasets" if parts[0] == "datasets" else "models"
            self._file(kind, parts[1:] if kind == "datasets" else parts)

    def _api(self, parts: list[str]) -> None:
        """<kind>/<owner>/<name>[/revision/<revision>] and …/tree/<revision>."""
        kind, name = parts[0], "/".join(parts[1:3])
        repository = self._open(f"{kind}/{name}")
        if repository is None:
            return
        what, revision = (parts[3], parts[4]) if len(parts) > 4 else ("revision", "main")
        if revision not in ("main", "v1", COMMIT):
            self._send(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
        elif what == "tree":
            tree = [
                {"type": "file", "path": path, "size": len(content), "oid": _oid(content)}
                for path, content in repository.files.items()
            ]
            self._send(200, json.dumps(tree).encode())
        else:
            siblings = [{"rfilename": path} for path in repository.files]
            information = {"id": name, "sha": COMMIT, "siblings": siblings, "private": False}
            self._send(200, json.dumps(information | {"tags": [], "downloads": 0}).encode())

    def _file(self, kind: str, parts: list[str]) -> None:
        """<owner>/<name>/resolve/<commit>/<path>."""
        repository = self._open(f"{kind}/{'/'.join(parts[:2])}")
        if repository is None:
            return
        path = "/".join(parts[4:])
        content = repository.files[path]
        start = 0
        headers = {"ETag": f'"{_oid(content)}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        if wanted := self.headers.get("Range"):
            start = int(wanted.removeprefix("bytes=").partition("-")[0])
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        if path in self.content.refused:
            self._send(403, b"{}")
            return
        self._send(206 if start else 200, content[start:], headers)

    def _open(self, key: str) -> Repository | None:
        """The repository, or the hub's refusal."""
        repository = self.content.repositories.get(key)
        known = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        if repository is not None and repository.gated and not known:
            self._send(403, b"{}", {"X-Error-Code": "GatedRepo"})
        elif repository is None or (repository.private and not known):
            # To people without an account, the hub does not tell private from absent.
            given = "Authorization" in self.headers
            self._send(404 if given else 401, b"{}", {"X-Error-Code": "RepoNotFound"})
        else:
            return repository
        return None

    def _send(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


def _oid(content: bytes) -> str:
    """Git's name of a blob."""
    return hashlib.sha1(  # noqa: S324
        b"blob %d\0" % len(content) + content
    ).hexdigest()
