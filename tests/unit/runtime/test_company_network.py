"""What the operator itself asks Azure goes through the proxy of the chart and trusts who the chart
says. In a process of its own, because who is trusted is settled when a process starts."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.trainer.transfer import company
from tests.trainer.transfer.company import Authority
from tests.unit.nodes.retail_prices import row

HOSTS = ("management.azure.com", "login.microsoftonline.com", "prices.azure.com")
TYPE = "Standard_NC24ads_A100_v4"

SCRIPT = f"""
import asyncio, sys
from datetime import UTC, datetime
from pathlib import Path

from finetune_trainer import authorities
authorities.FOLDER = Path(sys.argv[1])
import finetune_operator.runtime.__main__  # what starts the operator, up to starting it

import aiohttp
from finetune_operator.domain.actions import ManagedCluster
from finetune_operator.nodes.aks.client import AgentPools
from finetune_operator.nodes.prices import RETAIL_PRICES_URL, fetch

async def ask():
    async with aiohttp.ClientSession(trust_env=True) as session:
        prices = await fetch(session, RETAIL_PRICES_URL, "USD", "eastus", datetime.now(UTC))
    pools = AgentPools()
    found, _ = await pools.look(ManagedCluster("s" * 36, "group", "cluster"))
    await pools.close()
    print(prices.hourly("{TYPE}", spot=False), len(found))

asyncio.run(ask())
"""


class Azure(BaseHTTPRequestHandler):
    """Of all three hosts: tokens, one agent pool, one price."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer({"token_type": "Bearer", "expires_in": 3600, "access_token": "token"})

    def do_GET(self) -> None:
        if "agentPools" in self.path:
            assert self.headers["Authorization"] == "Bearer token"
            self._answer({"value": [{"name": "gpu", "properties": {"count": 0}}]})
        else:
            self._answer({"Items": [row(TYPE, 3.673, armRegionName="eastus")]})

    def log_message(self, format: str, *args: object) -> None:
        del format, args

    def _answer(self, content: object) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def azure(certificate: Path) -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Azure)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_azure_is_asked_through_the_proxy_and_whom_the_company_vouches_for(tmp_path: Path) -> None:
    authority = Authority("The company", tmp_path / "authority")
    (tmp_path / "mounted").mkdir()
    (tmp_path / "mounted/company.crt").write_bytes(authority.certificate.read_bytes())
    (tmp_path / "token").write_text("a token of the pod")
    with azure(authority.certificate_of(*HOSTS)) as port, company.proxy() as proxy:
        proxy.places |= {f"{host}:443": port for host in HOSTS}
        ended = subprocess.run(
            [sys.executable, "-c", SCRIPT, str(tmp_path / "mounted")],
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": os.pathsep.join(each for each in sys.path if each),
                "HTTPS_PROXY": proxy.url,
                "NO_PROXY": ".svc",
                "AZURE_CLIENT_ID": "client",
                "AZURE_TENANT_ID": "tenant",
                "AZURE_FEDERATED_TOKEN_FILE": str(tmp_path / "token"),
            },
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
    assert ended.stdout == "3.673 1\n", ended.stderr
    assert {each.partition(":")[0] for each in proxy.asked} == set(HOSTS)


def test_an_operator_that_would_trust_nobody_does_not_start(tmp_path: Path) -> None:
    (tmp_path / "company.crt").write_text("a certificate will follow")
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)],
        env={"PYTHONPATH": os.pathsep.join(each for each in sys.path if each)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ended.returncode == 1
    assert "network.certificateAuthorities: key company.crt does not hold" in ended.stderr
