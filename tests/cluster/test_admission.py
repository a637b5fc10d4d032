"""What the API server accepts and refuses, and in which words.

The cases are data: admission/<kind>.yaml for objects as they are created, and
admission/<kind>_changes.yaml for what may change later. They meet a copy of each CRD under a group
of its own, where no operator answers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.kube import Kube, KubectlError, Object, merge
from tests.cluster.refused_cells import refused

CRDS = Path(__file__).parents[2] / "crds"
GROUP = "admission.finetune.test"
CASES = Path(__file__).parent / "admission"
UNCHECKED = "some validation rules were not checked because the object was invalid"


def load(name: str) -> Object:
    content: Object = yaml.safe_load((CASES / name).read_text(encoding="utf-8"))
    if isinstance(content["base"], str):
        content["base"] = load(content["base"])["base"]
    content["base"]["apiVersion"] = f"{GROUP}/v1beta1"
    return content


def cases(verdict: str, *, changes: bool) -> list[Any]:
    return [
        pytest.param(file["base"], case, id=f"{file['base']['kind']}: {case['name']}")
        for path in sorted(CASES.glob("*.yaml"))
        if path.stem.endswith("_changes") is changes
        for file in [load(path.name)]
        for case in file[verdict]
    ]


def dry_run(kube: Kube, manifest: Object) -> Object:
    """The object as it would be stored."""
    answer = kube.run(
        "apply", "--dry-run=server", "-o", "json", "-f", "-", stdin=json.dumps(manifest)
    )
    stored: Object = json.loads(answer)
    return stored


def causes(stderr: str) -> str:
    """Why the API server refuses, a line each, without what names the object and kubectl."""
    for introduction in (" is invalid: ", "strict decoding error: "):
        _, found, rest = stderr.partition(introduction)
        if found:
            lines = (line.removeprefix("* ") for line in rest.strip().splitlines())
            return "\n".join(line for line in lines if line and UNCHECKED not in line)
    return stderr


def refusal(kube: Kube, manifest: Object) -> str:
    with pytest.raises(KubectlError) as refused:
        dry_run(kube, manifest)
    return causes(refused.value.stderr)


@pytest.fixture(scope="module")
def kube(cluster: Object) -> Iterator[Kube]:
    copies = []
    for path in sorted(CRDS.glob("*.yaml")):
        copy: Object = yaml.safe_load(path.read_text(encoding="utf-8"))
        copy["spec"]["group"] = GROUP
        # Names of its own: `kubectl get finetunejob` of others must not find the copy.
        kind = copy["spec"]["names"]["kind"]
        name = f"admission{kind.lower()}"
        copy["spec"]["names"] = {"kind": kind, "singular": name, "plural": f"{name}s"}
        copy["metadata"]["name"] = f"{copy['spec']['names']['plural']}.{GROUP}"
        copies.append(copy)
    everywhere = Kube("")
    names = [f"crd/{copy['metadata']['name']}" for copy in copies]
    everywhere.run("apply", "--server-side", "-f", "-", stdin=yaml.safe_dump_all(copies))
    everywhere.run("wait", "--for=condition=Established", "--timeout=30s", *names)
    yield Kube("default")
    everywhere.run("delete", "--timeout=60s", *names, timeout=90)


@pytest.mark.parametrize(("base", "case"), cases("accepted", changes=False))
def test_accepted(kube: Kube, base: Object, case: Object) -> None:
    stored = dry_run(kube, merge(base, case["change"]))
    for part, expected in case.get("stored", {}).items():
        assert merge(stored["spec"][part], expected) == stored["spec"][part]


@pytest.mark.parametrize(("base", "case"), cases("refused", changes=False))
def test_refused(kube: Kube, base: Object, case: Object) -> None:
    assert refusal(kube, merge(base, case["change"])) == case["message"].strip()


def test_every_cell_that_the_tables_refuse_is_refused(kube: Kube) -> None:
    cells = list(refused())
    base = load("finetunejob.yaml")["base"]
    jobs = [
        merge(merge(base, change), {"metadata": {"name": f"cell-{number}"}})
        for number, (_, change) in enumerate(cells)
    ]
    together = {"apiVersion": "v1", "kind": "List", "items": jobs}
    with pytest.raises(KubectlError) as raised:
        kube.run("apply", "--dry-run=server", "-f", "-", stdin=json.dumps(together), timeout=120)
    _, *parts = re.split(r'"cell-(\d+)" is invalid', raised.value.stderr)
    said = dict(zip(map(int, parts[::2]), parts[1::2], strict=True))
    unsaid = [
        (message, said.get(number, "accepted"))
        for number, (message, _) in enumerate(cells)
        if message not in said.get(number, "")
    ]
    assert unsaid == []
    assert len(cells) > 100


def test_all_that_the_least_job_does_not_say_is_written_down(kube: Kube) -> None:
    file = load("finetunejob.yaml")
    least = file["accepted"][0]
    stored = dry_run(kube, file["base"])["spec"]
    said = merge(file["base"]["spec"], least["stored"])
    assert stored == said


@pytest.fixture
def created(kube: Kube, base: Object, case: Object) -> Iterator[Object]:
    """The manifest of an object that exists and whose conditions are those of the case."""
    manifest = merge(base, {"spec": case.get("spec", {})})
    resource = f"admission{manifest['kind'].lower()}.{GROUP}"
    name = manifest["metadata"]["name"]
    kube.apply(manifest)
    if "conditions" in case:
        conditions = [
            {
                "type": kind,
                "status": status,
                "reason": "Test",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }
            for kind, status in case["conditions"].items()
        ]
        change = {"status": {"conditions": conditions}}
        kube.patch(resource, name, change, "--subresource=status")
    yield manifest
    kube.delete(resource, name, wait=30)


@pytest.mark.parametrize(("base", "case"), cases("accepted", changes=True))
def test_change_accepted(kube: Kube, created: Object, case: Object) -> None:
    dry_run(kube, merge(created, case["change"]))


@pytest.mark.parametrize(("base", "case"), cases("refused", changes=True))
def test_change_refused(kube: Kube, created: Object, case: Object) -> None:
    assert refusal(kube, merge(created, case["change"])) == case["message"].strip()
