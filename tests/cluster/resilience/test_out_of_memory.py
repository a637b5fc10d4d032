"""A training that reaches its container's memory limit says so, and what to lower."""

from __future__ import annotations

from tests.cluster.kube import Kube, condition
from tests.cluster.resilience.jobs import Sources, finetune_job

CHANGE = {
    "spec": {
        "training": {"maxSteps": 2, "maxLength": 4096, "tokensPerBatch": 4096},
        "compute": {"podTemplate": {"resources": {"limits": {"memory": "1Gi"}}}},
    }
}


def test_the_memory_limit_is_told_with_what_to_lower(kube: Kube, sources: Sources) -> None:
    job = finetune_job("large", sources, kube.namespace, change=CHANGE)
    job["spec"]["model"]["storageUri"] = sources.wide_model
    kube.apply(job)
    ended = kube.wait_for_job("large", "Failed", deadline=300)
    failed = condition(ended, "Failed")
    assert failed["reason"] == "OutOfMemory"
    for field in ("training.tokensPerBatch", "training.maxLength", "compute.podTemplate.resources"):
        assert field in failed["message"]
    # It was training that reached it, and it was not tried again.
    attempts = ended["status"]["attempts"]
    assert (attempts["current"], attempts["failures"], attempts["disruptions"]) == (1, 1, 0)
    assert attempts["last"]["reason"] == "OutOfMemory"
    assert "DataParallel" in attempts["last"]["log"], "what it printed before it was killed"
