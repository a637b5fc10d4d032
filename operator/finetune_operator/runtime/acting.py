"""Carries out what was decided, and then says so: what every reconciler does last."""

import logging
from collections.abc import Iterable

from finetune_operator.cluster.client import Client
from finetune_operator.domain.actions import (
    Action,
    Apply,
    Create,
    DeleteAgentPool,
    Event,
    Finalize,
    JsonObject,
    PutAgentPool,
)
from finetune_operator.domain.kinds import Kind
from finetune_operator.runtime.tools import Tools

_log = logging.getLogger(__name__)


async def carry_out(tools: Tools, action: Action) -> None:
    """One write; each may be repeated without harm, or is a conflict the second time."""
    client, agent_pools = tools.client, tools.provisioners.agent_pools
    if isinstance(action, Apply):
        await client.apply(action.manifest)
        _log.info("applied %s %s", action.manifest["kind"], action.manifest["metadata"]["name"])
    elif isinstance(action, Create):
        await create(client, action)
    elif isinstance(action, Finalize):
        await client.finalize(action)
        _log.info("finalizers are now %s", ", ".join(action.finalizers) or "none")
    elif isinstance(action, PutAgentPool):
        await agent_pools.put(action)
    elif isinstance(action, DeleteAgentPool):
        await agent_pools.delete(action)
    else:
        await client.delete(action)
        _log.info("deleted %s %s", action.kind.name, action.name)


async def create(client: Client, action: Apply | Create) -> JsonObject:
    """Makes an object that must not be there yet.

    Raises:
        ConflictError: there is one of that name.
    """
    made = await client.create(action.manifest)
    _log.info("created %s %s", action.manifest["kind"], action.manifest["metadata"]["name"])
    return made


async def say(
    tools: Tools, kind: Kind, live: JsonObject, status: JsonObject, events: Iterable[Event]
) -> JsonObject | None:
    """One status write if it changed, and only then the events. The object as it was written; None
    where nothing had changed."""
    written = await tools.client.patch_status(kind, live, _told(status))
    announce(tools, live, events)
    return written


def announce(tools: Tools, subject: JsonObject, events: Iterable[Event]) -> None:
    """Records what the stored status of an object says already."""
    for event in events:
        _log.info("%s: %s", event.reason, event.message)
        tools.recorder.record(subject, event, tools.now())


def _told(status: JsonObject) -> JsonObject:
    """Without what is empty: an object that was written before there was such a field stays as it
    is."""
    inner = {name: _told(each) if isinstance(each, dict) else each for name, each in status.items()}
    return {name: each for name, each in inner.items() if each not in ([], {})}
