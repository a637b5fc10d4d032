"""Speaks to Azure Resource Manager: reads a cluster's agent pools, and asks for changes.

No operation is waited for: a request is sent, and the pool's own state says later how it went.
Requests about one cluster go one after the other; what was read serves all jobs for a moment,
because Azure allows a whole subscription one reading a second.
"""

import asyncio
import json
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from azure.core import MatchConditions
from azure.core.exceptions import AzureError, HttpResponseError

from finetune_operator.domain.actions import DeleteAgentPool, ManagedCluster, PutAgentPool
from finetune_operator.nodes.aks.agent_pool import AgentPool, agent_pool
from finetune_operator.nodes.aks.errors import ArmError, parsed, pause_after
from finetune_operator.nodes.aks.identity import Session, by_workload_identity
from finetune_operator.nodes.aks.seen import Answer
from finetune_operator.nodes.aks.throttle import Throttle

FRESH_SECONDS = 5.0
"""How long what was read serves everybody."""
UNREAD_SECONDS = 60.0
"""Before what could not be read is read again, at the latest, unless ARM says how long."""
CALL_SECONDS = 25.0
"""Deadline of one request. None is tried again here: whoever asked looks again anyway."""

_log = logging.getLogger(__name__)


class AgentPoolsUnreadError(Exception):
    """Agent pools could not be read."""

    def __init__(self, error: ArmError, again: float) -> None:
        super().__init__(str(error))
        self.error = error
        self.again = again
        """Seconds before they are read again, by anybody."""


@dataclass(frozen=True, slots=True)
class _Failure:
    """To read the pools; nobody tries again before."""

    error: ArmError
    until: datetime


