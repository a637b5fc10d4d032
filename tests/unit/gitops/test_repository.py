"""examples/gitops: folders build, references lead somewhere, the API accepts what is made."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest
import yaml

from finetune_operator.api import GROUP
from finetune_operator.api.crds import KINDS
from tests.unit.gitops.conftest import EXAMPLE, ROOT, Object, kustomized

FOLDERS = sorted(path.parent for path in EXAMPLE.glob("**/kustomization.yaml"))
OVERLAYS = sorted((EXAMPLE / "support/overlays").iterdir())
MODELS = {kind.__name__: kind for kind in KINDS}
THIS_REPOSITORY = "https://git.example.com/platform/fine-tuning.git"
OPERATORS = "https://git.example.com/platform/finetune-operator.git"
NEVER = ("Replace=true", "Force=true", "kustomize.toolkit.fluxcd.io/force")


def name_of(path: Path) -> str:
    return str(path.relative_to(EXAMPLE))


def only(objects: list[Object], kind: str) -> Object:
    (found,) = (each for each in objects if each["kind"] == kind)
    return found


def objects_of(folder: Path) -> list[Object]:
    files = sorted(folder.glob("*.yaml"))
    return [each for file in files for each in yaml.safe_load_all(file.read_text())]


@pytest.mark.parametrize("folder", FOLDERS, ids=name_of)
def test_every_folder_builds_and_the_api_accepts_what_it_makes(folder: Path) -> None:
    made = kustomized(folder)
    assert made
    for each in made:
        if each["apiVersion"].startswith(GROUP):
            MODELS[each["kind"]].model_validate(each)


@pytest.mark.parametrize("overlay", OVERLAYS, ids=name_of)
def test_job_workspace_and_class_find_each_other(overlay: Path) -> None:
    made = kustomized(overlay)
    job, workspace = only(made, "FineTuneJob"), only(made, "InferenceWorkspace")
    namespace = only(made, "Namespace")["metadata"]
    assert {each["metadata"]["namespace"] for each in (job, workspace)} == {namespace["name"]}
    assert namespace["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert job["spec"]["publish"]["workspace"]["name"] == workspace["metadata"]["name"]
    (its_class,) = kustomized(EXAMPLE / "platform")
    assert its_class["metadata"]["name"] == job["spec"].get("className", "default")
    (allowed,) = its_class["spec"]["allowed"]["registries"]
    assert job["spec"]["output"]["storageUri"].startswith(f"oci://{allowed}/")


def test_overlays_push_to_places_of_their_own() -> None:
    pushed = [only(kustomized(each), "FineTuneJob")["spec"]["output"] for each in OVERLAYS]
    assert len({each["storageUri"] for each in pushed}) == len(OVERLAYS)


@pytest.mark.parametrize("kind", ["FineTuneClass", "InferenceWorkspace"])
def test_what_others_need_is_not_pruned(kind: str) -> None:
    made = [each for folder in FOLDERS for each in kustomized(folder) if each["kind"] == kind]
    assert made
    for each in made:
        annotations = each["metadata"]["annotations"]
        assert annotations["argocd.argoproj.io/sync-options"] == "Prune=false,Delete=false"
        assert annotations["kustomize.toolkit.fluxcd.io/prune"] == "disabled"


def test_nothing_here_trains_again_by_force_and_no_secret_is_in_git() -> None:
    for path in EXAMPLE.glob("**/*.yaml"):
        text = path.read_text()
        assert not any(each in text for each in NEVER), path
        assert "kind: Secret\n" not in text, path


def sources() -> Iterator[tuple[str, Object]]:
    """Name and source of every Application, those of the ApplicationSet with all elements."""
    for each in [*objects_of(EXAMPLE / "argo-cd"), *objects_of(EXAMPLE / "argo-cd/applications")]:
        if each["kind"] == "Application":
            yield each["metadata"]["name"], each["spec"]["source"]
            continue
        (generator,) = each["spec"]["generators"]
        for element in generator["list"]["elements"]:
            text = json.dumps(each["spec"]["template"])
            for key, value in element.items():
                text = text.replace(f"{{{{.{key}}}}}", value)
            made = json.loads(text)
            yield made["metadata"]["name"], made["spec"]["source"]


def exists(repository: str, path: str) -> bool:
    top = {THIS_REPOSITORY: EXAMPLE, OPERATORS: ROOT}[repository]
    return (top / path).is_dir()


@pytest.mark.parametrize(("name", "source"), list(sources()))
def test_an_application_leads_to_a_folder(name: str, source: Object) -> None:
    assert exists(source["repoURL"], source["path"]), name


def test_argo_applies_the_operator_first_and_the_models_last() -> None:
    found = objects_of(EXAMPLE / "argo-cd/applications")
    waves = {
        each["metadata"]["name"]: int(
            each["metadata"]["annotations"]["argocd.argoproj.io/sync-wave"]
        )
        for each in found
    }
    order = sorted(waves, key=lambda name: waves[name])
    assert order == ["finetune-operator", "finetune-platform", "support"]
    assert len(set(waves.values())) == len(waves)


def test_every_overlay_is_deployed_by_both() -> None:
    by_argo = {source["path"] for _, source in sources()}
    by_flux = {each["spec"]["path"].removeprefix("./") for each in flux("Kustomization")}
    for overlay in OVERLAYS:
        assert name_of(overlay) in by_argo
        assert name_of(overlay) in by_flux


def flux(kind: str) -> list[Object]:
    made = [*kustomized(EXAMPLE / "flux/cluster"), *kustomized(EXAMPLE / "flux/operator")]
    return [each for each in made if each["kind"] == kind]


def test_flux_finds_sources_folders_and_what_it_depends_on() -> None:
    repositories = {each["metadata"]["name"]: each["spec"]["url"] for each in flux("GitRepository")}
    names = {each["metadata"]["name"] for each in flux("Kustomization")}
    for each in flux("Kustomization"):
        spec = each["spec"]
        assert exists(repositories[spec["sourceRef"]["name"]], spec["path"]), spec["path"]
        assert {needed["name"] for needed in spec.get("dependsOn", [])} <= names
        made = {
            (part["kind"], part["metadata"].get("namespace"), part["metadata"]["name"])
            for part in kustomized(EXAMPLE / spec["path"])
        }
        for check in spec.get("healthChecks", []):
            assert (check["kind"], check["namespace"], check["name"]) in made


def test_flux_trains_in_production_only_after_staging_has_succeeded() -> None:
    found = {each["metadata"]["name"]: each["spec"] for each in flux("Kustomization")}

    def before(name: str) -> list[str]:
        needed = [each["name"] for each in found[name].get("dependsOn", [])]
        return [*needed, *(further for each in needed for further in before(each))]

    order = ["support-staging", "finetune-platform", "finetune-operator"]
    assert before("support-production") == order
    assert all(found[name]["wait"] for name in order)


def test_the_chart_takes_the_values_and_leaves_the_class_to_the_platform() -> None:
    (release,) = flux("HelmRelease")
    chart = release["spec"]["chart"]["spec"]
    repositories = {each["metadata"]["name"]: each for each in flux("GitRepository")}
    repository = repositories[chart["sourceRef"]["name"]]
    assert repository["metadata"]["namespace"] == release["metadata"]["namespace"]
    assert exists(repository["spec"]["url"], chart["chart"])
    application = dict(sources())["finetune-operator"]
    schema = json.loads((ROOT / "charts/finetune-operator/values.schema.json").read_text())
    for values in (release["spec"]["values"], application["helm"]["valuesObject"]):
        jsonschema.validate(values, schema)
        assert values["class"]["create"] is False
