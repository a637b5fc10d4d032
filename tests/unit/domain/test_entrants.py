"""Who stands in the line, from FineTuneJobs as the API server lists them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from finetune_operator.domain import names
from finetune_operator.domain.entrants import view_entrant, view_limits, view_priorities
from finetune_operator.domain.line import Entrant, Limits, Standing
from tests.unit.domain.in_memory import Object

THEN = "2026-11-22T10:00:00Z"


def condition(kind: str, status: str, reason: str) -> Object:
    return {"type": kind, "status": status, "reason": reason, "lastTransitionTime": THEN}


LOOKED = condition("Trained", "False", "NothingToReuse")


def stored(*conditions: Object, attempts: int = 0, **spec: object) -> Object:
    return {
        "metadata": {"namespace": "team", "name": "chat"},
        "spec": {"className": "default", "compute": {"nodes": 1, "podTemplate": {}}, **spec},
        "status": {
            "resolved": {"datasetDigest": "sha256:0"},
            "attempts": {"current": attempts},
            "conditions": [LOOKED, *conditions],
        },
    }


def view(job: Object, under_way: Standing | None = None) -> Entrant | None:
    return view_entrant(job, under_way, {"": 5, "urgent": 1000})


WAITS = condition("Admitted", "False", "WaitingForTurn")
ENDED = condition("Admitted", "False", "Preempted")


@pytest.mark.parametrize(
    ("job", "standing"),
    [
        (stored(), Standing.WAITS),
        (stored(WAITS), Standing.WAITS),
        (stored(WAITS, attempts=2), Standing.WAITS),
        (stored(condition("Admitted", "False", "Suspended"), attempts=1), Standing.WAITS),
        (stored(ENDED, attempts=1), Standing.RUNS),
        (stored(condition("Admitted", "True", "Admitted"), attempts=1), Standing.RUNS),
    ],
    ids=["new", "told to wait", "gave its turn back", "resumed", "between attempts", "starting"],
)
def test_where_a_job_without_an_attempt_under_way_stands(job: Object, standing: Standing) -> None:
    found = view(job)
    assert found is not None
    assert found.standing is standing


@pytest.mark.parametrize(
    "job",
    [
        stored(condition("Trained", "True", "Trained")),
        stored(condition("Failed", "True", "Diverged")),
        stored(suspend=True),
        stored(managedBy="kueue.x-k8s.io/multikueue"),
        stored() | {"status": {}},
        {**stored(), "metadata": {"namespace": "n", "name": "j", "deletionTimestamp": THEN}},
    ],
    ids=["trained", "failed", "suspended", "another's", "not prepared", "being deleted"],
)
def test_who_is_not_in_the_line(job: Object) -> None:
    assert view(job) is None


def test_a_suspended_job_counts_while_its_attempt_has_not_ended() -> None:
    found = view(stored(suspend=True), Standing.RUNS)
    assert found is not None
    assert found.standing is Standing.RUNS


def test_who_waits_does_so_since_it_was_told() -> None:
    told, new = view(stored(WAITS)), view(stored())
    assert told is not None
    assert told.since == datetime(2026, 11, 22, 10, tzinfo=UTC)
    assert new is not None
    assert new.since is None


def test_priority_is_the_value_of_the_class_that_the_pods_name() -> None:
    urgent = stored(compute={"podTemplate": {"priorityClassName": "urgent"}})
    found = [view(urgent), view(stored())]
    assert [each.priority for each in found if each] == [1000, 5]


def test_kueue_starts_jobs_of_several_nodes_itself() -> None:
    alone, queued = stored(compute={"nodes": 2}), stored(compute={"nodes": 2})
    queued["metadata"]["labels"] = {names.QUEUE: "research"}
    assert [each.whole for each in (view(alone), view(queued)) if each] == [True, False]


def test_limits_and_priorities_by_name() -> None:
    def named(name: str, **fields: object) -> Object:
        return {"metadata": {"name": name}, **fields}

    allowed = {"maxNodes": 2, "maxRunningJobs": 8, "maxRunningJobsPerNamespace": 2}
    classes = [named("open", spec={}), named("default", spec={"allowed": allowed})]
    assert view_limits(classes) == {"default": Limits(8, 2)}
    priorities = [named("urgent", value=1000), named("usual", value=10, globalDefault=True)]
    assert view_priorities(priorities) == {"urgent": 1000, "usual": 10, "": 10}
