"""Publishing to a real registry what training wrote."""

import hashlib
import json
import shutil
import subprocess
import tarfile
from decimal import Decimal
from pathlib import Path

import pytest

from finetune_trainer.errors import (
    ConfigurationError,
    CredentialsRefusedError,
    DataError,
    UnavailableError,
)
from finetune_trainer.fetch import fetch
from finetune_trainer.fetch.source import Access, Kind, Source
from finetune_trainer.manifest import (
    ArtifactKind,
    CompletionManifest,
    Evaluation,
    Exported,
    FileDigest,
)
from finetune_trainer.oci.reference import ImageReference
from finetune_trainer.oci.registry import Registry, digest_of
from finetune_trainer.publish import publish
from finetune_trainer.recipe import Export, Gate, Metric, Output, Recipe, Task
from finetune_trainer.workspace import Workspace
from tests.trainer.transfer.conftest import names
from tests.trainer.transfer.registry import RunningRegistry

ADAPTER = {
    "adapter_config.json": b"{}",
    "adapter_model.safetensors": bytes(range(256)) * 64,
    "tokenizer.json": b"{}",
    "README.md": b"# what was trained",
}

RECIPE = Recipe.model_validate(
    {
        "job": {"namespace": "ml", "name": "support", "generation": 1},
        "model": {"storageUri": "hf://owner/base"},
        "task": "Chat",
        "dataset": {"train": [{"storageUri": "pvc://data/a.jsonl"}], "format": "Auto"},
        "method": {
            "type": "LoRA",
            "lora": {"rank": 8, "alpha": 16, "dropout": 0, "targetModulesPreset": "AllLinear"},
        },
        "training": {
            "epochs": 1,
            "learningRate": 1e-4,
            "schedule": "Cosine",
            "warmupSteps": 0,
            "maxLength": 64,
            "packing": True,
            "tokensPerBatch": 64,
            "precision": "FP32",
            "seed": 1,
        },
        "compute": {"device": "CPU", "nodes": 1, "gpusPerNode": 0},
        "checkpoint": {"intervalSteps": 10, "intervalSeconds": 60, "keep": 1},
    }
)


def complete(
    root: Path, kind: ArtifactKind = ArtifactKind.ADAPTER, recipe: Recipe = RECIPE
) -> Workspace:
    """A workspace in which training is complete."""
    workspace = Workspace(root)
    folder = workspace.output / kind.value.lower()
    folder.mkdir(parents=True)
    for name, content in ADAPTER.items():
        (folder / name).write_bytes(content)
    manifest = CompletionManifest(
        job=RECIPE.job,
        attempt=2,
        kind=kind,
        base_model="hf://owner/base",
        base_model_revision="c0ffee",
        base_model_digest="sha256:" + "1" * 64,
        recipe_digest=recipe.digest(),
        dataset_digest="sha256:" + "2" * 64,
        step=10,
        total_steps=10,
        loss=1.5,
        evaluation=Evaluation(base={"Loss": "2.0000"}, tuned={"Loss": "1.9000"}),
        files=[
            FileDigest(
                path=f"{folder.name}/{name}",
                bytes=len(content),
                sha256=hashlib.sha256(content).hexdigest(),
            )
            for name, content in ADAPTER.items()
        ],
    )
    workspace.completion.write_text(manifest.model_dump_json())
    return workspace


def to(running: RunningRegistry, authfile: Path | None = None) -> Registry:
    return Registry(authfile, (running.host,))


def test_what_is_published_is_what_was_trained(
    open_registry: RunningRegistry, tmp_path: Path
) -> None:
    workspace = complete(tmp_path / "workspace")
    uri = f"oci://{open_registry.host}/adapters/support:v1"

    published = publish(RECIPE, uri, workspace, to(open_registry))

    (image,) = published.images
    found = published.uri(image)
    assert found.startswith(f"oci://{open_registry.host}/adapters/support@sha256:")
    assert image.kind is ArtifactKind.ADAPTER
    assert published.completion.step == 10
    completion = hashlib.sha256(workspace.completion.read_bytes()).hexdigest()
    assert published.completion.completion_digest == f"sha256:{completion}"
    assert names(workspace.root) == {f"output/adapter/{name}" for name in ADAPTER} | {
        "output/completion.json"
    }, "nothing of the packing is left behind"

    access = Access(Path("/nonexistent"), Path("/nonexistent"), (open_registry.host,))
    fetch(Source(found, "", Kind.MODEL), tmp_path / "again", access)
    assert {path.name: path.read_bytes() for path in (tmp_path / "again").iterdir()} == ADAPTER


