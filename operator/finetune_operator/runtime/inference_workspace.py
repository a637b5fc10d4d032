"""The reconciler of InferenceWorkspaces: look, decide, act, say so; each time anew."""

import asyncio
import logging
from collections.abc import Iterable

from pydantic import ValidationError

from finetune_operator.api.inference_revision import InferenceRevision
from finetune_operator.api.inference_workspace import InferenceWorkspace, Runtime
from finetune_operator.cluster.client import Client
from finetune_operator.cluster.errors import ForbiddenError, RefusedError
from finetune_operator.domain.actions import JsonObject
from finetune_operator.domain.inference.decide import Decision, decide, refused
from finetune_operator.domain.inference.observed import Observed, has_image_volumes
from finetune_operator.domain.inference.server import WORKSPACE
from finetune_operator.domain.kinds import (
    CONFIG_MAP,
    DEPLOYMENT,
    EVENT,
    FINE_TUNE_CLASS,
    INFERENCE_REVISION,
    INFERENCE_WORKSPACE,
    POD,
    POD_DISRUPTION_BUDGET,
    REPLICA_SET,
    SERVICE,
    Kind,
)
from finetune_operator.domain.observed import Notice, Pod
from finetune_operator.domain.views import view_notices, view_pod
from finetune_operator.runtime.acting import carry_out, say
from finetune_operator.runtime.controller import CHILDREN, Controller, Key, Watch, labelled
from finetune_operator.runtime.tools import Tools

EXPLAINED = 3
"""Waiting pods and ReplicaSets whose events are read; the others wait for the same."""

_log = logging.getLogger(__name__)


def controller(tools: Tools) -> Controller:
    """The entry for InferenceWorkspace in the table of controllers."""
    reconciler = InferenceWorkspaceReconciler(tools)
    parent = labelled(WORKSPACE)
    return Controller(
        kind=INFERENCE_WORKSPACE,
        watches=(
            *(Watch(kind, parent, CHILDREN) for kind in (DEPLOYMENT, POD)),
            Watch(INFERENCE_REVISION, _workspace_of),
            Watch(FINE_TUNE_CLASS, reconciler.workspaces_of_class),
        ),
        reconcile=reconciler.reconcile,
    )


class InferenceWorkspaceReconciler:
    """Nothing of a workspace is remembered between two calls."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._client = tools.client

    async def reconcile(self, key: Key) -> float | None:
        """Brings one workspace as far as it can come now; see runtime.controller.Reconcile."""
        live = await self._client.get(INFERENCE_WORKSPACE, *key)
        if live is None or "deletionTimestamp" in live["metadata"]:
            return None  # its children are its dependents
        try:
            workspace = InferenceWorkspace.from_stored(live)
        except ValidationError as error:
            # Only another version's schema lets this in; nothing safe can be done with it.
            _log.error("not an InferenceWorkspace that this version understands: %s", error)
            return None
        decision = await self._act(workspace)
        if decision is None:
            return None
        status = decision.status.to_dict()
        await say(self._tools, INFERENCE_WORKSPACE, live, status, decision.events)
        return decision.requeue_after

    async def _act(self, workspace: InferenceWorkspace) -> Decision | None:
        """Looks, decides and acts. None when the namespace is on its way out."""
        seen = await self._observe(workspace)
        now = self._tools.now()
        decision = decide(seen, now)
        try:
            for action in decision.actions:
                await carry_out(self._tools, action)
        except (ForbiddenError, RefusedError) as error:
            if "because it is being terminated" in error.message:
                return None
            return refused(seen, error.message, now)
        return decision

    async def _observe(self, workspace: InferenceWorkspace) -> Observed:
        """What decide() has to see of this workspace now.

        Raises:
            ApiError: something could not be read; a decision on half the facts would be wrong.
        """
        client = self._client
        namespace, name = workspace.metadata.namespace, workspace.metadata.name
        selector = f"{WORKSPACE}={name}"
        spec = workspace.spec
        its_class, revisions, children, lists, version = await asyncio.gather(
            self._tools.view.class_named(spec.class_name),
            client.list_objects(INFERENCE_REVISION, namespace),
            asyncio.gather(
                *(
                    client.get(kind, namespace, name)
                    for kind in (DEPLOYMENT, SERVICE, POD_DISRUPTION_BUDGET)
                )
            ),
            asyncio.gather(
                *(
                    _listed(client, kind, namespace, selector)
                    for kind in (CONFIG_MAP, REPLICA_SET, POD)
                )
            ),
            client.get_path("/version"),
        )
        deployment, service, disruption_budget = children
        config_maps, replica_sets, pods_found = lists
        pods = tuple(pod for each in pods_found if (pod := view_pod(each)))
        undecided = spec.runtime is Runtime.AUTO and deployment is None
        server_version = int(version["major"]), int(version["minor"].rstrip("+"))
        typed = (InferenceRevision.from_stored(each) for each in revisions)
        return Observed(
            workspace=workspace,
            finetune_class=its_class,
            revisions=tuple(
                each
                for each in typed
                if each.spec.workspace_name == name and not each.metadata.deletion_timestamp
            ),
            deployment=deployment,
            service=service,
            disruption_budget=disruption_budget,
            config_maps=tuple(config_maps),
            replica_sets=tuple(replica_sets),
            pods=pods,
            notices=await _notices(client, namespace, pods, replica_sets),
            has_gpu_nodes=undecided and await self._tools.view.has_gpu_nodes(),
            image_volumes=has_image_volumes(self._tools.settings.image_volumes, server_version),
        )

    async def workspaces_of_class(self, changed: JsonObject) -> Iterable[Key]:
        """Workspaces whose images it names."""
        name = changed["metadata"]["name"]
        return [
            Key(workspace["metadata"]["namespace"], workspace["metadata"]["name"])
            for workspace in await self._client.list_objects(INFERENCE_WORKSPACE)
            if workspace.get("spec", {}).get("className", "default") == name
        ]


async def _workspace_of(revision: JsonObject) -> Iterable[Key]:
    return [Key(revision["metadata"]["namespace"], revision["spec"]["workspaceName"])]


async def _listed(client: Client, kind: Kind, namespace: str, labels: str) -> list[JsonObject]:
    """Objects of a list, which leaves out what kind they are."""
    found = await client.list_objects(kind, namespace, labels=labels)
    return [{**each, "apiVersion": kind.api_version, "kind": kind.name} for each in found]


async def _notices(
    client: Client, namespace: str, pods: tuple[Pod, ...], replica_sets: list[JsonObject]
) -> tuple[Notice, ...]:
    """Events about what does not get on, and only about that."""
    about = [pod.uid for pod in pods if pod.phase == "Pending" and pod.deleted is None]
    about = about[:EXPLAINED]
    about += [
        each["metadata"]["uid"]
        for each in replica_sets
        if each.get("status", {}).get("replicas", 0) < each["spec"].get("replicas", 0)
    ][:EXPLAINED]
    found = await asyncio.gather(
        *(
            client.list_objects(EVENT, namespace, fields=f"involvedObject.uid={uid}")
            for uid in about
        )
    )
    return view_notices(event for events in found for event in events)
