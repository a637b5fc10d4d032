"""Jobs that are real in everything but size: what they learn from, and how one asks for them."""

from __future__ import annotations

import hashlib
import json
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from finetune_trainer.oci.layout import pack
from finetune_trainer.oci.reference import ImageReference
from finetune_trainer.oci.registry import Registry
from tests.cluster.kube import Object, merge
from tests.cluster.tiny_model import write_tiny_model

STEPS = 240
INTERVAL = 20
"""Steps between checkpoints."""

WIDE = {"intermediate_size": 16384, "max_position_embeddings": 4096}
"""The model that is small on disk and large in memory: a layer of it keeps four numbers for each of
these columns of each token, which is a gigabyte for 4096 tokens."""

LEARNS = {"hidden_size": 32, "initializer_range": 0.25}
"""With smaller weights its frozen head could say nothing with certainty, and learn nothing."""


@dataclass(frozen=True)
class Sources:
    """What is trained, in the cluster's registry."""

    registry: str
    model: str
    wide_model: str
    data: str


def push_sources(registry: str, folder: Path) -> Sources:
    """The same bytes each time, so that a second run pushes nothing."""
    write_model(folder / "model", **LEARNS)
    write_model(folder / "wide-model", **WIDE)
    (folder / "data").mkdir()
    lines = (json.dumps({"text": text(number)}) for number in range(400))
    (folder / "data/train.jsonl").write_text("\n".join(lines))

    def push(name: str) -> str:
        files = {path.name: path for path in (folder / name).iterdir()}
        packed = pack(files, {}, folder / "images" / name)
        target = ImageReference.parse(f"oci://{registry}/resilience/{name}:v1")
        Registry(None, (registry,)).push(packed, target)
        return target.at(packed.digest).uri

    return Sources(registry, push("model"), push("wide-model"), push("data"))


def write_model(folder: Path, **config: Any) -> None:
    """The tiny model with other sizes, and the same random weights each time."""
    write_tiny_model(folder)
    torch.manual_seed(7)
    LlamaForCausalLM(LlamaConfig.from_pretrained(folder, **config)).save_pretrained(folder)


def text(number: int) -> str:
    """Letters without meaning, the same for the same number; a fixed 60 of them."""
    return hashlib.sha256(str(number).encode()).hexdigest()[:60]


def finetune_job(
    name: str, sources: Sources, namespace: str, *, change: Object | None = None
) -> Object:
    """LoRA in fp32 without dropout: the same recipe for every name, so the same weights too."""
    job: Object = {
        "apiVersion": "finetune.dev/v1beta1",
        "kind": "FineTuneJob",
        "metadata": {"name": name},
        "spec": {
            "model": {"storageUri": sources.model},
            "task": "Completion",
            "dataset": {"train": [{"storageUri": sources.data}], "format": "Text"},
            "method": {"type": "LoRA", "lora": {"rank": 4, "alpha": 8}},
            "training": {
                "maxSteps": STEPS,
                "maxLength": 64,
                "tokensPerBatch": 256,
                "learningRate": "1e-2",
                "precision": "FP32",
            },
            "compute": {
                "device": "CPU",
                "podTemplate": {"resources": {"requests": {"cpu": "50m", "memory": "256Mi"}}},
            },
            "checkpoint": {"intervalSteps": INTERVAL, "volumeClaim": {"size": "1Gi"}},
            "evaluation": {"metrics": ["Loss"]},
            "output": {"storageUri": f"oci://{sources.registry}/resilience/{namespace}-{name}:v1"},
        },
    }
    made: Object = merge(job, change or {})
    return made


TWO_NODES: Object = {
    "spec": {
        "compute": {"nodes": 2},
        "checkpoint": {
            "volumeClaim": {"storageClassName": "shared", "accessModes": ["ReadWriteMany"]}
        },
    }
}


def weights(job: Object, sources: Sources, folder: Path) -> bytes:
    """adapter_model.safetensors of what a job has published, by the digest in its status."""
    (artifact,) = job["status"]["artifacts"]
    image = ImageReference.parse(artifact["uri"])
    assert image.digest, artifact
    pulled = folder / job["metadata"]["name"]
    Registry(None, (sources.registry,)).pull(image, pulled)
    manifest: dict[str, Any] = json.loads((pulled / "manifest.json").read_text())
    (layer,) = manifest["layers"]
    with tarfile.open(pulled / layer["digest"].removeprefix("sha256:")) as tar:
        member = tar.extractfile("data/adapter_model.safetensors")
        assert member is not None
        return member.read()
