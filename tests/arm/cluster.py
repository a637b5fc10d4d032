"""An AKS cluster's agent pools, as ARM shows and changes them. Its time is the test's.

After Azure's documentation of agent pools: what is taken is begun and goes on by itself; what
cannot be begun is refused at once; what fails later leaves a failed pool behind.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from tests.arm.bodies import complaint

Json = dict[str, Any]
AGENT_POOL = "kubernetes.azure.com/agentpool"
SPOT_TAINT = "kubernetes.azure.com/scalesetpriority=spot:NoSchedule"
IN_PROGRESS = (
    "Operation is not allowed: Another agentpool operation ({name} - {state}) is in progress,"
    " please wait for it to finish before starting a new operation."
)


class RefusedError(Exception):
    """ARM does not take a request."""

    def __init__(self, status: int, body: Json, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{status} {body}")
        self.status, self.body, self.headers = status, body, dict(headers or {})


def nested(status: int, code: str, message: str, *details: tuple[str, str]) -> RefusedError:
    """In the envelope that ARM documents."""
    inner = [{"code": each, "message": text} for each, text in details]
    return RefusedError(status, {"error": {"code": code, "message": message, "details": inner}})


def flat(status: int, code: str, message: str) -> RefusedError:
    """In the envelope that AKS uses for quotas."""
    return RefusedError(status, {"code": code, "details": None, "message": message, "subcode": ""})


@dataclass
class Pool:
    """One agent pool and what is being done to it."""

    name: str
    properties: Json
    state: str
    due: datetime
    etag: int
    nodes: list[str] = field(default_factory=list)
    machines: int = 0
    """Ever made; a node's name is never used again."""
    error: Json | None = None

    def json(self) -> Json:
        """As ARM shows it."""
        told = {
            **self.properties,
            "eTag": f"etag-{self.etag}",
            "provisioningState": self.state,
            "currentOrchestratorVersion": "1.36.3",
            "nodeImageVersion": "AKSUbuntu-2204gen2containerd-202611.01.0",
            "powerState": {"code": "Running"},
        }
        if self.error is not None:
            told["status"] = {"provisioningError": self.error}
        return {"id": f"/agentPools/{self.name}", "name": self.name, "properties": told}


