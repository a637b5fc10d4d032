"""cleanupAfterSeconds: what a job used goes, the job stays."""

from __future__ import annotations

from tests.cluster.kube import Kube, Object, condition, is_true

ABSENT = "oci://registry.local:5000/cleanup/absent:v1"


def failing_job(name: str, **spec: object) -> Object:
    """Of two nodes, so that it has a Service too; ends while it is prepared."""
    return {
        "apiVersion": "finetune.dev/v1beta1",
        "kind": "FineTuneJob",
        "metadata": {"name": name},
        "spec": {
            "model": {"storageUri": ABSENT},
            "task": "Chat",
            "dataset": {"train": [{"storageUri": ABSENT}]},
            "compute": {"nodes": 2},
            "checkpoint": {
                "volumeClaim": {
                    "size": "1Gi",
                    "storageClassName": "shared",
                    "accessModes": ["ReadWriteMany"],
                }
            },
            "output": {"storageUri": "oci://registry.local:5000/cleanup/result:v1"},
            **spec,
        },
    }


def test_what_a_job_used_goes_and_the_job_stays(kube: Kube) -> None:
    kube.apply(failing_job("spent"))
    failed = kube.wait_for_job("spent", "Failed", deadline=240)
    assert "cleanup/absent" in condition(failed, "Failed")["message"]
    assert kube.exists("persistentvolumeclaim", "spent")

    # The one field besides suspend that may change, and it is obeyed when all is over.
    kube.patch("finetunejob", "spent", {"spec": {"cleanupAfterSeconds": 0}})
    for kind, name in (
        ("persistentvolumeclaim", "spent"),
        ("service", "spent-train"),
        ("configmap", "spent-recipe"),
        ("job", "spent-prepare-1"),
    ):
        kube.wait_gone(kind, name, deadline=120)
    kept = kube.get("finetunejob", "spent")
    assert is_true(kept, "Failed")
    assert kept["status"]["phase"] == "Failed"
