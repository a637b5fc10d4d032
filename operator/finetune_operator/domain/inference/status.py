"""What an InferenceWorkspace reports: what answers now, and what is being waited for."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from finetune_operator.api.conditions import ConditionType
from finetune_operator.api.inference_workspace import (
    InferenceWorkspace,
    InferenceWorkspaceStatus,
    RevisionTraffic,
)
from finetune_operator.api.reason import Reason
from finetune_operator.domain.actions import JsonObject
from finetune_operator.domain.conditions import set_condition
from finetune_operator.domain.inference.routing import Routing, base_of
from finetune_operator.domain.inference.server import endpoint

Status = Literal["True", "False", "Unknown"]


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether what is asked for is what answers."""

    ready: bool
    reason: Reason
    message: str
    stalled: bool = False
    """Nothing changes until a person changes something."""


def refused_status(
    workspace: InferenceWorkspace, why: Readiness, deployment: JsonObject | None, now: datetime
) -> InferenceWorkspaceStatus:
    """The status where nothing may be changed: what answered before goes on answering."""
    before = workspace.status
    conditions = _Conditions(workspace, now)
    conditions.set_readiness(why, available=_available(deployment))
    return before.model_copy(
        update={
            "observed_generation": workspace.metadata.generation,
            "conditions": conditions.found,
        }
    )


def status_of(
    workspace: InferenceWorkspace,
    routing: Routing,
    readiness: Readiness,
    deployment: JsonObject | None,
    now: datetime,
) -> InferenceWorkspaceStatus:
    """The status of a workspace whose traffic is resolved.

    `revisions` is what answers: the wanted ones once every pod is of the wanted kind, until then
    those of before.
    """
    conditions = _Conditions(workspace, now)
    conditions.set_readiness(readiness, available=_available(deployment))
    conditions.set_acceptance(routing)
    shares = {route.revision: route.percent for route in routing.routes}
    answering = workspace.status.revisions
    if readiness.ready:
        answering = tuple(
            RevisionTraffic(
                name=revision.metadata.name, percent=shares.get(revision.metadata.name, 0)
            )
            for revision in routing.served
        )
    elif readiness.reason is Reason.SWITCHED_OFF:
        answering = ()
    return InferenceWorkspaceStatus(
        observed_generation=workspace.metadata.generation,
        conditions=conditions.found,
        endpoint=endpoint(workspace.metadata.namespace, workspace.metadata.name),
        base_model=base_of(routing.model),
        revisions=answering,
    )


def rolled_out(deployment: JsonObject) -> bool:
    """Whether every pod is of the newest kind, has answered, and no other is left."""
    status, wanted = deployment.get("status", {}), deployment["spec"].get("replicas", 1)
    return bool(
        status.get("observedGeneration", 0) >= deployment["metadata"]["generation"]
        and status.get("updatedReplicas", 0) == wanted
        and status.get("availableReplicas", 0) == wanted
        and status.get("replicas", 0) == wanted
    )


def _available(deployment: JsonObject | None) -> int:
    return int((deployment or {}).get("status", {}).get("availableReplicas", 0))


class _Conditions:
    """The conditions of a workspace, set one after the other."""

    def __init__(self, workspace: InferenceWorkspace, now: datetime) -> None:
        self.found = workspace.status.conditions
        self._generation = workspace.metadata.generation
        self._now = now

    def set_readiness(self, why: Readiness, *, available: int) -> None:
        # None is wanted, as with a Deployment of 0: who waits for it would wait for ever.
        settled = why.ready or why.reason is Reason.SWITCHED_OFF
        self._set(ConditionType.READY, settled, why.reason, why.message)
        if available:
            self._set(ConditionType.AVAILABLE, True, Reason.SERVING, f"{available} pods answer.")
        else:
            message = f"No pod answers: {why.message}"
            self._set(ConditionType.AVAILABLE, False, why.reason, message)
        under_way = not settled and not why.stalled
        if under_way:
            self._set(ConditionType.RECONCILING, True, why.reason, why.message)
        else:
            self._set(ConditionType.RECONCILING, False, Reason.FINISHED, "")
        if why.stalled:
            self._set(ConditionType.STALLED, True, why.reason, why.message)
        else:
            self._set(ConditionType.STALLED, False, Reason.IN_PROGRESS, "")

    def set_acceptance(self, routing: Routing) -> None:
        base = base_of(routing.model)
        if not routing.refused:
            self._set(
                ConditionType.REVISIONS_ACCEPTED, True, Reason.SERVING, f"All are over {base}."
            )
            return
        others = "; ".join(
            f"{revision.metadata.name} is over {base_of(revision.spec.model)}"
            for revision in routing.refused
        )
        self._set(
            ConditionType.REVISIONS_ACCEPTED,
            False,
            Reason.OTHER_BASE_MODEL,
            f"This workspace serves {base}, so these do not answer: {others}. Publish them to a"
            " workspace of their own, or name one of them in spec.traffic with 100 percent to"
            " change the base model.",
        )

    def _set(self, kind: ConditionType, holds: bool, reason: Reason, message: str) -> None:
        status: Status = "True" if holds else "False"
        self.found = set_condition(
            self.found,
            kind,
            status,
            reason,
            message,
            generation=self._generation,
            now=self._now,
        )
