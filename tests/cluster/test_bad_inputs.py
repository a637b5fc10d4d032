"""Every bad input ends in a reason and a message that names what to change: bad_inputs.yaml."""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from finetune_trainer.oci.layout import pack
from finetune_trainer.oci.reference import ImageReference
from finetune_trainer.oci.registry import Registry
from tests.cluster.bad_inputs import BadInput, bad_inputs, base, data_files, fill
from tests.cluster.conftest import NAMESPACE_GONE_WITHIN
from tests.cluster.kube import Kube, Object, condition, is_true, merge, restricted
from tests.cluster.tiny_model import write_tiny_model

SAID_WITHIN = 600  # s: all of them share the processors of one machine
CASES = bad_inputs()
CLUSTER_SCOPED = {"PriorityClass"}
RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
}
LOCKED = """
import http.server
class Locked(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Basic realm="locked"')
        self.end_headers()
    do_HEAD = do_POST = do_PUT = do_GET
http.server.ThreadingHTTPServer(("", 5000), Locked).serve_forever()
"""
COPY = """
import base64, json, pathlib
for path, content in json.load(open("/files/files.json")).items():
    target = pathlib.Path("/data", path)
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(base64.b64decode(content))
"""


def pod(name: str, image: str, program: str, volumes: dict[str, Object]) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,  # Python as the first process hears no SIGTERM
            "automountServiceAccountToken": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 1000,
                "fsGroup": 1000,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": name,
                    "image": image,
                    "command": ["python", "-c", program],
                    "securityContext": RESTRICTED,
                    "volumeMounts": [{"name": each, "mountPath": f"/{each}"} for each in volumes],
                }
            ],
            "volumes": [{"name": each, **source} for each, source in volumes.items()],
        },
    }


def write_data(kube: Kube, image: str) -> None:
    files = {path: base64.b64encode(content).decode() for path, content in data_files().items()}
    kube.apply(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "data"},
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "10Mi"}},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "files"},
            "data": {"files.json": json.dumps(files)},
        },
        pod(
            "data",
            image,
            COPY,
            {
                "data": {"persistentVolumeClaim": {"claimName": "data"}},
                "files": {"configMap": {"name": "files"}},
            },
        ),
    )
    kube.wait_for(
        "pod", "data", lambda item: item["status"].get("phase") == "Succeeded", deadline=180
    )


def lock_registry(kube: Kube, image: str) -> None:
    """A Service `locked`: a registry that refuses everybody."""
    kube.apply(
        pod("locked", image, LOCKED, {}),
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "locked"},
            "spec": {"selector": {"app": "locked"}, "ports": [{"port": 5000}]},
        },
    )
    kube.wait_for("pod", "locked", lambda item: is_true(item, "Ready"), deadline=120)


def push_models(registry: str, folder: Path) -> None:
    """The tiny model, and one image for each way in which it can be unfit."""
    write_tiny_model(folder)
    model = {path.name: path for path in folder.iterdir()}
    pickle, nothing, strange = (folder / name for name in ("pickle", "nothing", "strange"))
    pickle.write_bytes(b"\x80\x04.")
    nothing.write_text("nothing here")
    config = json.loads((folder / "config.json").read_text())
    strange.write_text(
        json.dumps({**config, "model_type": "strange", "architectures": ["Strange"]})
    )
    weightless = {name: path for name, path in model.items() if name != "model.safetensors"}
    images = {
        "model": model,
        "pickled": {**weightless, "pytorch_model.bin": pickle},
        "nothing": {"README.md": nothing},
        "plain": {name: path for name, path in model.items() if name != "chat_template.jinja"},
        "unknown": {**model, "config.json": strange},
    }
    client = Registry(None, (registry,))
    for name, files in images.items():
        packed = pack(files, {}, folder / "images" / name)
        client.push(packed, ImageReference.parse(f"oci://{registry}/bad-inputs/{name}:v1"))


def classes(default: Object, registry: str, locked: str) -> list[Object]:
    """FineTuneClasses that differ from `default` in what the cases are about."""
    trainer = default["spec"]["images"]["trainer"]
    insecure = [*default["spec"].get("insecureRegistries", []), locked]
    absent = f"{registry}/bad-inputs/none@sha256:{'0' * 64}"
    specs: dict[str, Object] = {
        "bad-inputs": {"images": {"trainer": trainer}},
        "bad-inputs-narrow": {
            "images": {"trainer": trainer},
            "allowed": {"registries": ["registry.example.com"], "maxNodes": 1},
        },
        "bad-inputs-image": {"images": {"trainer": absent}},
    }
    return [
        {
            "apiVersion": "finetune.dev/v1beta1",
            "kind": "FineTuneClass",
            "metadata": {"name": name},
            "spec": {**spec, "insecureRegistries": insecure},
        }
        for name, spec in specs.items()
    ]


@pytest.fixture(scope="module")
def kube(
    operator: Kube, cluster: Object, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Kube]:
    """A namespace in which every bad job has been applied."""
    kube, everywhere = Kube(f"t-bad-inputs-{os.getpid()}"), Kube("")
    registry, locked = cluster["registry"], f"locked.{kube.namespace}.svc:5000"
    default = everywhere.get("finetuneclass", "default")
    push_models(registry, tmp_path_factory.mktemp("model"))
    shared = [restricted(kube.namespace), *classes(default, registry, locked)]
    shared += [each for case in CASES for each in case.objects if each["kind"] in CLUSTER_SCOPED]
    everywhere.apply(*shared)
    try:
        image = default["spec"]["images"]["trainer"]
        write_data(kube, image)
        lock_registry(kube, image)
        for case in CASES:
            apply(kube, case, registry=registry, locked=locked)
        yield kube
    finally:
        for each in shared:
            everywhere.delete(each["kind"], each["metadata"]["name"], wait=NAMESPACE_GONE_WITHIN)


def apply(kube: Kube, case: BadInput, **places: str) -> None:
    job = {
        "apiVersion": "finetune.dev/v1beta1",
        "kind": "FineTuneJob",
        "metadata": {"name": case.name},
    }
    beside = [each for each in case.objects if each["kind"] not in CLUSTER_SCOPED]
    manifest = merge({**job, **base()}, case.change)
    kube.apply(*fill([*beside, manifest], name=case.name, **places))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.input)
def test_bad_input_is_explained(kube: Kube, case: BadInput) -> None:
    status = "False" if case.condition == "Accepted" else "True"

    def said(job: Object) -> bool:
        if case.condition != "Failed" and is_true(job, "Failed"):
            raise AssertionError(f"failed instead: {condition(job, 'Failed')}")
        found = condition(job, case.condition)
        return bool(found) and (found["status"], found["reason"]) == (status, case.reason)

    job = kube.wait_for("finetunejob", case.name, said, deadline=SAID_WITHIN)
    assert re.fullmatch(case.pattern, condition(job, case.condition)["message"], re.DOTALL)
    # What waits would hold its share of the node until the others are through.
    kube.delete("finetunejob", case.name)
