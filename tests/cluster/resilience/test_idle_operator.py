"""What the operator costs while it has nothing to do, with a hundred finished jobs to remember."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from finetune_trainer.oci.reference import ImageReference
from finetune_trainer.oci.registry import Registry
from tests.cluster.conftest import install
from tests.cluster.kube import Kube, Object
from tests.cluster.resilience.audit import READS, AuditLog, Event, resource
from tests.cluster.resilience.jobs import STEPS, Sources, finetune_job

pytestmark = pytest.mark.exclusive

JOBS = 100
RESYNC_SECONDS = 15
LISTS = 5
"""Of all jobs: one when it starts to watch, the others to see whether something was missed."""
MEMORY_LIMIT = 120 * 1024 * 1024
IMAGE_LIMIT = 150 * 1024 * 1024
LONG_AGO = "2026-01-01T00:00:00Z"
DIGEST = f"sha256:{'0' * 64}"
TRUE = {
    "Accepted": "Accepted",
    "Started": "Preparing",
    "Trained": "Trained",
    "Succeeded": "Succeeded",
}
FALSE = {"Reconciling": "Finished", "Stalled": "Finished"}


def succeeded(job: Object) -> Object:
    """The job with the status that the operator leaves at the end."""
    conditions = [
        {
            "type": kind,
            "status": status,
            "reason": reason,
            "message": "",
            "lastTransitionTime": LONG_AGO,
            "observedGeneration": 1,
        }
        for status, reasons in (("True", TRUE), ("False", FALSE))
        for kind, reason in reasons.items()
    ]
    status = {
        "observedGeneration": 1,
        "phase": "Succeeded",
        "conditions": conditions,
        "plan": {"device": "CPU", "nodes": 1, "gpusPerNode": 0, "strategy": "DataParallel"},
        "resolved": {"datasetDigest": DIGEST, "recipeDigest": DIGEST, "trainerImage": "trainer"},
        "progress": {
            "step": STEPS,
            "totalSteps": STEPS,
            "steps": f"{STEPS}/{STEPS}",
            "percentage": 100,
            "updatedAt": LONG_AGO,
        },
        "attempts": {"current": 1, "failures": 0, "disruptions": 0},
        "artifacts": [
            {"kind": "Adapter", "uri": f"oci://registry.local/adapter@{DIGEST}", "bytes": 1}
        ],
    }
    return {**job, "status": status}


@pytest.fixture(scope="module")
def log(
    shared_kube: Kube, operator: Kube, images: Path, sources: Sources, cluster: dict[str, Any]
) -> Iterator[AuditLog]:
    """From the start of an operator that finds a hundred finished jobs."""
    pods = [pod["metadata"]["name"] for pod in operator.items("pods")]
    operator.run("scale", "deployment", "finetune-operator", "--replicas=0")
    for pod in pods:
        operator.wait_gone("pod", pod, deadline=60)
    jobs = [
        finetune_job(f"finished-{number:03}", sources, shared_kube.namespace)
        for number in range(JOBS)
    ]
    shared_kube.apply(*jobs)
    done = {"apiVersion": "v1", "kind": "List", "items": [succeeded(job) for job in jobs]}
    shared_kube.run(
        "apply", "--server-side", "--force-conflicts", "--subresource=status", "-f", "-",
        stdin=json.dumps(done), timeout=120,
    )  # fmt: skip
    found = AuditLog(Path(cluster["auditLog"]))
    install(images, "--set", f"resyncSeconds={RESYNC_SECONDS}")
    yield found
    install(images)


def test_an_idle_operator_writes_nothing(log: AuditLog, shared_kube: Kube) -> None:
    def mine(event: Event) -> bool:
        """About this namespace or none: other tests may have left work in theirs."""
        return event.get("objectRef", {}).get("namespace") in (None, shared_kube.namespace)

    def resynced(events: list[Event]) -> bool:
        """It has listed all jobs again and again; a list of several pages counts once."""
        lists = [
            event
            for event in events
            if event["verb"] == "list"
            and resource(event) == "finetunejobs"
            and "continue=" not in event["requestURI"]
        ]
        return len(lists) >= LISTS

    events = log.wait_for(resynced, deadline=180)
    writes = [
        (event["verb"], resource(event), event.get("objectRef", {}).get("name"))
        for event in events
        if event["verb"] not in READS and mine(event)
    ]
    assert [write for write in writes if write[1] != "leases"] == []
    looks = [event for event in events if event["verb"] == "get" and mine(event)]
    assert [event for event in looks if resource(event) == "finetunejobs"] == []


def test_the_operator_fits_in_its_memory(log: AuditLog, operator: Kube) -> None:
    read = "print(open('/proc/1/status').read())"
    status = operator.run("exec", "deployment/finetune-operator", "--", "python3", "-c", read)
    resident = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert resident is not None
    assert int(resident[1]) * 1024 < MEMORY_LIMIT


def test_the_operator_is_a_small_image(operator: Kube, cluster: dict[str, Any]) -> None:
    deployment = operator.get("deployment", "finetune-operator")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    image = ImageReference.parse(f"oci://{container['image']}")
    manifest = Registry(None, (cluster["registry"],)).manifest(image)
    assert manifest is not None
    assert sum(layer["size"] for layer in json.loads(manifest)["layers"]) < IMAGE_LIMIT
