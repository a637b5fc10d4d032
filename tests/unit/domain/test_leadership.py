"""What a replica makes of the Lease it sees, and what it writes into it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from finetune_operator.domain.leadership import (
    LEASE_SECONDS,
    PROGRESS_URL,
    RENEW_DEADLINE_SECONDS,
    Candidate,
    absent,
    held,
    read,
    released,
)

Object = dict[str, Any]
ABSENT = absent("system", "operator")
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def stored(lease: Object, version: str = "1") -> Object:
    return lease | {"metadata": lease["metadata"] | {"resourceVersion": version}}


LED = stored(held(ABSENT, "a", "http://10.0.0.7:8090", NOON))


def test_a_standby_waits_from_when_it_saw_the_last_change() -> None:
    standby = Candidate("b").saw(read(LED), 1000)
    assert standby.saw(read(LED), 1011).free_at == 1000 + LEASE_SECONDS
    renewed = read(stored(held(LED, "a", "", NOON - timedelta(hours=1)), "2"))
    assert standby.saw(renewed, 1011).free_at == 1011 + LEASE_SECONDS, "clocks went back an hour"


def test_a_leader_counts_from_before_it_asked() -> None:
    leader = Candidate("a").wrote(read(LED), sent=5, now=9)
    assert leader.leads_until == 5 + RENEW_DEADLINE_SECONDS


def test_the_same_pod_goes_on_at_once_and_a_free_lease_is_taken_at_once() -> None:
    assert Candidate("a").saw(read(LED), 1000).free_at <= 1000
    assert Candidate("b").saw(read(stored(released(LED), "2")), 1000).free_at <= 1000
    assert Candidate("b").saw(None, 1000).free_at <= 1000


def test_a_lease_that_is_deleted_is_not_free_before_its_time() -> None:
    standby = Candidate("b").saw(read(LED), 1000).saw(None, 1001)
    assert standby.free_at == 1000 + LEASE_SECONDS


def test_the_holder_promises_how_long_to_wait() -> None:
    longer = LED | {"spec": LED["spec"] | {"leaseDurationSeconds": 60}}
    assert Candidate("b").saw(read(longer), 1000).free_at == 1060


def test_another_holder_ends_it_at_once() -> None:
    leader = Candidate("a").wrote(read(LED), sent=5, now=5)
    other = read(stored(held(stored(released(LED), "2"), "b", "", NOON), "3"))
    assert leader.saw(other, 6).leads_until < 6


def test_what_people_read_in_it() -> None:
    assert LED["spec"] == {
        "holderIdentity": "a",
        "leaseDurationSeconds": 12,
        "acquireTime": "2026-11-22T12:00:00.000000Z",
        "renewTime": "2026-11-22T12:00:00.000000Z",
        "leaseTransitions": 0,
    }
    later = held(LED, "a", "", NOON + timedelta(seconds=2))["spec"]
    assert later["acquireTime"] == LED["spec"]["acquireTime"]
    assert later["renewTime"] == "2026-11-22T12:00:02.000000Z"
    taken = held(stored(released(LED), "2"), "b", "", NOON)["spec"]
    assert (taken["holderIdentity"], taken["leaseTransitions"]) == ("b", 1)


def test_a_renewal_is_a_change_even_where_the_clock_stands_still() -> None:
    assert held(LED, "a", "http://10.0.0.7:8090", NOON) != LED


@pytest.mark.parametrize("spec", [None, {}, {"holderIdentity": None, "renewTime": None}])
def test_a_lease_that_somebody_emptied_is_free(spec: Object | None) -> None:
    emptied = {"metadata": {"name": "operator", "resourceVersion": "9"}, "spec": spec}
    assert Candidate("b").saw(read(emptied), 1000).free_at <= 1000


def test_what_others_wrote_beside_it_stays() -> None:
    labelled = LED | {"metadata": LED["metadata"] | {"labels": {"team": "ml"}, "uid": "u"}}
    metadata = held(labelled, "a", "http://10.0.0.8:8090", NOON)["metadata"]
    assert (metadata["labels"], metadata["uid"]) == ({"team": "ml"}, "u")
    assert metadata["annotations"] == {PROGRESS_URL: "http://10.0.0.8:8090"}
