"""An operator as the kubelet keeps it: started again whenever it ends, however it ends."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.resilience.chaos.clock import Clock
from tests.cluster.resilience.chaos.disturbed_proxy import DisturbedProxy
from tests.cluster.simulation.api import Api
from tests.cluster.simulation.operator_process import OperatorProcess

RESTARTED_AFTER = 2.0
"""Seconds, where it ended by itself."""
POLL_SECONDS = 0.2


@dataclass
class Replica:
    name: str
    process: OperatorProcess
    proxy: DisturbedProxy
    clock: Clock
    log: Path
    away_until: float = 0.0
    """By the monotonic clock."""

    def kill(self, away: float) -> None:
        """kill -9; its container is started again after so many seconds."""
        self.away_until = time.monotonic() + away
        self.process.kill()

    async def keep(self) -> None:
        """Runs for ever."""
        while True:
            if not _is_alive(self.process.pid):
                self.process.pid = 0
                left = self.away_until - time.monotonic()
                await asyncio.sleep(left if left > 0 else RESTARTED_AFTER)
                self.process.start()
            await asyncio.sleep(POLL_SECONDS)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return pid != 0


@asynccontextmanager
async def replica(
    api: Api, name: str, *, seed: int, namespace: str, address: str, folder: Path
) -> AsyncIterator[Replica]:
    """One of several that share a Lease; pods reach it at `address`."""
    port = _free_port()
    clock = Clock(folder)
    async with DisturbedProxy(api, seed, name).serving() as (proxy, kubeconfig):
        assert isinstance(proxy, DisturbedProxy)
        config = folder / "kubeconfig.json"
        config.write_text(json.dumps(kubeconfig))
        log = folder / "operator.log"
        process = OperatorProcess(
            config,
            log,
            {
                "FINETUNE_LEASE": f"{namespace}/operator",
                "FINETUNE_POD_NAME": name,
                "FINETUNE_POD_IP": address,
                "FINETUNE_PROGRESS_PORT": str(port),
                "FINETUNE_PROGRESS_URL": f"http://{address}:{port}",
                **clock.environment,
            },
        )
        made = Replica(name, process, proxy, clock, log)
        keeper = asyncio.create_task(made.keep())
        try:
            yield made
            if keeper.done():
                keeper.result()
        finally:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)
            process.close()


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        number: int = found.getsockname()[1]
        return number