def test_a_gate_that_does_not_hold_moves_no_tag(
    open_registry: RunningRegistry, tmp_path: Path
) -> None:
    uri = f"oci://{open_registry.host}/adapters/gated:v1"
    good = publish(RECIPE, uri, complete(tmp_path / "good"), to(open_registry))
    gate = Gate(metric=Metric.LOSS, maximum=Decimal("1.5"))
    evaluation = RECIPE.evaluation.model_copy(update={"gates": [gate]})
    gated = RECIPE.model_copy(update={"evaluation": evaluation})

    kept = publish(gated, uri, complete(tmp_path / "bad", recipe=gated), to(open_registry))

    (of_good,), (of_bad,) = good.images, kept.images
    assert of_good.digest != of_bad.digest
    for name, digest in ((uri, of_good.digest), (kept.uri(of_bad), of_bad.digest)):
        content = to(open_registry).manifest(ImageReference.parse(name))
        assert content is not None
        assert digest_of(content) == digest


def test_the_image_is_laid_out_as_kaito_unpacks_it(
    open_registry: RunningRegistry, tmp_path: Path
) -> None:
    workspace = complete(tmp_path / "workspace")
    uri = f"oci://{open_registry.host}/adapters/kaito:v1"
    published = publish(RECIPE, uri, workspace, to(open_registry))

    (image,) = published.images

    subprocess.run(
        ["skopeo", "copy", "--quiet", "--src-tls-verify=false",
         published.uri(image).replace("oci://", "docker://"), f"dir:{tmp_path}/pulled"],
        check=True,
    )  # fmt: skip
    manifest = json.loads((tmp_path / "pulled" / "manifest.json").read_text())
    (layer,) = manifest["layers"]
    assert layer["mediaType"] == "application/vnd.oci.image.layer.v1.tar+gzip"
    assert layer["size"] == image.bytes
    assert manifest["annotations"]["dev.finetune.job"] == "ml/support"
    assert manifest["annotations"]["dev.finetune.recipe-digest"] == RECIPE.digest()
    with tarfile.open(tmp_path / "pulled" / layer["digest"].partition(":")[2], "r:gz") as tar:
        members = {member.name: member for member in tar}
    assert set(members) == {"data"} | {f"data/{name}" for name in ADAPTER}
    assert all(member.uid == member.gid == member.mtime == 0 for member in members.values())
    assert members["data/adapter_config.json"].mode == 0o644
    assert members["data"].mode == 0o755


def test_publishing_again_gives_the_same_digest_and_pushes_nothing(
    open_registry: RunningRegistry, tmp_path: Path
) -> None:
    uri = f"oci://{open_registry.host}/adapters/again:v1"
    first = publish(RECIPE, uri, complete(tmp_path / "one"), to(open_registry))
    blobs = {path: path.stat().st_mtime_ns for path in open_registry.root.rglob("data")}
    second = publish(RECIPE, uri, complete(tmp_path / "two"), to(open_registry))
    assert first.images == second.images
    assert blobs == {path: path.stat().st_mtime_ns for path in open_registry.root.rglob("data")}


def test_a_whole_model(open_registry: RunningRegistry, tmp_path: Path) -> None:
    workspace = complete(tmp_path / "workspace", ArtifactKind.MODEL)
    uri = f"oci://{open_registry.host}/models/full:v1"
    (image,) = publish(RECIPE, uri, workspace, to(open_registry)).images
    assert image.kind is ArtifactKind.MODEL


def exported(root: Path, recipe: Recipe, *kinds: ArtifactKind) -> Workspace:
    """A workspace in which these exports are made too."""
    workspace = complete(root)
    manifest = CompletionManifest.model_validate_json(workspace.completion.read_bytes())
    files = list(manifest.files)
    for kind in kinds:
        path = workspace.output / kind.folder / "model.safetensors"
        path.parent.mkdir()
        path.write_bytes(kind.value.encode())
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        place = f"{kind.folder}/model.safetensors"
        files.append(FileDigest(path=place, bytes=path.stat().st_size, sha256=digest))
    made = manifest.model_copy(
        update={
            "recipe_digest": recipe.digest(),
            "exports": [Exported(kind=kind, figures={}) for kind in kinds],
            "files": files,
        }
    )
    workspace.completion.write_text(made.model_dump_json())
    return workspace


def exporting(*exports: Export) -> Recipe:
    return RECIPE.model_copy(update={"output": Output(exports=list(exports))})


def test_each_export_is_an_image_of_its_own(open_registry: RunningRegistry, tmp_path: Path) -> None:
    recipe = exporting(Export.GGUF, Export.ADAPTER, Export.ONNX_INT8)
    workspace = exported(tmp_path / "w", recipe, ArtifactKind.ONNX_INT8, ArtifactKind.GGUF)
    uri = f"oci://{open_registry.host}/adapters/several:v1"
    published = publish(recipe, uri, workspace, to(open_registry))
    kinds = [image.kind for image in published.images]
    assert kinds == [ArtifactKind.ADAPTER, ArtifactKind.ONNX_INT8, ArtifactKind.GGUF]
    access = Access(Path("/nonexistent"), Path("/nonexistent"), (open_registry.host,))
    for image, tag in zip(published.images, ("v1", "v1-onnx-int8", "v1-gguf"), strict=True):
        by_tag, by_digest = tmp_path / tag, tmp_path / f"{tag}-by-digest"
        named = uri.replace(":v1", f":{tag}")
        fetch(Source(named, "", Kind.MODEL), by_tag, access)
        fetch(Source(published.uri(image), "", Kind.MODEL), by_digest, access)
        assert names(by_tag) == names(by_digest)
        if image.kind is not ArtifactKind.ADAPTER:
            assert (by_tag / "model.safetensors").read_text() == image.kind


