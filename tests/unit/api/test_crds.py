"""What is generated is up to date, and is what an API server takes."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from finetune_operator.api.cel import RULES
from finetune_operator.api.crds import KINDS, chart_template, crd, generated, main
from finetune_operator.api.resource import Kind

ROOT = Path(__file__).parents[3]
Schema = dict[str, Any]


@pytest.mark.parametrize("path", list(generated()), ids=str)
def test_generated_files_are_up_to_date(path: Path) -> None:
    assert (ROOT / path).read_text(encoding="utf-8") == generated()[path], "run `make generate`"


def test_check_names_what_is_stale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["--check"]) == 1
    assert "crds/finetune.dev_finetunejobs.yaml: not up to date" in capsys.readouterr().out
    assert main(["--write"]) == 0
    assert main(["--check"]) == 0
    Path("crds/finetune.dev_finetunejobs.yaml").write_text("stale", encoding="utf-8")
    assert main(["--check"]) == 1


def nodes(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    for nested in ("items", "additionalProperties"):
        if nested in schema:
            yield from nodes(schema[nested], f"{path}[]")


def all_nodes(kind: type[Kind]) -> list[tuple[str, Schema]]:
    schema = crd(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return [
        (path, node)
        for path, node in nodes(schema)
        if path.startswith((".spec", ".status")) or not path
    ]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_schema_is_structural(kind: type[Kind]) -> None:
    for path, node in all_nodes(kind):
        assert "type" in node or node["x-kubernetes-int-or-string"], path
        assert not {"$ref", "$defs", "title", "const", "oneOf", "allOf"} & set(node), path
        assert node.get("default", 0) is not None, path


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_everything_a_rule_may_look_at_is_bounded(kind: type[Kind]) -> None:
    for path, node in all_nodes(kind):
        if not path.startswith(".spec"):
            continue
        if node.get("type") == "string":
            assert "maxLength" in node or "enum" in node, path
        if node.get("type") == "array":
            assert "maxItems" in node, path
        if "additionalProperties" in node:
            assert "maxProperties" in node, path
        if node.get("type") == "integer":
            assert {"minimum", "maximum"} <= set(node), path


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_field_is_described_and_every_rule_has_a_message(kind: type[Kind]) -> None:
    for path, node in all_nodes(kind):
        if not path.endswith("[]"):
            assert node["description"].endswith((".", ")")), path
        for rule in node.get(RULES, []):
            assert rule["message"], path
            assert "\n" not in rule["rule"], path


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_default_is_the_one_that_the_description_names(kind: type[Kind]) -> None:
    for path, node in all_nodes(kind):
        named = re.search(r"Default: \[?\"?([^\s\"\]]+?)\"?\]?\.$", node.get("description", ""))
        if "default" in node and node["type"] not in ("object", "array"):
            assert named, f"{path} does not say its default"
            assert str(node["default"]).lower() == named.group(1).lower(), path


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_helm_keeps_the_crd_and_finds_nothing_to_template(kind: type[Kind]) -> None:
    template = chart_template(kind)
    assert template["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert template["spec"] == crd(kind)["spec"]
    assert "{{" not in yaml.safe_dump(template)


def test_columns_a_person_wants() -> None:
    columns = {
        kind.__name__: [column.name for column in kind.resource.columns if not column.wide]
        for kind in KINDS
    }
    assert columns["FineTuneJob"] == [
        "Phase",
        "Method",
        "Steps",
        "Loss",
        "Remaining",
        "Age",
    ]
