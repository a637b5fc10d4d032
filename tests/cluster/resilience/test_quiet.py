"""What is asked for again is done already, and a training job is told about in moderation."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.kube import Kube, Object
from tests.cluster.resilience.audit import READS, AuditLog, Event, at, resource
from tests.cluster.resilience.jobs import Sources, finetune_job

SECONDS_BETWEEN_WRITES = 10
LONG = {"spec": {"training": {"maxSteps": 1500}, "checkpoint": {"intervalSteps": 750}}}


@dataclass(frozen=True)
class Finished:
    """A job that trained for a while, and what the operator did for it."""

    manifest: Object
    requests: list[Event]


@pytest.fixture(scope="module")
def finished(shared_kube: Kube, sources: Sources, cluster: dict[str, Any]) -> Finished:
    log = AuditLog(Path(cluster["auditLog"]))
    manifest = finetune_job("quiet", sources, shared_kube.namespace, change=LONG)
    shared_kube.apply(manifest)
    shared_kube.wait_for_job("quiet", deadline=420)
    return Finished(manifest, log.operator())


def test_applying_the_same_again_changes_nothing(finished: Finished, shared_kube: Kube) -> None:
    before = shared_kube.get("finetunejob", "quiet")["metadata"]
    # kubectl diff exits with 1, an error here, when there is any difference.
    assert not shared_kube.run("diff", "-f", "-", stdin=json.dumps(finished.manifest))
    assert "unchanged" in shared_kube.apply(finished.manifest)
    after = shared_kube.get("finetunejob", "quiet")["metadata"]
    assert after["resourceVersion"] == before["resourceVersion"]
    assert after["generation"] == before["generation"]


def test_a_training_job_is_written_once_in_ten_seconds(
    finished: Finished, shared_kube: Kube
) -> None:
    (pod,) = shared_kube.items("pods", "finetune.dev/job=quiet,finetune.dev/role=train")
    ended = pod["status"]["containerStatuses"][0]["state"]["terminated"]
    began, over = (datetime.fromisoformat(ended[each]) for each in ("startedAt", "finishedAt"))
    writes = [
        at(event)
        for event in finished.requests
        if event["verb"] not in READS
        and resource(event) == "finetunejobs/status"
        and event["objectRef"]["name"] == "quiet"
        and began <= at(event) <= over
    ]
    # One more says that training has begun, and one falls on the edge.
    assert len(writes) <= (over - began).total_seconds() / SECONDS_BETWEEN_WRITES + 2
    assert len(writes) >= 2, "no progress was told"