def test_what_was_trained_is_not_pushed_where_it_is_not_exported(
    open_registry: RunningRegistry, tmp_path: Path
) -> None:
    recipe = exporting(Export.MERGED)
    workspace = exported(tmp_path / "w", recipe, ArtifactKind.MERGED)
    uri = f"oci://{open_registry.host}/adapters/merged-only:v1"
    (image,) = publish(recipe, uri, workspace, to(open_registry)).images
    assert image.kind is ArtifactKind.MERGED


def test_an_export_that_is_not_made_is_not_passed_over(
    open_registry: RunningRegistry, tmp_path: Path
) -> None:
    recipe = exporting(Export.ADAPTER, Export.MERGED, Export.GGUF)
    workspace = exported(tmp_path / "w", recipe, ArtifactKind.MERGED)
    uri = f"oci://{open_registry.host}/adapters/missing:v1"
    with pytest.raises(ConfigurationError, match=r"GGUF of output\.exports is not made"):
        publish(recipe, uri, workspace, to(open_registry))


def test_password(closed_registry: RunningRegistry, tmp_path: Path) -> None:
    workspace = complete(tmp_path / "workspace")
    uri = f"oci://{closed_registry.host}/adapters/secret:v1"
    right = closed_registry.authfile(tmp_path / "right") / ".dockerconfigjson"
    wrong = closed_registry.authfile(tmp_path / "wrong", "guess") / ".dockerconfigjson"
    for authfile in (None, wrong):
        with pytest.raises(CredentialsRefusedError, match="credentialsSecretRef"):
            publish(RECIPE, uri, workspace, to(closed_registry, authfile))
    (image,) = publish(RECIPE, uri, workspace, to(closed_registry, right)).images
    assert image.bytes > 0


def test_registry_down(tmp_path: Path) -> None:
    workspace = complete(tmp_path / "workspace")
    with pytest.raises(UnavailableError, match=r"127\.0\.0\.1:9"):
        publish(RECIPE, "oci://127.0.0.1:9/a/b:v1", workspace, Registry())


def test_plain_http_is_spoken_with_listed_hosts_only(
    open_registry: RunningRegistry, tmp_path: Path
) -> None:
    uri = f"oci://{open_registry.host}/a/b:v1"
    with pytest.raises(ConfigurationError, match="insecureRegistries of the FineTuneClass"):
        publish(RECIPE, uri, complete(tmp_path / "workspace"), Registry())


@pytest.mark.parametrize("broken", ["adapter_model.safetensors", "README.md"])
def test_a_file_changed_after_training(
    open_registry: RunningRegistry, tmp_path: Path, broken: str
) -> None:
    workspace = complete(tmp_path / "workspace")
    (workspace.output / "adapter" / broken).write_bytes(b"something else")
    with pytest.raises(DataError, match=f"{broken} was changed"):
        publish(RECIPE, f"oci://{open_registry.host}/a/b:v1", workspace, to(open_registry))
    (workspace.output / "adapter" / broken).unlink()
    with pytest.raises(DataError, match=f"{broken} is missing"):
        publish(RECIPE, f"oci://{open_registry.host}/a/b:v1", workspace, to(open_registry))


def test_training_not_complete(tmp_path: Path) -> None:
    workspace = complete(tmp_path / "workspace")
    workspace.completion.unlink()
    with pytest.raises(ConfigurationError, match="not complete"):
        publish(RECIPE, "oci://127.0.0.1:9/a/b:v1", workspace, Registry())


def test_output_of_another_recipe(tmp_path: Path) -> None:
    workspace = complete(tmp_path / "workspace")
    other = RECIPE.model_copy(update={"task": Task.COMPLETION})
    with pytest.raises(ConfigurationError, match="not by this one"):
        publish(other, "oci://127.0.0.1:9/a/b:v1", workspace, Registry())


@pytest.mark.parametrize(
    "uri", ["oci://127.0.0.1:9/a/b@sha256:" + "0" * 64, "127.0.0.1:9/a/b:v1", "oci://a/b:v1"]
)
def test_a_name_that_cannot_be_published_to(tmp_path: Path, uri: str) -> None:
    with pytest.raises(ConfigurationError):
        publish(RECIPE, uri, complete(tmp_path / "workspace"), Registry())


def test_leftovers_of_a_killed_publish_are_no_obstacle(
    open_registry: RunningRegistry, tmp_path: Path
) -> None:
    workspace = complete(tmp_path / "workspace")
    shutil.copytree(workspace.output, workspace.root / ".publish" / "blobs")
    uri = f"oci://{open_registry.host}/adapters/killed:v1"
    assert publish(RECIPE, uri, workspace, to(open_registry)).images
    assert not (workspace.root / ".publish").exists()
