"""NodeClaims as KAITO's gpu-provisioner reads them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from finetune_operator.api.provisioner import KAITO
from finetune_operator.api.reason import Reason
from finetune_operator.domain.actions import Apply, Delete
from finetune_operator.nodes import kaito
from tests.unit.golden import assert_golden
from tests.unit.nodes.builders import LARGE, SMALL, request

GOLDEN = Path(__file__).parent / "golden"
Object = dict[str, Any]


def claims(status: str = "False", message: str = "", offer: Any = LARGE) -> list[Object]:
    """Both, with a condition Ready."""
    ready = {"type": "Ready", "status": status, "message": message}
    return [
        kaito.node_claim(KAITO(), request(), offer, kaito.claim_name(request(), offer, index))
        | {"status": {"conditions": [ready]}}
        for index in range(2)
    ]


def stored(found: list[Object]) -> list[Object]:
    for number, each in enumerate(found):
        each["metadata"]["uid"] = f"uid-{number}"
    return found


def test_a_claim_for_each_node() -> None:
    found = kaito.decide(KAITO(disk_size="200Gi"), request(), [], [])
    assert (found.ready, found.held, found.offer) == (False, False, LARGE)
    assert all(isinstance(each, Apply) for each in found.actions)
    manifests = [dict(each.manifest) for each in found.actions if isinstance(each, Apply)]
    assert len(manifests) == 2
    assert_golden(GOLDEN / "node_claim.yaml", manifests[:1])


@given(st.text(min_size=1), st.integers(0, 63))
def test_names_are_those_of_agent_pools(uid: str, index: int) -> None:
    name = kaito.claim_name(request(uid=uid), LARGE, index)
    assert re.fullmatch("[a-z][a-z0-9]{0,11}", name)


def test_ready_when_every_claim_is() -> None:
    one, two = stored(claims("True"))
    assert kaito.decide(KAITO(), request(), [one, two], []).ready
    found = kaito.decide(KAITO(), request(), [one], [])
    assert not found.ready
    assert found.message == f"1 of 2 nodes of {LARGE} are ready"
    assert len(found.actions) == 1


def test_what_a_claim_waits_for_is_told() -> None:
    found = kaito.decide(KAITO(), request(), stored(claims(message="agent pool is creating")), [])
    assert found.message == f"0 of 2 nodes of {LARGE} are ready: agent pool is creating"


def test_without_capacity_the_next_type_is_asked_for_and_the_rest_given_back() -> None:
    one, two = stored(claims())
    event = {"involvedObject": {"name": one["metadata"]["name"]}, "message": "none in westus"}
    found = kaito.decide(KAITO(), request(offers=(LARGE, SMALL)), [two], [event])
    [refusal] = found.refusals
    assert (refusal.offer, refusal.reason) == (LARGE, Reason.INSUFFICIENT_CAPACITY)
    assert found.offer == SMALL
    gone = [each.name for each in found.actions if isinstance(each, Delete)]
    assert gone == [two["metadata"]["name"]]
    assert len([each for each in found.actions if isinstance(each, Apply)]) == 2


def test_without_any_capacity_nothing_is_held() -> None:
    one, two = stored(claims())
    event = {"involvedObject": {"name": one["metadata"]["name"]}, "message": "none in westus"}
    found = kaito.decide(KAITO(), request(), [two], [event])
    assert [each.name for each in found.actions if isinstance(each, Delete)] == [
        two["metadata"]["name"]
    ]
    assert (found.held, found.reason) == (True, Reason.INSUFFICIENT_CAPACITY)
    assert not kaito.decide(KAITO(), request(), [], [event]).held


def test_everything_is_given_back() -> None:
    found = kaito.decide(KAITO(), request(wanted=False), stored(claims("True")), [])
    assert found.held
    assert [each.uid for each in found.actions if isinstance(each, Delete)] == ["uid-0", "uid-1"]
    assert not kaito.decide(KAITO(), request(wanted=False), [], []).held
