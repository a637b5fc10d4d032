"""What was trained once is found again in the registry, though no object knows of it."""

from __future__ import annotations

import time
from pathlib import Path

from finetune_trainer import record
from finetune_trainer.oci.reference import ImageReference
from finetune_trainer.oci.registry import Registry
from tests.cluster.kube import Kube, Object, condition, merge
from tests.cluster.resilience.jobs import Sources, finetune_job, weights

ENDS_WITHIN = 240
REUSED_WITHIN = 90
"""Model and data are fetched, and the result is found; two pods, one after the other."""


def reusable(name: str, sources: Sources, kube: Kube, **training: object) -> Object:
    change = {
        "spec": {
            "training": {"maxSteps": 2, **training},
            "output": {"storageUri": f"oci://{sources.registry}/reuse/{kube.namespace}:v1"},
        }
    }
    return finetune_job(name, sources, kube.namespace, change=change)


def jobs_of(kube: Kube, name: str, role: str) -> list[Object]:
    return kube.items("jobs", f"finetune.dev/job={name},finetune.dev/role={role}")


def reasons(kube: Kube, name: str) -> set[str]:
    return {
        each["reason"] for each in kube.items("events") if each["involvedObject"]["name"] == name
    }


def test_the_same_result_is_not_trained_twice(kube: Kube, sources: Sources, tmp_path: Path) -> None:
    kube.apply(reusable("first", sources, kube))
    first = kube.wait_for_job("first", deadline=ENDS_WITHIN)
    assert condition(first, "Trained")["reason"] == "Trained"
    kube.delete("finetunejob", "first", wait=60)

    began = time.monotonic()
    renamed = merge(reusable("second", sources, kube), {"spec": {"checkpoint": {"keep": 1}}})
    faster = reusable("third", sources, kube, learningRate="2e-2")
    kube.apply(renamed, faster)
    second = kube.wait_for_job("second", deadline=REUSED_WITHIN)
    print(f"reused after {time.monotonic() - began:.0f} s")
    print(kube.run("get", "finetunejobs"))
    print(kube.run("get", "events", "--field-selector", "involvedObject.name=second"))
    assert jobs_of(kube, "second", "train") == jobs_of(kube, "second", "publish") == []
    found = condition(second, "Trained")
    assert found["reason"] == "Reused"
    assert f"FineTuneJob {kube.namespace}/first" in found["message"]
    for member in ("artifacts", "evaluation"):
        assert second["status"][member] == first["status"][member]
    assert second["status"]["progress"]["steps"] == "2/2 (reused)"
    assert "cost" not in second["status"]
    assert "Reused" in reasons(kube, "second")

    third = kube.wait_for_job("third", deadline=ENDS_WITHIN)
    assert condition(third, "Trained")["reason"] == "Trained"
    assert weights(third, sources, tmp_path) != weights(second, sources, tmp_path)

    # Somebody puts another image in the place of the record.
    (look,) = jobs_of(kube, "second", "reuse")
    arguments = look["spec"]["template"]["spec"]["containers"][0]["args"]
    key = arguments[arguments.index("--result-key") + 1]
    other = ImageReference.parse(third["status"]["artifacts"][0]["uri"])
    registry = Registry(None, (sources.registry,))
    registry.name(other, record.place_of(other, key))
    kube.apply(reusable("fourth", sources, kube))
    fourth = kube.wait_for_job("fourth", deadline=ENDS_WITHIN)
    assert condition(fourth, "Trained")["reason"] == "Trained"
    assert "NotReused" in reasons(kube, "fourth")
    assert len(jobs_of(kube, "fourth", "train")) == 1
