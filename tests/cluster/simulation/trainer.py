"""What the trainer image's containers say when all goes well, and a job that runs them here."""

from __future__ import annotations

from finetune_trainer.manifest import (
    ArtifactKind,
    Checked,
    Evaluation,
    Fetched,
    Leaks,
    Lengths,
    Looked,
    Published,
    Pushed,
    Trained,
)
from tests.cluster.simulation.api import Object
from tests.cluster.simulation.node import End

DIGEST = "sha256:" + "0" * 64

FETCHED = Fetched(digest=DIGEST, revision="a" * 40).model_dump_json()
CHECKED = Checked(
    dataset_digest=DIGEST,
    dataset_format="OpenAIChat",
    train_examples=90,
    validation_examples=10,
    train_tokens=9000,
    supervised_tokens=4000,
    lengths=Lengths(median=90, p90=120, maximum=200, truncated=0, dropped=0),
    steps_per_epoch=100,
    total_steps=300,
    leaks=Leaks(exact=0, near=0, first=[]),
).model_dump_json()
_TRAINED = Trained(
    step=300,
    total_steps=300,
    loss=1.2,
    evaluation=Evaluation(base={"Loss": "1.84"}, tuned={"Loss": "1.12"}),
    completion_digest=DIGEST,
)
TRAINED = _TRAINED.model_dump_json()
LOOKED = Looked().model_dump_json()
PUBLISHED = Published(
    repository="oci://registry.local:5000/simulated",
    images=[Pushed(kind=ArtifactKind.ADAPTER, digest=DIGEST, bytes=1000)],
    completion=_TRAINED,
).model_dump_json()

PREEMPTED = End(13, '{"reason": "Preempted", "message": "saved a checkpoint", "step": 50}')
UNAVAILABLE = End(17, '{"reason": "Unavailable", "message": "registry does not answer"}')


def well(pod: Object) -> dict[str, End]:
    """Every container of the pod ends well."""
    spec = pod["spec"]
    ends = {each["name"]: End(0, FETCHED) for each in spec.get("initContainers", [])}
    said = {"check": CHECKED, "reuse": LOOKED, "train": TRAINED, "publish": PUBLISHED}
    return ends | {each["name"]: End(0, said[each["name"]]) for each in spec["containers"]}


def attempt_of(pod: Object) -> tuple[str, str, int]:
    """Name of the FineTuneJob, role and number."""
    labels = pod["metadata"]["labels"]
    return (
        labels["finetune.dev/job"],
        labels["finetune.dev/role"],
        int(labels["finetune.dev/attempt"]),
    )


def job(namespace: str, name: str, group: str, *, class_name: str, **spec: object) -> Object:
    """A FineTuneJob whose pods go to the simulated nodes of that group."""
    return {
        "apiVersion": "finetune.dev/v1beta1",
        "kind": "FineTuneJob",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "className": class_name,
            "model": {"storageUri": "hf://example/model"},
            "task": "Chat",
            "dataset": {"train": [{"storageUri": "file:///data/train.jsonl"}]},
            "training": {"epochs": 1, "maxLength": 128, "tokensPerBatch": 512},
            "compute": {
                "device": "CPU",
                "podTemplate": {
                    "nodeSelector": {"simulated": group},
                    "tolerations": [{"key": "simulated", "operator": "Exists"}],
                },
            },
            "checkpoint": {
                "volumeClaim": {
                    "size": "1Gi",
                    "storageClassName": "simulated",
                    "accessModes": ["ReadWriteMany"],
                }
            },
            "output": {"storageUri": "oci://registry.local:5000/simulated:v1"},
            **spec,
        },
    }


def volume(name: str) -> Object:
    """A PersistentVolume that a simulated job's claim binds to at once."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name, "labels": {"simulated": "true"}},
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce", "ReadWriteMany"],
            "storageClassName": "simulated",
            "persistentVolumeReclaimPolicy": "Retain",
            "hostPath": {"path": "/nonexistent"},
        },
    }