class FakeCluster:
    """Pools by name. `refusals` and `failures` are consumed from the front where they match."""

    def __init__(self, now: Callable[[], datetime], seconds: float = 60.0) -> None:
        self.now = now
        self.seconds = seconds
        self.pools: dict[str, Pool] = {}
        self.refuse: Callable[[str, Json], RefusedError | None] = lambda name, properties: None
        """Asked for each PUT: what ARM answers at once."""
        self.fail: Callable[[str, Json], Json | None] = lambda name, properties: None
        """Asked at the end of each operation that needs machines: with what it fails."""
        self.delete_waits = False
        """Whether a deletion is refused while another operation is in progress."""
        self.writes: list[tuple[str, str]] = []
        """(verb, pool) of all that was taken."""
        self._etags = 0

    def foreign(self, name: str, count: int = 3, **properties: Any) -> Pool:
        """A pool that was there before."""
        whole = {"mode": "User", "vmSize": "Standard_D4s_v5", "enableAutoScaling": False}
        pool = Pool(name, {**whole, "count": count, **properties}, "Succeeded", self.now(), 0)
        self.pools[name] = pool
        self._machines(pool)
        return pool

    def all(self) -> list[Json]:
        """As listed."""
        self._settle()
        return [pool.json() for pool in self.pools.values()]

    def put(
        self, name: str, body: Json, *, if_match: str = "", if_none_match: str = ""
    ) -> tuple[int, Json]:
        """Status and body of the answer.

        Raises:
            RefusedError: it is not taken.
        """
        self._settle()
        properties = body.get("properties") or {}
        pool = self.pools.get(name)
        self._preconditions(pool, if_match, if_none_match)
        if not re.fullmatch(r"[a-z][a-z0-9]{0,11}", name):
            raise nested(400, "InvalidParameter", f"agent pool name {name} is not valid")
        if wrong := complaint(properties):
            raise nested(400, "InvalidParameter", wrong)
        self._not_in_progress(pool)
        if (refused := self.refuse(name, properties)) is not None:
            raise refused
        if pool is not None and pool.properties["vmSize"] != properties["vmSize"]:
            raise nested(
                400, "PropertyChangeNotAllowed", "Changing property 'vmSize' is not allowed."
            )
        self.writes.append(("PUT", name))
        due = self.now() + timedelta(seconds=self.seconds)
        taints = list(properties.get("nodeTaints") or ())
        if properties.get("scaleSetPriority") == "Spot" and SPOT_TAINT not in taints:
            taints.append(SPOT_TAINT)
        properties = {**properties, "nodeTaints": taints}
        properties.pop("powerState", None)
        if pool is None:
            pool = Pool(name, properties, "Creating", due, self._next())
            self.pools[name] = pool
            return 201, pool.json()
        scaling = properties["count"] != len(pool.nodes)
        pool.properties, pool.state, pool.etag = (
            properties,
            "Scaling" if scaling else "Updating",
            self._next(),
        )
        pool.due = due if scaling else self.now() + timedelta(seconds=self.seconds / 8)
        return 200, pool.json()

    def delete(self, name: str, *, if_match: str = "") -> int:
        """Status of the answer.

        Raises:
            RefusedError: it is not taken.
        """
        self._settle()
        pool = self.pools.get(name)
        if pool is None:
            return 204
        self._preconditions(pool, if_match, "")
        if self.delete_waits or pool.state == "Deleting":
            self._not_in_progress(pool)
        self.writes.append(("DELETE", name))
        pool.state, pool.etag = "Deleting", self._next()
        pool.due = self.now() + timedelta(seconds=self.seconds / 2)
        return 202

    def evict(self, name: str, machines: int = 1) -> None:
        """Azure takes spot machines back, and the pool's count stays as it was."""
        self._settle()
        del self.pools[name].nodes[:machines]

    def nodes(self, gpus: int = 1) -> list[Json]:
        """What the machines are to Kubernetes."""
        self._settle()
        return [
            {
                "metadata": {"name": name, "labels": _labels(pool)},
                "spec": {"taints": _taints(pool)},
                "status": {
                    "conditions": [{"type": "Ready", "status": "True"}],
                    "allocatable": {"nvidia.com/gpu": str(gpus)},
                },
            }
            for pool in self.pools.values()
            for name in pool.nodes
        ]

    def tagged(self, tag: str) -> dict[str, str]:
        """Pool → value of a tag, where it has that."""
        pools = self.pools.values()
        return {
            pool.name: pool.properties["tags"][tag]
            for pool in pools
            if tag in pool.properties.get("tags", {})
        }

    def _next(self) -> int:
        self._etags += 1
        return self._etags

    def _preconditions(self, pool: Pool | None, if_match: str, if_none_match: str) -> None:
        right = pool is not None and if_match.strip('"') in (f"etag-{pool.etag}", "*")
        stale = bool(if_match) and not right
        if stale or (if_none_match == "*" and pool is not None):
            raise nested(412, "PreconditionFailed", "The agent pool is not as the request says.")

    def _not_in_progress(self, pool: Pool | None) -> None:
        if pool is None or pool.state in ("Succeeded", "Failed", "Canceled"):
            return
        if pool.state == "Creating":
            text = (
                "Operation is not allowed because there's an in progress create node pool operation"
            )
            raise nested(409, "OperationNotAllowed", text)
        text = IN_PROGRESS.format(name=pool.name, state=pool.state)
        raise nested(409, "OperationNotAllowed", text)

    def _settle(self) -> None:
        """What is due is done."""
        for pool in list(self._due()):
            if pool.state == "Deleting":
                del self.pools[pool.name]
                continue
            missing = pool.properties["count"] > len(pool.nodes)
            pool.error = self.fail(pool.name, pool.properties) if missing else None
            if pool.error is None:
                self._machines(pool)
            pool.state = "Failed" if pool.error is not None else "Succeeded"
            pool.etag = self._next()

    def _due(self) -> Iterator[Pool]:
        over = ("Succeeded", "Failed", "Canceled")
        return (
            pool
            for pool in list(self.pools.values())
            if pool.state not in over and pool.due <= self.now()
        )

    def _machines(self, pool: Pool) -> None:
        count = pool.properties["count"]
        del pool.nodes[count:]
        while len(pool.nodes) < count:
            pool.machines += 1
            pool.nodes.append(f"aks-{pool.name}-vmss{pool.machines:06d}")


def _labels(pool: Pool) -> dict[str, str]:
    own = {AGENT_POOL: pool.name, "node.kubernetes.io/instance-type": pool.properties["vmSize"]}
    return {**own, **pool.properties.get("nodeLabels", {})}


def _taints(pool: Pool) -> list[dict[str, str]]:
    whole = (text.rpartition(":") for text in pool.properties.get("nodeTaints") or ())
    pairs = ((*pair.partition("="), effect) for pair, _, effect in whole)
    return [{"key": key, "value": value, "effect": effect} for key, _, value, effect in pairs]
