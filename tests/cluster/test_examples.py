"""The API server accepts every manifest that documentation and examples show.

The unit tests check the same against the models; here the CRDs' rules (CEL) judge, too.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from tests.cluster.kube import Kube
from tests.unit.test_docs_examples import MINIMAL, ROOT, blocks, examples, merged

VERSION = MINIMAL["apiVersion"]
PAGES = [param.values[1] for param in blocks() if param.values[0] == ""]
FILES = {
    path: [each for each in yaml.safe_load_all(path.read_text()) if each["apiVersion"] == VERSION]
    for path in examples("*.yaml")
}
"""Those of ours; other projects' kinds (Flux's, Karpenter's) are unknown to this cluster."""

JOBS = [path for path, found in FILES.items() if "FineTuneJob" in {each["kind"] for each in found}]


def manifests() -> list[Any]:
    shown = [document for text in PAGES for document in yaml.safe_load_all(text)]
    made = [each if "kind" in each else merged(MINIMAL, each) for each in shown]
    ours = [each for each in made if each["apiVersion"] == VERSION]
    return ours + [each for found in FILES.values() for each in found]


def test_every_manifest_is_accepted(kube: Kube) -> None:
    found = manifests()
    assert len(found) > 8
    everything = {"apiVersion": "v1", "kind": "List", "items": found}
    kube.run("apply", "--dry-run=server", "-f", "-", stdin=json.dumps(everything), timeout=120)


@pytest.mark.parametrize("path", JOBS, ids=lambda path: str(path.relative_to(ROOT)))
def test_applying_an_example_again_changes_nothing(kube: Kube, path: Any) -> None:
    manifest = yaml.safe_load(path.read_text())
    # Suspended from the start, it makes no pod; what is compared is what the user wrote.
    manifest["spec"]["suspend"] = True
    kube.apply(manifest)
    name = manifest["metadata"]["name"]
    before = kube.get("finetunejob", name)["metadata"]
    assert "unchanged" in kube.apply(manifest)
    assert kube.run("diff", "-f", "-", stdin=json.dumps(manifest)) == ""
    assert kube.get("finetunejob", name)["metadata"]["generation"] == before["generation"]
