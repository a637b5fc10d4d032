"""watch and parts: an operator of some namespaces, and what the cluster needs once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from finetune_operator.domain.kinds import BY_MANIFEST
from finetune_operator.runtime.given_classes import ClassesError, read_classes
from finetune_operator.runtime.settings import Settings
from tests.unit.chart.conftest import NAMESPACE, OPERATOR, TRAINER, Object, Render, only, template
from tests.unit.chart.test_deployment import container, pod

OF_THE_CLUSTER = {"CustomResourceDefinition", "ClusterRole", "ClusterRoleBinding", "FineTuneClass"}
WATCHED = {"parts": "Operator", "watch": {"namespaces": ["team-a", "team-b"], "gpuMemory": "80Gi"}}


def with_watch(**more: Any) -> dict[str, Any]:
    return {"parts": "Operator", "watch": {"namespaces": ["team-a"], **more}}


@pytest.fixture(scope="module")
def watched(render: Render) -> list[Object]:
    return render(WATCHED)


def roles(objects: list[Object], kind: str, namespace: str) -> list[Object]:
    return [
        each
        for each in objects
        if (each["kind"], each["metadata"].get("namespace")) == (kind, namespace)
    ]


def test_nothing_of_it_belongs_to_the_whole_cluster(watched: list[Object]) -> None:
    assert not {each["kind"] for each in watched} & OF_THE_CLUSTER
    assert all(each["metadata"].get("namespace") for each in watched)


@pytest.mark.parametrize("namespace", ["team-a", "team-b"])
def test_a_role_of_each_namespace_is_all_that_it_holds_there(
    watched: list[Object], objects: list[Object], namespace: str
) -> None:
    (role,) = roles(watched, "Role", namespace)
    (binding,) = roles(watched, "RoleBinding", namespace)
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert binding["subjects"] == [
        {"kind": "ServiceAccount", "name": "finetune-operator", "namespace": NAMESPACE}
    ]
    everywhere = only(objects, "ClusterRole", "finetune-operator")["rules"]
    assert [rule for rule in everywhere if rule not in role["rules"]] == [
        rule for rule in everywhere if outside_namespaces(rule)
    ]
    assert not [rule for rule in role["rules"] if outside_namespaces(rule)]


def outside_namespaces(rule: dict[str, Any]) -> bool:
    scope = {(kind.group, kind.plural): kind.namespaced for kind in BY_MANIFEST.values()}
    return not any(
        scope[group, resource.partition("/")[0]]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    )


def test_its_role_is_called_the_same_in_every_release(watched: list[Object]) -> None:
    """So Helm refuses a second release for a namespace; a cluster test sees it do so."""
    (role,) = roles(watched, "Role", "team-a")
    assert role["metadata"]["name"] == "finetune.dev:operator"


def test_the_operator_understands_what_it_is_given(watched: list[Object]) -> None:
    given = {each["name"]: each.get("value", "10.0.0.7") for each in container(watched)["env"]}
    settings = Settings.from_environment(given)
    assert settings.namespaces == ("team-a", "team-b")
    assert settings.gpu_memory == "80Gi"
    (mounted,) = (
        each["mountPath"] for each in container(watched)["volumeMounts"] if each["name"] != "tmp"
    )
    assert str(settings.classes_file) == f"{mounted}/classes.yaml"
    (volume,) = (each for each in pod(watched)["volumes"] if each["name"] != "tmp")
    assert volume["configMap"]["name"] == only(watched, "ConfigMap")["metadata"]["name"]


def classes_of(objects: list[Object], folder: Path) -> Path:
    path = folder / "classes.yaml"
    path.write_text(only(objects, "ConfigMap")["data"]["classes.yaml"])
    return path


def test_classes_are_read_from_the_file_that_the_chart_makes(
    render: Render, tmp_path: Path
) -> None:
    large = {"images": {"trainer": TRAINER}, "allowed": {"maxNodes": 8}}
    values = with_watch(classes={"large": large}) | {"class": {"allowed": {"maxNodes": 2}}}
    classes = read_classes(classes_of(render(values), tmp_path))
    assert {name: each.spec.allowed.max_nodes for name, each in classes.items()} == {
        "default": 2,
        "large": 8,
    }
    assert classes["default"].spec.images.trainer == TRAINER


def test_a_class_that_changes_starts_the_operator_anew(render: Render) -> None:
    def digest(values: dict[str, Any]) -> str:
        metadata = only(render(values), "Deployment")["spec"]["template"]["metadata"]
        return str(metadata["annotations"]["finetune.dev/classes"])

    assert digest(with_watch()) == digest(with_watch())
    assert digest(with_watch()) != digest(with_watch() | {"class": {"allowed": {"maxNodes": 2}}})


def test_what_makes_nodes_is_refused(render: Render, tmp_path: Path) -> None:
    images = {"operator": OPERATOR, "trainer": TRAINER}
    ended = template(with_watch() | {"images": images, "provisioners": ["Karpenter"]})
    assert "provisioners: they make objects of the whole cluster" in ended.stderr
    objects = render(with_watch() | {"class": {"provisioner": {"type": "Karpenter"}}})
    with pytest.raises(ClassesError, match="use Existing"):
        read_classes(classes_of(objects, tmp_path))


def test_the_kinds_come_without_an_operator_and_without_its_images() -> None:
    ended = template({"parts": "Kinds"})
    assert ended.returncode == 0, ended.stderr
    assert "kind: Deployment" not in ended.stdout
    assert ended.stdout.count("kind: CustomResourceDefinition\n") == 4


def test_whoever_installs_for_a_namespace_can_be_given_what_they_give(
    render: Render, watched: list[Object]
) -> None:
    installer = only(render({"parts": "Kinds"}), "ClusterRole", "finetune-operator-installer")
    (role,) = roles(watched, "Role", "team-a")
    assert installer["rules"] == role["rules"]


def test_without_namespaces_the_operator_has_no_file_of_classes(objects: list[Object]) -> None:
    assert not {"FINETUNE_CLASSES_FILE", "FINETUNE_WATCH_NAMESPACES"} & {
        each["name"] for each in container(objects)["env"]
    }
    assert [each["name"] for each in pod(objects)["volumes"]] == ["tmp"]
