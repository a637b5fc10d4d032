"""What jobs of the installed operator need to run in milliseconds: a node, and volumes to bind."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.cluster.simulation import trainer
from tests.cluster.simulation.api import Api
from tests.cluster.simulation.node import Script, SimulatedNode


@asynccontextmanager
async def stand(api: Api, name: str, script: Script, *, jobs: int = 1) -> AsyncIterator[str]:
    """Gives the name of the group of nodes that the jobs have to ask for."""
    volumes = [f"/api/v1/persistentvolumes/{name}-{number}" for number in range(jobs)]
    for path in volumes:
        await api.apply(path, trainer.volume(path.rpartition("/")[2]))
    node = SimulatedNode(api, name, name, script, trainer.PREEMPTED)
    await node.start()
    try:
        yield name
    finally:
        await node.stop()
        for path in volumes:
            await api.ask("DELETE", path, absent=True)


class Patience:
    """A script: trainings go on until they are released, all else ends well at once."""

    def __init__(self) -> None:
        self.released: set[str] = set()
        self.started: list[str] = []
        """Names of jobs in the order in which an attempt of theirs first ran."""

    def __call__(self, pod: trainer.Object) -> dict[str, trainer.End] | None:
        name, role, _ = trainer.attempt_of(pod)
        if role == "train" and name not in self.started:
            self.started.append(name)
        if role == "train" and name not in self.released:
            return None
        return trainer.well(pod)
