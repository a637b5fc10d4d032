"""The judges of the storm see what they are there for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster.kube import Object
from tests.cluster.resilience.chaos.chronicle import went_back
from tests.cluster.resilience.chaos.judgement import made_twice, miscounted, trained_too_often
from tests.cluster.resilience.chaos.orphans import orphans, unused_revisions
from tests.cluster.resilience.chaos.pod_logs import PodLogs


def status(**fields: object) -> Object:
    return {
        "attempts": {"current": 2, "failures": 1, "disruptions": 0},
        "progress": {"step": 40},
        "resolved": {"datasetDigest": "a"},
        "observedGeneration": 2,
        "conditions": [{"type": "Trained", "status": "True"}],
        **fields,
    }


@pytest.mark.parametrize(
    ("after", "said"),
    [
        (status(), []),
        (status(progress={"step": 41}), []),
        (status(attempts={"current": 3, "failures": 2}, progress={"step": 20}), []),
        (status(resolved={"datasetDigest": "a", "modelRevision": "b"}), []),
        (status(progress={"step": 39}), ["step fell from 40 to 39 within an attempt"]),
        (status(attempts={"current": 2}), ["attempts.failures fell from 1 to None"]),
        (status(conditions=[]), ["Trained holds no longer"]),
        (status(observedGeneration=1), ["observedGeneration fell"]),
        (
            status(resolved={"datasetDigest": "b"}),
            ["resolved was {'datasetDigest': 'a'} and is {'datasetDigest': 'b'}"],
        ),
    ],
)
def test_a_status_that_goes_back(after: Object, said: list[str]) -> None:
    assert [*went_back(status(), after)] == said


def job(current: int, failures: int, disruptions: int, *true: str) -> Object:
    conditions = [{"type": each, "status": "True"} for each in true]
    counted = {"current": current, "failures": failures, "disruptions": disruptions}
    return {
        "metadata": {"name": "steady-0"},
        "status": {"attempts": counted, "conditions": conditions},
    }


def test_attempts_have_to_add_up() -> None:
    killed = [("steady-0", 1), ("paused-0", 1)]
    assert not [*miscounted(job(3, 1, 1, "Trained", "Succeeded"), killed)]
    assert not [*miscounted(job(1, 1, 0, "Failed"), [])]
    assert [*miscounted(job(3, 1, 0, "Trained", "Succeeded"), killed)]
    assert [*miscounted(job(3, 2, 0, "Trained", "Succeeded"), killed)]


def write_log(nodes: Path, attempt: int, text: str) -> None:
    pod = f"ns_steady-0-train-{attempt}-0-abcde_uid"
    file = nodes / "first/pod-logs" / pod / "train/0.log"
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as log:
        log.write(text)


def steps(first: int, last: int) -> str:
    return "".join(f"stdout F step {each}/300  loss 1.5\n" for each in range(first, last + 1))


@pytest.mark.parametrize(
    ("begun", "excess"), [(41, False), (56, False), (57, True), (36, False), (35, True)]
)
def test_steps_that_are_trained_twice(tmp_path: Path, begun: int, excess: bool) -> None:
    logs = PodLogs(tmp_path, "ns")
    write_log(tmp_path, 1, steps(1, 54) + "stdout F step 55/300  lo")
    logs.read()
    write_log(tmp_path, 1, "ss 1.25\n")
    write_log(tmp_path, 2, f"going on from step {begun - 1}\n{steps(begun, 60)}")
    logs.read()
    assert logs.attempts("steady-0")[1].losses[55] == 1.25
    assert bool([*trained_too_often("steady-0", logs, 20)]) is excess
    logs.close()


def test_a_job_that_was_made_twice() -> None:
    made = {"objectRef": {"resource": "jobs", "name": "a-train-1"}, "responseStatus": {"code": 201}}
    again = {**made, "responseStatus": {"code": 200}}
    assert made_twice([made, again]) == {}
    assert made_twice([made, again, made]) == {"a-train-1": 2}


def test_what_is_left_over() -> None:
    def item(name: str, owner: str = "", **more: object) -> Object:
        owners = [{"uid": owner}] if owner else []
        return {"metadata": {"name": name, "uid": name, "ownerReferences": owners}, **more}

    found = {
        "persistentvolumes": [
            item("kept", spec={"claimRef": {"uid": "job"}}),
            item("forgotten", spec={"claimRef": {"uid": "gone"}}),
        ],
        "finetunejobs": [item("job", status={"published": {"revision": "one"}})],
        "inferencerevisions": [item("one"), item("two")],
        "jobs": [item("train", "job"), item("lost", "gone")],
        "pods": [item("pod", "train", status={"phase": "Running"})],
    }
    assert [*orphans(found, "serve")] == [
        "persistentvolumes/forgotten has no living owner: []",
        "jobs/lost has no living owner: [{'uid': 'gone'}]",
        "pods/pod is Running",
    ]
    assert unused_revisions(found) == {"two"}
