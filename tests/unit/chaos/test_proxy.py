"""What the proxy leaves when it is over: nothing, whatever the API server does meanwhile."""

from __future__ import annotations

import asyncio
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

import aiohttp

from tests.arm.certificate import write_certificate
from tests.cluster.simulation.api import Api
from tests.cluster.simulation.proxy import Proxy

SECONDS = 10.0
"""For what takes milliseconds."""


@dataclass
class Connection:
    url: str
    certificate: Path

    def ssl_context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.certificate))

    def authorization(self) -> None:
        return None


class BusyServer(Thread):
    """Begins to answer one watch, and is then too busy to say farewell in TLS."""

    def __init__(self, certificate: Path) -> None:
        super().__init__(daemon=True)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self._listener.getsockname()[1]}"
        self.left_alone = False
        """The other side closed the connection."""

    def run(self) -> None:
        with self._listener, self._listener.accept()[0] as plain:
            plain.settimeout(SECONDS)
            with plain.dup() as below, self._context.wrap_socket(plain, server_side=True) as it:
                it.recv(65536)
                it.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n")
                self.left_alone = _ends(below)


def _ends(connection: socket.socket) -> bool:
    try:
        while connection.recv(65536):
            pass
    except TimeoutError:
        return False
    except ConnectionResetError:
        pass
    return True


async def test_a_watch_whose_server_is_busy_is_closed(tmp_path: Path) -> None:
    certificate = write_certificate(tmp_path)
    server = BusyServer(certificate)
    server.start()
    async with (
        Api(Connection(server.url, certificate)) as api,
        Proxy(api).serving() as (_, config),
        aiohttp.ClientSession() as operator,
    ):
        url = config["clusters"][0]["cluster"]["server"]
        async with operator.get(f"{url}/api/v1/pods?watch=true") as answer:
            assert await answer.content.readexactly(2) == b"{}"
    await asyncio.to_thread(server.join, 2 * SECONDS)
    assert server.left_alone
