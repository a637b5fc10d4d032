"""kopf as a multiplexer of watches: its handlers queue keys and do nothing else.

No on.create, on.update or on.delete: those keep state of kopf's in the objects. An event that is
lost here is made good by the next one or by the resync.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import kopf

from finetune_operator.cluster.client import LIST_CHUNK, Client
from finetune_operator.cluster.errors import ApiError, NotFoundError
from finetune_operator.cluster.session import ATTEMPT_SECONDS
from finetune_operator.domain.kinds import GROUP, VERSION, Kind
from finetune_operator.runtime.controller import Watch
from finetune_operator.runtime.stateless import NoDifferences, NoMemories, NoProgress
from finetune_operator.runtime.worker import Runner

API_POLL_SECONDS = 1.0
IDLE_SECONDS = 0.05
"""How long kopf keeps a task, and the object, after its last event: by default 5 s, which are all
objects at once when the operator starts."""

_log = logging.getLogger(__name__)


async def api_is_served(client: Client, kinds: Sequence[Kind]) -> None:
    """Returns when the API server knows our own kinds; a new CRD takes it a moment."""
    wanted = {kind.plural for kind in kinds if kind.group == GROUP}
    while True:
        try:
            served = await client.get_path(f"/apis/{GROUP}/{VERSION}")
        except NotFoundError:
            served = {}
        missing = wanted - {each["name"] for each in served.get("resources", ())}
        if not missing:
            return
        _log.warning("waiting for CustomResourceDefinitions: %s", ", ".join(sorted(missing)))
        await asyncio.sleep(API_POLL_SECONDS)


def watched_kinds(runners: Sequence[Runner]) -> dict[Kind, str]:
    """Every kind that is watched, with its label selector."""
    found: dict[Kind, str] = {runner.controller.kind: "" for runner in runners}
    for runner in runners:
        for watch in runner.controller.watches:
            selector = found.setdefault(watch.kind, watch.labels)
            if selector and selector != watch.labels:
                raise ValueError(f"{watch.kind.name} is watched with two different selectors")
    return found


async def watch(
    client: Client,
    runners: Sequence[Runner],
    ready: asyncio.Event,
    take_signals: Callable[[], None],
    namespaces: Sequence[str] = (),
) -> None:
    """Watches until it is cancelled; `ready` is set when all watches were begun.

    Args:
        namespaces: only these, and nothing that is in none; empty: the whole cluster.
    """
    await api_is_served(client, list(watched_kinds(runners)))
    registry = kopf.OperatorRegistry()
    kopf.on.login(registry=registry, id="kubernetes")(_login)
    settings = kopf.OperatorSettings()
    settings.scanning.disabled = True
    settings.posting.enabled = False
    settings.peering.standalone = True
    settings.watching.chunk_size = LIST_CHUNK
    settings.networking.request_timeout = ATTEMPT_SECONDS
    settings.queueing.idle_timeout = IDLE_SECONDS
    settings.persistence.diffbase_storage = NoDifferences()
    settings.persistence.progress_storage = NoProgress()
    for kind, selector in watched_kinds(runners).items():
        if namespaces and not kind.namespaced:
            continue
        if selector:
            settings.watching.label_selectors[kopf_name(kind)] = selector
        kopf.on.event(
            group=kind.group,
            version=kind.version,
            plural=kind.plural,
            id=kind.plural,
            registry=registry,
        )(_handler(kind, runners))
    kopf_identity: Any = "finetune-operator"
    others = asyncio.all_tasks()
    tasks = await kopf.spawn_tasks(
        registry=registry,
        settings=settings,
        standalone=True,
        clusterwide=not namespaces,
        namespaces=namespaces,
        # kopf would ask for the user's name, and a container's user has none.
        identity=kopf_identity,
        memories=NoMemories(),
        ready_flag=ready,
    )
    # kopf has just taken the signals for itself, and would take seconds to end.
    take_signals()
    await kopf.run_tasks(tasks, ignored=others)


def kopf_name(kind: Kind) -> str:
    """As kopf's settings name a resource: `pods`, `jobs.batch`."""
    return f"{kind.plural}.{kind.group}" if kind.group else kind.plural


def _login(**arguments: Any) -> kopf.ConnectionInfo | None:
    return kopf.login_via_client(**arguments)


def _handler(kind: Kind, runners: Sequence[Runner]) -> Callable[..., Awaitable[None]]:
    own = [runner for runner in runners if runner.controller.kind == kind]
    others: dict[Runner, list[Watch]] = defaultdict(list)
    for runner in runners:
        others[runner] += [each for each in runner.controller.watches if each.kind == kind]

    async def handle(event: dict[str, Any], **_: Any) -> None:
        item = event["object"]
        for runner in own:
            runner.saw(event["type"], item)
        for runner, watches in others.items():
            for each in watches:
                if event["type"] == "ADDED" and not each.added:
                    continue
                try:
                    keys = await each.keys(item)
                except ApiError as error:
                    # kopf would only log it as well; the resync makes good for it.
                    _log.warning("whose business %s is: %s", item["metadata"]["name"], error)
                    continue
                listed = event["type"] is None
                for key in keys:
                    # What is listed is not news; and an object that is still to be listed itself,
                    # when the operator starts, is looked at then.
                    if not listed or runner.knows(key):
                        runner.queue.add(key, patient=listed)

    return handle
