"""Every manifest that README, docs and examples show is one that the API accepts.

A fenced ```yaml block holds whole objects, or a fragment that begins with `spec:` and is read as
part of a FineTuneJob. A block marked ```yaml values holds values of the chart.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from finetune_operator.api.fine_tune_class import FineTuneClass
from finetune_operator.api.fine_tune_job import FineTuneJob
from finetune_operator.api.inference_revision import InferenceRevision
from finetune_operator.api.inference_workspace import InferenceWorkspace

ROOT = Path(__file__).parents[2]
KINDS = {
    kind.__name__: kind
    for kind in (FineTuneClass, FineTuneJob, InferenceRevision, InferenceWorkspace)
}
FENCE = re.compile(r"^( *)```yaml ?(\w*)\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
MINIMAL: dict[str, Any] = {
    "apiVersion": "finetune.dev/v1beta1",
    "kind": "FineTuneJob",
    "metadata": {"name": "example"},
    "spec": {
        "model": {"storageUri": "hf://owner/name"},
        "task": "Chat",
        "dataset": {"train": [{"storageUri": "pvc://data/train.jsonl"}]},
        "output": {"storageUri": "oci://registry.example.com/adapters/example:v1"},
    },
}


def pages() -> list[Path]:
    return [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md")), *examples("*.md")]


def examples(pattern: str) -> list[Path]:
    return sorted(ROOT.glob(f"examples/**/{pattern}"))


def blocks() -> Iterator[Any]:
    for page in pages():
        text = page.read_text()
        for match in FENCE.finditer(text):
            line = text[: match.start()].count("\n") + 1
            place = f"{page.relative_to(ROOT)}:{line}"
            yield pytest.param(match.group(2), match.group(3), id=place)


def merged(base: Any, change: Any) -> Any:
    """`change` over `base`; a union's members are replaced together with its type."""
    if not isinstance(base, dict) or not isinstance(change, dict) or "type" in change:
        return change
    return base | {key: merged(base.get(key), value) for key, value in change.items()}


def accept(text: str) -> None:
    for document in yaml.safe_load_all(text):
        manifest = document if "kind" in document else merged(MINIMAL, document)
        if manifest["apiVersion"].startswith("finetune.dev/"):
            KINDS[manifest["kind"]].model_validate(manifest)


@pytest.mark.parametrize(("mark", "text"), list(blocks()))
def test_a_block_of_the_documentation_is_accepted(mark: str, text: str) -> None:
    if mark == "values":
        schema = json.loads((ROOT / "charts/finetune-operator/values.schema.json").read_text())
        jsonschema.validate(yaml.safe_load(text), schema)
    else:
        assert mark == ""
        accept(text)


@pytest.mark.parametrize("path", examples("*.yaml"), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_manifest_of_the_examples_is_accepted(path: Path) -> None:
    accept(path.read_text())


@pytest.mark.parametrize("page", pages(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_relative_link_leads_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        target, _, _ = link.partition("#")
        if target and "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
