"""The addresses of Azure's public cloud, led to the loopback server for one process: by a proxy.

So the operator runs as it is: with its workload identity, Azure's own SDK and Azure's own names.
What it would send to any other address is refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from tests.arm.certificate import write_certificate
from tests.arm.server import CLIENT, TENANT, ArmServer, listening

HOSTS = ("management.azure.com", "login.microsoftonline.com")
_CHUNK = 65536


@asynccontextmanager
async def public_cloud(server: ArmServer, folder: Path) -> AsyncIterator[Mapping[str, str]]:
    """Yields the environment of a process to which the server is Azure.

    Args:
        folder: gets certificate and token.
    """
    certificate = write_certificate(folder, *HOSTS)
    token = folder / "token"
    token.write_text(server.federated_token)
    server.url = f"https://{HOSTS[0]}"
    async with listening(server, certificate) as port, _proxy(port) as proxy:
        yield {
            "HTTPS_PROXY": f"http://127.0.0.1:{proxy}",
            "SSL_CERT_FILE": str(certificate),
            "AZURE_CLIENT_ID": CLIENT,
            "AZURE_TENANT_ID": TENANT,
            "AZURE_FEDERATED_TOKEN_FILE": str(token),
        }


@asynccontextmanager
async def _proxy(target: int) -> AsyncIterator[int]:
    """Answers CONNECT; yields its port."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await _connect(reader, writer, target)
        finally:
            tasks.discard(task)
            writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        listener.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: int) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    asked = re.match(r"CONNECT (\S+):443 ", head)
    if asked is None or asked.group(1) not in HOSTS:
        writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        return
    inward, outward = await asyncio.open_connection("127.0.0.1", target)
    try:
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await asyncio.gather(_pass_on(reader, outward), _pass_on(inward, writer))
    finally:
        outward.close()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):  # whoever is left is told by the end of the other
        while chunk := await reader.read(_CHUNK):
            writer.write(chunk)
            await writer.drain()
        writer.write_eof()