@dataclass(slots=True)
class _Known:
    """Of one cluster."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    pools: dict[str, AgentPool] = field(default_factory=dict)
    read: datetime | None = None
    failure: _Failure | None = None
    answers: dict[str, Answer] = field(default_factory=dict)
    throttle: Throttle = field(default_factory=Throttle)


class AgentPools:
    """All agent pools of all clusters that classes name; forgets nothing that matters when it is
    made anew."""

    def __init__(
        self,
        connect: Callable[[str], Session] = by_workload_identity,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._connect = connect
        self.now = now
        self._sessions: dict[str, Session] = {}
        self._clusters: defaultdict[ManagedCluster, _Known] = defaultdict(_Known)

    async def close(self) -> None:
        """Ends all connections."""
        sessions, self._sessions = self._sessions, {}
        for session in sessions.values():
            await session.close()

    async def look(
        self, cluster: ManagedCluster
    ) -> tuple[Sequence[AgentPool], Mapping[str, Answer]]:
        """The cluster's pools, and what ARM had against the last request about any of them.

        Raises:
            AgentPoolsUnreadError: ARM does not tell.
        """
        known = self._clusters[cluster]
        async with known.lock:
            now = self.now()
            if known.failure is not None and known.failure.until > now:
                left = (known.failure.until - now).total_seconds()
                raise AgentPoolsUnreadError(known.failure.error, left)
            if known.read is None or now - known.read >= timedelta(seconds=FRESH_SECONDS):
                known.failure = None
                error = await self._tried(cluster, lambda: self._read(cluster, known))
                if error is not None:
                    again = error.retry_after or min(pause_after(error), UNREAD_SECONDS)
                    known.failure = _Failure(error, now + timedelta(seconds=again))
                    raise AgentPoolsUnreadError(error, again)
                known.read = now
            return tuple(known.pools.values()), dict(known.answers)

    async def put(self, action: PutAgentPool) -> None:
        """Sends the request, if it is its turn. What stands against it is in the next look."""
        known = self._clusters[action.cluster]
        async with known.lock:
            wait, before = known.throttle.turn(action.name, self.now())
            if wait > 0:
                known.answers[action.name] = Answer(self.now(), _not_its_turn(wait, before))
                return
            error = await self._tried(action.cluster, lambda: self._put(action, known))
            if error is not None and error.status == 429:
                known.throttle.refused(action.name, self.now(), pause_after(error))
            else:
                known.throttle.sent(action.name, self.now())
            self._answered(known, action.name, error)

    async def delete(self, action: DeleteAgentPool) -> None:
        """Sends the request; gone already is well. What stands against it is in the next look."""
        known = self._clusters[action.cluster]
        async with known.lock:
            error = await self._tried(action.cluster, lambda: self._delete(action, known))
            if error is not None and error.status == 404:
                known.pools.pop(action.name, None)
                error = None
            self._answered(known, action.name, error)

    def _answered(self, known: _Known, name: str, error: ArmError | None) -> None:
        now = self.now()
        known.answers = {pool: each for pool, each in known.answers.items() if _holds(each, now)}
        if error is None:
            known.answers.pop(name, None)
            _log.info("agent pool %s: ARM has taken the request", name)
            return
        known.answers[name] = Answer(now, error)
        known.read = None
        _log.warning("agent pool %s: %s", name, error)

    async def _tried(
        self, cluster: ManagedCluster, call: Callable[[], Awaitable[None]]
    ) -> ArmError | None:
        """Foreign errors become ours here, and nowhere else."""
        subscription = cluster.subscription_id
        try:
            if subscription not in self._sessions:
                self._sessions[subscription] = await asyncio.to_thread(self._connect, subscription)
        except ValueError as error:
            return ArmError(401, "NoWorkloadIdentity", str(error))
        try:
            async with asyncio.timeout(CALL_SECONDS):
                await call()
        except HttpResponseError as error:
            return _from_answer(error)
        except TimeoutError:
            return ArmError(0, "Timeout", f"no answer within {CALL_SECONDS:.0f} s")
        except AzureError as error:
            return ArmError(0, type(error).__name__, str(error))
        return None

    async def _read(self, cluster: ManagedCluster, known: _Known) -> None:
        client = self._sessions[cluster.subscription_id].client
        found = client.agent_pools.list(cluster.resource_group, cluster.name)
        pools = [agent_pool(each.as_dict()) async for each in found]
        known.pools = {pool.name: pool for pool in pools}

    async def _put(self, action: PutAgentPool, known: _Known) -> None:
        from azure.mgmt.containerservice.models import AgentPool as Body  # noqa: PLC0415

        client = self._sessions[action.cluster.subscription_id].client
        condition = MatchConditions.IfNotModified if action.etag else MatchConditions.IfMissing
        poller = await client.agent_pools.begin_create_or_update(
            action.cluster.resource_group,
            action.cluster.name,
            action.name,
            Body({"properties": dict(action.properties)}),
            etag=action.etag or None,
            match_condition=condition,
            polling=False,
        )
        answer = await poller.result()
        known.pools[action.name] = agent_pool({**answer.as_dict(), "name": action.name})

    async def _delete(self, action: DeleteAgentPool, known: _Known) -> None:
        client = self._sessions[action.cluster.subscription_id].client
        await client.agent_pools.begin_delete(
            action.cluster.resource_group,
            action.cluster.name,
            action.name,
            etag=action.etag,
            match_condition=MatchConditions.IfNotModified,
            polling=False,
        )
        pool = known.pools.get(action.name)
        if pool is not None:
            going: dict[str, Any] = {**pool.properties, "provisioningState": "Deleting"}
            known.pools[action.name] = replace(pool, properties=going)


def _holds(answer: Answer, now: datetime) -> bool:
    return answer.left(now) > 0 or answer.left(now, spot=True) > 0


def _not_its_turn(wait: float, before: int) -> ArmError:
    told = f"Azure limits writes of agent pools; {before} other pools are before this one"
    return ArmError(429, "Throttled", told, retry_after=wait)


def _from_answer(error: HttpResponseError) -> ArmError:
    """Of ARM, or of whoever gives the token."""
    response: Any = error.response
    if response is None:
        return ArmError(401, type(error).__name__, error.message)
    try:
        body = json.loads(response.text())
    except ValueError:
        body = None
    if isinstance(body, dict) and isinstance(body.get("error"), str):
        # The identity provider's own envelope: {"error": "invalid_client", "error_description": …}
        return ArmError(401, body["error"], str(body.get("error_description")))
    wait = response.headers.get("Retry-After", "")
    retry_after = float(wait) if wait.isdigit() else None
    return parsed(error.status_code or 0, body, retry_after)
