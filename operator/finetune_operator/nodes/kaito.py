"""Provisioner KAITO: NodeClaims as its gpu-provisioner fulfils them, one for each node.

A NodeClaim's name becomes that of an AKS agent pool, so it is short and made from a hash. When
there is no capacity, the provisioner deletes the claim and leaves an event; the name tells which
offer it was about.
"""

import asyncio
import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from finetune_operator.api.fine_tune_class import FineTuneClass
from finetune_operator.api.provisioner import KAITO
from finetune_operator.api.reason import Reason
from finetune_operator.cluster.client import Client
from finetune_operator.domain import names
from finetune_operator.domain.actions import Action, Apply, Delete, JsonObject
from finetune_operator.domain.kinds import EVENT, NODE_CLAIM
from finetune_operator.domain.provisioning import NodeRequest, Offer, Placement, Provision, Refusal
from finetune_operator.nodes.leftovers import Leftover, objects_left
from finetune_operator.nodes.provisioner import (
    EVENTS_NAMESPACE,
    INSTANCE_TYPE,
    NO_CAPACITY,
    of_types,
    one_of,
)

REFUSED_SECONDS = 3600.0
"""As long as the API server keeps an event by default: so the same one is not read again."""
_POOL, _KAITO = "karpenter.sh/nodepool", "kaito"
"""The label of a NodeClaim that is for gpu-provisioner, and not Karpenter's own."""
_TAINT = {"key": "sku", "value": "gpu", "effect": "NoSchedule"}
_ASKED_SECONDS = 15.0


class KAITONodes:
    """NodeClaims of the job's own."""

    async def look(
        self, client: Client, its_class: FineTuneClass, request: NodeRequest
    ) -> Provision:
        """Reads the job's NodeClaims, and the events about those that were refused."""
        labels = f"{names.JOB_UID}={request.uid}"
        claims, events = await asyncio.gather(
            client.list_objects(NODE_CLAIM, labels=labels),
            client.list_objects(EVENT, EVENTS_NAMESPACE, fields=f"reason={NO_CAPACITY}"),
        )
        return decide(its_class.spec.provisioner.kaito or KAITO(), request, claims, events)

    async def leftovers(self, client: Client, its_class: FineTuneClass) -> list[Leftover]:
        """NodeClaims of jobs that are gone."""
        del its_class
        return await objects_left(client, NODE_CLAIM, f"{_POOL}={_KAITO}")


def decide(
    settings: KAITO,
    request: NodeRequest,
    claims: Sequence[JsonObject],
    events: Sequence[JsonObject],
) -> Provision:
    """How far the NodeClaims are, and what brings them further.

    Args:
        claims: of this job.
        events: about claims for which there was no capacity, of any job.
    """
    if not request.wanted:
        return _given_back(claims)
    refusals = _refusals(request, events)
    refused = {each.offer for each in refusals}
    left = [each for each in request.offers if each not in refused]
    whole = _alike([each for each in claims if _is_ready(each)])
    if not left and request.will_do(len(whole)):
        return replace(_as_they_are(request, whole), refusals=refusals)
    if not left:
        given_back = _given_back(claims)
        reason, message = Reason.INSUFFICIENT_CAPACITY, "no offer has capacity"
        return replace(given_back, reason=reason, message=message, refusals=refusals)
    offer = _held(request, left, claims) or left[0]
    wanted = {claim_name(request, offer, index): index for index in range(request.nodes)}
    found = {each["metadata"]["name"]: each for each in claims}
    missing = [name for name in wanted if name not in found]
    stray = [each for name, each in found.items() if name not in wanted]
    ready = [name for name in wanted if name in found and _is_ready(found[name])]
    actions: list[Action] = [Apply(node_claim(settings, request, offer, each)) for each in missing]
    actions += [_delete(each) for each in stray]
    said = _said(found[name] for name in wanted if name in found)
    message = f"{len(ready)} of {request.nodes} nodes of {offer} are ready"
    return Provision(
        ready=len(ready) == request.nodes,
        held=bool(claims),
        reason=Reason.SCHEDULED if len(ready) == request.nodes else Reason.PROVISIONING,
        message=f"{message}: {said}" if said else message,
        actions=tuple(actions),
        nodes=len(ready),
        offer=offer,
        placement=_placement(request, offer),
        refusals=refusals,
        requeue_after=_ASKED_SECONDS,
    )


