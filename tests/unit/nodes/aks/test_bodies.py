"""What ARM is asked for, whole, as a person reviews it; and whether Azure's SDK knows it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_operator.domain.provisioning import Offer
from finetune_operator.nodes.aks import body
from finetune_operator.nodes.aks.agent_pool import pool_name
from tests.arm.bodies import complaint
from tests.unit.golden import assert_golden
from tests.unit.nodes.aks.builders import START, aks_class
from tests.unit.nodes.builders import LARGE, LARGE_SPOT, SMALL, request

GOLDEN = Path(__file__).with_name("golden")
RESERVATION = (
    "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/capacityReservationGroups/gpus"
)
SUBNET = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v/subnets/n"
LABELS = {
    "finetune.dev/namespace": "team",
    "finetune.dev/job": "chat",
    "cost-centre": "42",
    "app.kubernetes.io/part-of": "chat",
    "example.com/team_b": "yes",
}


@pytest.mark.parametrize(
    ("name", "offer", "settings", "asked"),
    [
        ("on_demand", LARGE, {"capacityReservationGroup": RESERVATION, "vnetSubnetId": SUBNET}, {}),
        ("spot", LARGE_SPOT, {"capacityReservationGroup": RESERVATION}, {}),
        ("divided_gpu", LARGE, {"gpuInstanceProfile": "MIG3g"}, {}),
        ("cpu", SMALL, {"gpuInstanceProfile": "MIG3g"}, {"gpus_per_node": 0, "labels": LABELS}),
    ],
)
def test_a_pool_is_asked_for(
    name: str, offer: Offer, settings: dict[str, Any], asked: dict[str, Any]
) -> None:
    made = body.made(aks_class(**settings), request(**asked), offer, START)
    assert complaint(made.properties) == ""
    shown = {"metadata": {"name": made.name}, "properties": dict(made.properties)}
    assert_golden(GOLDEN / f"{name}.yaml", [shown])


@given(st.uuids(), st.text(max_size=64), st.booleans())
def test_a_name_is_one_that_azure_takes(uid: object, size: str, spot: bool) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9]{0,11}", pool_name(str(uid), Offer(size, spot)))


def test_another_offer_or_job_has_another_name() -> None:
    names = {pool_name(uid, offer) for uid in ("a", "b") for offer in (LARGE, LARGE_SPOT, SMALL)}
    assert len(names) == 6
