"""What Karpenter is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from finetune_operator.api.provisioner import Karpenter, OwnNodePools
from finetune_operator.api.reason import Reason
from finetune_operator.domain.actions import Apply, Delete
from finetune_operator.domain.provisioning import Offer
from finetune_operator.nodes import karpenter
from finetune_operator.nodes.provisioner import one_of
from tests.unit.golden import assert_golden
from tests.unit.nodes.builders import LARGE, LARGE_SPOT, SMALL, UID, request

GOLDEN = Path(__file__).parent / "golden"
OWN = OwnNodePools.model_validate(
    {"nodeClassRef": {"group": "karpenter.azure.com", "kind": "AKSNodeClass", "name": "gpu"}}
)


def live(uid: str = UID) -> dict[str, Any]:
    return {"metadata": {"uid": "of-the-pool", "labels": {"finetune.dev/job-uid": uid}}}


def test_pods_say_what_they_need_and_are_left_alone() -> None:
    settings = Karpenter(node_pools=("gpu", "gpu-spot"))
    made = karpenter.placement(settings, request(offers=(LARGE_SPOT, LARGE, SMALL)))
    assert made.requirements == (
        one_of("karpenter.sh/nodepool", ["gpu", "gpu-spot"]),
        one_of("node.kubernetes.io/instance-type", [LARGE.instance_type, SMALL.instance_type]),
        one_of("karpenter.sh/capacity-type", ["spot", "on-demand"]),
    )
    assert made.annotations == {"karpenter.sh/do-not-disrupt": "true"}


def test_the_order_of_preference_is_kept() -> None:
    """Karpenter alone takes the cheapest; the last offer is what is left without preferences."""
    made = karpenter.placement(Karpenter(), request(offers=(LARGE_SPOT, LARGE, SMALL)))
    assert made.preferences == (
        (
            one_of("node.kubernetes.io/instance-type", [LARGE.instance_type]),
            one_of("karpenter.sh/capacity-type", ["spot"]),
        ),
        (
            one_of("node.kubernetes.io/instance-type", [LARGE.instance_type]),
            one_of("karpenter.sh/capacity-type", ["on-demand"]),
        ),
    )
    found = karpenter.own(OWN, request(offers=(LARGE_SPOT, LARGE)), live())
    assert len(found.placement.preferences) == 1
    anything = (Offer("", spot=True), Offer("", spot=False))
    made = karpenter.placement(Karpenter(), request(offers=anything))
    assert made.preferences == ((one_of("karpenter.sh/capacity-type", ["spot"]),),)
    assert karpenter.placement(Karpenter(), request(offers=(LARGE,))).preferences == ()


def test_a_pool_of_its_own_is_for_one_job() -> None:
    found = karpenter.own(OWN, request(offers=(LARGE_SPOT, LARGE)), None)
    assert (found.ready, found.held, found.reason) == (False, False, Reason.PROVISIONING)
    [action] = found.actions
    assert isinstance(action, Apply)
    assert_golden(GOLDEN / "node_pool.yaml", [dict(action.manifest)])


def test_a_pool_that_is_there_is_waited_for_no_longer() -> None:
    found = karpenter.own(OWN, request(), live())
    assert (found.ready, found.held, found.actions) == (True, True, ())
    pool = found.placement.node_selector["karpenter.sh/nodepool"]
    assert pool == karpenter.pool_name(request())
    [toleration] = found.placement.tolerations
    assert toleration["key"] == "finetune.dev/job-uid"


def test_what_is_wrong_with_a_pool_is_told_before_any_pod_waits_for_it() -> None:
    conditions = [
        {"type": "NodeClassReady", "status": "False", "message": "NodeClass not found on cluster"},
        {"type": "Ready", "status": "False", "message": "NodeClassReady=False"},
    ]
    found = karpenter.own(OWN, request(), live() | {"status": {"conditions": conditions}})
    assert (found.ready, found.held, found.reason) == (False, True, Reason.PROVISIONING)
    assert found.message.endswith("is not ready: NodeClassReady: NodeClass not found on cluster")


def test_a_pool_is_removed_when_nothing_is_left_to_train() -> None:
    found = karpenter.own(OWN, request(wanted=False), live())
    [action] = found.actions
    assert isinstance(action, Delete)
    assert (action.name, action.uid) == (karpenter.pool_name(request()), "of-the-pool")
    assert found.held
    assert not karpenter.own(OWN, request(wanted=False), None).held


def test_somebody_elses_pool_of_that_name_is_left_alone() -> None:
    found = karpenter.own(OWN, request(wanted=False), live(uid="another"))
    assert (found.held, found.actions) == (False, ())
    found = karpenter.own(OWN, request(), live(uid="another"))
    assert (found.ready, found.held, found.actions) == (False, False, ())
