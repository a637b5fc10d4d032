"""Provisioner Karpenter: nodes that it makes because pods need them.

The pods say what they need: instance types, capacity types, NodePools. Karpenter itself turns to
the next instance type where one has no capacity, and prefers spot where both ways are allowed.
NodePools of our own are made only where the class says so, because they stand beside the limits
that the platform team has set for others.
"""

from finetune_operator.api.conditions import Reason
from finetune_operator.api.fine_tune_class import FineTuneClass
from finetune_operator.api.provisioner import Karpenter, OwnNodePools
from finetune_operator.cluster.client import Client
from finetune_operator.domain import names
from finetune_operator.domain.actions import Apply, Delete, JsonObject
from finetune_operator.domain.kinds import NODE, NODE_POOL
from finetune_operator.domain.provisioning import NodeRequest, Offer, Placement, Provision
from finetune_operator.nodes.provisioner import INSTANCE_TYPE, of_types, one_of

_POOL = "karpenter.sh/nodepool"
_CAPACITY = "karpenter.sh/capacity-type"
_KEPT = {"karpenter.sh/do-not-disrupt": "true"}
"""Karpenter moves no pod that trains to a cheaper node; it would train the last minutes again."""
_EMPTY_SECONDS = 30


class KarpenterNodes:
    """NodePools that there are, or one for each job."""

    async def look(
        self, client: Client, its_class: FineTuneClass, request: NodeRequest
    ) -> Provision:
        """Nodes come with the pods: ready as soon as the job's own NodePool is there, if it is to
        have one."""
        settings = its_class.spec.provisioner.karpenter or Karpenter()
        if settings.own_node_pools is None:
            return _with_the_pods(placement(settings, request))
        live = await client.get(NODE_POOL, None, pool_name(request))
        return own(settings.own_node_pools, request, live)


def placement(settings: Karpenter, request: NodeRequest) -> Placement:
    """Of pods that may use the NodePools that there are."""
    types = [offer.instance_type for offer in request.offers if offer.instance_type]
    pools = (one_of(_POOL, settings.node_pools),) if settings.node_pools else ()
    return Placement(
        requirements=(*pools, *of_types(types), one_of(_CAPACITY, _capacity(request))),
        annotations=_KEPT,
    )


def own(settings: OwnNodePools, request: NodeRequest, live: JsonObject | None) -> Provision:
    """With a NodePool of the job's own.

    Args:
        live: what has the name of the job's NodePool.
    """
    name, place = (
        pool_name(request),
        Placement(
            node_selector={_POOL: pool_name(request)},
            tolerations=({"key": names.JOB_UID, "operator": "Exists", "effect": "NoSchedule"},),
            annotations=_KEPT,
        ),
    )
    ours = live is not None and live["metadata"].get("labels", {}).get(names.JOB_UID) == request.uid
    if not request.wanted:
        if live is None or not ours:
            return Provision(False, False, Reason.RELEASED, f"NodePool {name} is gone")
        gone = Delete(NODE_POOL, "", name, live["metadata"]["uid"])
        message = f"NodePool {name} is being removed, and its nodes with it"
        return Provision(False, True, Reason.RELEASING, message, actions=(gone,))
    if live is None or not ours or "deletionTimestamp" in live["metadata"]:
        message = f"NodePool {name} is being made"
        made = Apply(node_pool(settings, request))
        actions = (made,) if live is None else ()
        return Provision(False, ours, Reason.PROVISIONING, message, actions, requeue_after=2)
    return Provision(True, True, Reason.SCHEDULED, f"NodePool {name} is there", placement=place)


def node_pool(settings: OwnNodePools, request: NodeRequest) -> JsonObject:
    """For this job only, by a taint; its nodes go soon after the last pod."""
    labels = {names.MANAGED_BY: names.OPERATOR, names.JOB_UID: request.uid}
    types = [offer.instance_type for offer in request.offers if offer.instance_type]
    template = {
        "metadata": {"labels": {**labels, **request.labels}},
        "spec": {
            "nodeClassRef": settings.node_class_ref.to_dict(),
            "requirements": [*of_types(types), one_of(_CAPACITY, _capacity(request))],
            "taints": [{"key": names.JOB_UID, "value": request.uid, "effect": "NoSchedule"}],
            "expireAfter": "Never",
        },
    }
    return {
        "apiVersion": NODE_POOL.api_version,
        "kind": NODE_POOL.name,
        "metadata": {"name": pool_name(request), "labels": labels},
        "spec": {
            "template": template,
            "disruption": {
                "consolidationPolicy": "WhenEmpty",
                "consolidateAfter": f"{_EMPTY_SECONDS}s",
            },
        },
    }


def pool_name(request: NodeRequest) -> str:
    """A uid's first block is as good as the whole: whose it is says the label."""
    return f"finetune-{request.uid}"[:63].rstrip("-")


def _with_the_pods(place: Placement) -> Provision:
    message = "nodes come with the pods"
    return Provision(True, False, Reason.SCHEDULED, message, placement=place)


def _capacity(request: NodeRequest) -> list[str]:
    return ["spot" if offer.spot else "on-demand" for offer in request.offers] or ["on-demand"]


async def machine_of(client: Client, node: str) -> Offer | None:
    """What a node that Karpenter has made is; None if it is gone, or does not say."""
    found = await client.get(NODE, None, node)
    labels = found["metadata"].get("labels", {}) if found else {}
    instance_type = labels.get(INSTANCE_TYPE)
    return Offer(instance_type, spot=labels.get(_CAPACITY) == "spot") if instance_type else None