def _as_they_are(request: NodeRequest, ready: Sequence[JsonObject]) -> Provision:
    """With some of the nodes, where there is no capacity for more."""
    offer = Offer(_instance_type(ready[0]), spot=False)
    return Provision(
        ready=False,
        held=True,
        reason=Reason.INSUFFICIENT_CAPACITY,
        message=f"{len(ready)} of {request.nodes} nodes of {offer} are ready, and there is no more",
        nodes=len(ready),
        offer=offer,
        placement=_placement(request, offer),
        requeue_after=_ASKED_SECONDS,
    )


def _alike(claims: Sequence[JsonObject]) -> list[JsonObject]:
    """Those of the instance type that most are of: the pods of an attempt go to one."""
    usual = [name for name, _ in Counter(map(_instance_type, claims)).most_common(1)]
    return [each for each in claims if _instance_type(each) in usual]


def _placement(request: NodeRequest, offer: Offer) -> Placement:
    return Placement(
        node_selector={names.JOB_UID: request.uid},
        requirements=of_types([offer.instance_type]),
        tolerations=({**_TAINT, "operator": "Equal"},),
    )


def _instance_type(claim: JsonObject) -> str:
    """As it was asked for."""
    requirements = claim["spec"]["requirements"]
    return next(str(each["values"][0]) for each in requirements if each["key"] == INSTANCE_TYPE)


def node_claim(settings: KAITO, request: NodeRequest, offer: Offer, name: str) -> JsonObject:
    """As gpu-provisioner reads it: it takes only claims that name a workspace of KAITO's."""
    labels = {
        _POOL: _KAITO,
        "kaito.sh/workspace": request.job,
        "kaito.sh/workspacenamespace": request.namespace,
        names.MANAGED_BY: names.OPERATOR,
        names.JOB_UID: request.uid,
        **request.labels,
    }
    return {
        "apiVersion": NODE_CLAIM.api_version,
        "kind": NODE_CLAIM.name,
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "nodeClassRef": {"group": "kaito.sh", "kind": "KaitoNodeClass", "name": "default"},
            "requirements": [
                one_of(_POOL, [_KAITO]),
                *of_types([offer.instance_type]),
                one_of("kubernetes.io/os", ["linux"]),
            ],
            "resources": {"requests": {"storage": settings.disk_size}},
            "taints": [_TAINT],
        },
    }


def claim_name(request: NodeRequest, offer: Offer, index: int) -> str:
    """At most twelve lower-case letters and digits, as an agent pool's name."""
    whole = f"{request.uid}/{offer}/{index}"
    return f"ft{hashlib.sha256(whole.encode()).hexdigest()[:10]}"


def _given_back(claims: Sequence[JsonObject]) -> Provision:
    message = f"{len(claims)} NodeClaims are being removed" if claims else "no NodeClaim is left"
    reason = Reason.RELEASING if claims else Reason.RELEASED
    actions = tuple(_delete(each) for each in claims)
    return Provision(False, bool(claims), reason, message, actions)


def _refusals(request: NodeRequest, events: Sequence[JsonObject]) -> tuple[Refusal, ...]:
    """Of the offers that are left; one refused before is none of them until it is due."""
    said = {each["involvedObject"]["name"]: each.get("message", "") for each in events}
    found = []
    for offer in request.offers:
        about = [claim_name(request, offer, index) for index in range(request.nodes)]
        if message := next((said[name] for name in about if name in said), None):
            found.append(Refusal(offer, Reason.INSUFFICIENT_CAPACITY, message, REFUSED_SECONDS))
    return tuple(found)


def _held(
    request: NodeRequest, offers: Sequence[Offer], claims: Sequence[JsonObject]
) -> Offer | None:
    """Of what there is, the best; whatever is of another offer goes."""
    names_of = {each["metadata"]["name"] for each in claims}
    for offer in offers:
        if names_of & {claim_name(request, offer, index) for index in range(request.nodes)}:
            return offer
    return None


def _is_ready(claim: JsonObject) -> bool:
    """Its node takes pods. One that goes says that it is ready to its end."""
    if "deletionTimestamp" in claim["metadata"]:
        return False
    return _conditions(claim).get("Ready", {}).get("status") == "True"


def _conditions(claim: JsonObject) -> Mapping[str, Mapping[str, str]]:
    return {each["type"]: each for each in claim.get("status", {}).get("conditions") or ()}


def _said(claims: Iterable[JsonObject]) -> str:
    """Why the first that is not ready is not, in its own words."""
    for claim in claims:
        if not _is_ready(claim):
            for each in _conditions(claim).values():
                if each["status"] == "False" and each.get("message"):
                    return each["message"]
    return ""


def _delete(claim: JsonObject) -> Delete:
    return Delete(NODE_CLAIM, "", claim["metadata"]["name"], claim["metadata"]["uid"])
