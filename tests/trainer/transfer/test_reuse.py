"""Finding again in a real registry what was published, and telling it from what was put there."""

from __future__ import annotations

import dataclasses
import json
import shutil
from decimal import Decimal
from pathlib import Path

import pytest

from finetune_trainer import record
from finetune_trainer.errors import (
    ConfigurationError,
    CredentialsRefusedError,
    UnavailableError,
)
from finetune_trainer.manifest import ArtifactKind, CompletionManifest, Looked, Published
from finetune_trainer.oci.index import Index, Member, pack_index
from finetune_trainer.oci.layout import pack
from finetune_trainer.oci.reference import ImageReference
from finetune_trainer.oci.registry import Registry, digest_of
from finetune_trainer.publish import publish
from finetune_trainer.recipe import Export, Gate, Metric, Recipe
from finetune_trainer.reuse import look
from finetune_trainer.workspace import Workspace
from tests.trainer.transfer.registry import RunningRegistry
from tests.trainer.transfer.test_publish import ADAPTER, RECIPE, complete, exported, exporting, to

KEY = "sha256:" + "ab" * 32
OTHER_KEY = "sha256:" + "cd" * 32


def published(
    running: RunningRegistry, name: str, folder: Path, recipe: Recipe = RECIPE
) -> tuple[str, Published]:
    """The name that it was published under, and what publishing said."""
    uri = f"oci://{running.host}/reuse/{name}:v1"
    workspace = complete(folder / "published", recipe=recipe)
    return uri, publish(recipe, uri, workspace, to(running), key=KEY)


def looked(
    running: RunningRegistry, uri: str, folder: Path, recipe: Recipe = RECIPE, key: str = KEY
) -> Looked:
    workspace = Workspace(folder / "looking")
    workspace.root.mkdir(exist_ok=True)
    found = look(recipe, uri, key, workspace, to(running))
    assert list(workspace.root.iterdir()) == [], "nothing is left behind"
    return found


def digest(running: RunningRegistry, uri: str) -> str | None:
    content = to(running).manifest(ImageReference.parse(uri))
    return None if content is None else digest_of(content)


def test_a_result_is_found_as_it_was_published(
    open_registry: RunningRegistry, tmp_path: Path
) -> None:
    uri, said = published(open_registry, "found", tmp_path)
    assert said.unrecorded == ""
    found = looked(open_registry, uri, tmp_path)
    assert found == Looked(found=said, job="ml/support")


def test_it_gets_the_names_that_the_job_asks_for(
    open_registry: RunningRegistry, tmp_path: Path
) -> None:
    recipe = exporting(Export.ADAPTER, Export.GGUF)
    uri = f"oci://{open_registry.host}/reuse/named:v1"
    workspace = exported(tmp_path / "w", recipe, ArtifactKind.GGUF)
    adapter, gguf = publish(recipe, uri, workspace, to(open_registry), key=KEY).images
    newer = uri.replace(":v1", ":v2")
    assert digest(open_registry, newer) is None
    found = looked(open_registry, newer, tmp_path, recipe)
    assert found.found is not None
    assert found.found.images == [adapter, gguf]
    assert digest(open_registry, newer) == adapter.digest
    assert digest(open_registry, f"{newer}-gguf") == gguf.digest
    fewer = looked(open_registry, uri.replace(":v1", ":v3"), tmp_path, exporting(Export.ADAPTER))
    assert fewer.found is not None
    assert fewer.found.images == [adapter]


def test_nothing_is_found_of_what_was_never_published(
    open_registry: RunningRegistry, tmp_path: Path
) -> None:
    uri, _ = published(open_registry, "other", tmp_path)
    assert looked(open_registry, uri, tmp_path, key=OTHER_KEY) == Looked()
    elsewhere = f"oci://{open_registry.host}/reuse/nowhere:v1"
    assert looked(open_registry, elsewhere, tmp_path) == Looked()


def test_an_export_that_it_lacks_is_named(open_registry: RunningRegistry, tmp_path: Path) -> None:
    uri, _ = published(open_registry, "lacks", tmp_path)
    found = looked(open_registry, uri, tmp_path, exporting(Export.ADAPTER, Export.GGUF))
    assert found.found is None
    assert found.problem.endswith("has no GGUF, which output.exports asks for")


def gated(maximum: str) -> Recipe:
    gate = Gate(metric=Metric.LOSS, maximum=Decimal(maximum))
    evaluation = RECIPE.evaluation.model_copy(update={"gates": [gate]})
    return RECIPE.model_copy(update={"evaluation": evaluation})


def test_gates_are_those_of_the_job_that_looks(
    open_registry: RunningRegistry, tmp_path: Path
) -> None:
    """What one job's gate has kept back is there for one with a lower bar, which pays nothing."""
    uri, said = published(open_registry, "gated", tmp_path, gated("1.5"))
    assert digest(open_registry, uri) is None
    strict = looked(open_registry, uri, tmp_path, gated("1.5"))
    assert strict.found == said
    assert digest(open_registry, uri) is None
    lenient = looked(open_registry, uri, tmp_path, gated("1.95"))
    assert lenient.found == said
    assert digest(open_registry, uri) == said.images[0].digest


def test_recording_again_pushes_nothing(open_registry: RunningRegistry, tmp_path: Path) -> None:
    published(open_registry, "again", tmp_path / "one")
    blobs = {path: path.stat().st_mtime_ns for path in open_registry.root.rglob("data")}
    published(open_registry, "again", tmp_path / "two")
    assert blobs == {path: path.stat().st_mtime_ns for path in open_registry.root.rglob("data")}


def test_leftovers_of_a_killed_publish_are_no_obstacle(
    open_registry: RunningRegistry, tmp_path: Path
) -> None:
    left = tmp_path / "published/.record/image/blobs/sha256"
    left.mkdir(parents=True)
    (left / "layer").write_bytes(b"half")
    _, said = published(open_registry, "leftovers", tmp_path)
    assert said.unrecorded == ""
    assert not (tmp_path / "published/.record").exists()


def test_what_cannot_be_recorded_is_published_all_the_same(
    open_registry: RunningRegistry, tmp_path: Path
) -> None:
    uri = f"oci://{open_registry.host}/reuse/unrecorded:v1"
    said = publish(RECIPE, uri, complete(tmp_path / "w"), to(open_registry), key="sha256:no tag")
    assert digest(open_registry, uri) == said.images[0].digest
    assert "result-no tag" in said.unrecorded


# What is there was changed by somebody.


def index_of(running: RunningRegistry, uri: str) -> Index:
    content = to(running).manifest(record.place_of(ImageReference.parse(uri), KEY))
    assert content is not None
    return Index.model_validate_json(content)


def replace(running: RunningRegistry, uri: str, index: Index, folder: Path) -> None:
    packed = pack_index(index.manifests, index.annotations, folder)
    to(running).push_index(packed, record.place_of(ImageReference.parse(uri), KEY))


def test_another_file_in_the_image(open_registry: RunningRegistry, tmp_path: Path) -> None:
    uri, _ = published(open_registry, "swapped", tmp_path)
    (tmp_path / "files").mkdir()
    files = {}
    for name, content in ADAPTER.items():
        files[name] = tmp_path / "files" / name
        files[name].write_bytes(b"poison" if name.endswith(".safetensors") else content)
    packed = pack(files, {}, tmp_path / "image")
    image = ImageReference.parse(uri)
    to(open_registry).push(packed, image.at(packed.digest))
    index = index_of(open_registry, uri)
    members = [
        each.model_copy(
            update={"digest": packed.digest, "size": size(open_registry, image, packed.digest)}
        )
        if each.annotations[record.KIND] == "Adapter"
        else each
        for each in index.manifests
    ]
    replace(open_registry, uri, index.model_copy(update={"manifests": members}), tmp_path / "index")
    found = looked(open_registry, uri, tmp_path)
    assert found.found is None
    assert "adapter_model.safetensors has SHA-256" in found.problem


def size(running: RunningRegistry, image: ImageReference, of: str) -> int:
    return len(to(running).manifest(image.at(of)) or b"")


def test_a_file_that_was_added(open_registry: RunningRegistry, tmp_path: Path) -> None:
    """completion.json says of each file what it is, and that there are no others."""
    uri, said = published(open_registry, "added", tmp_path)
    workspace = Workspace(tmp_path / "published")
    completion = CompletionManifest.model_validate_json(workspace.completion.read_bytes())
    fewer = completion.model_copy(update={"files": completion.files[1:]})
    workspace.completion.write_text(fewer.model_dump_json())
    record.write(
        KEY, said.images, workspace.completion,
        image=ImageReference.parse(uri), registry=to(open_registry), temporary=tmp_path / "t",
    )  # fmt: skip
    found = looked(open_registry, uri, tmp_path)
    assert found.found is None
    assert "training wrote (no such file)" in found.problem


def test_the_record_of_another_result(open_registry: RunningRegistry, tmp_path: Path) -> None:
    uri, _ = published(open_registry, "foreign", tmp_path)
    index = index_of(open_registry, uri)
    foreign = index.model_copy(update={"annotations": {record.KEY: OTHER_KEY}})
    replace(open_registry, uri, foreign, tmp_path / "index")
    found = looked(open_registry, uri, tmp_path)
    assert found.found is None
    assert "is the record of something else" in found.problem


def test_an_image_in_its_place(open_registry: RunningRegistry, tmp_path: Path) -> None:
    uri, said = published(open_registry, "image", tmp_path)
    image = ImageReference.parse(uri)
    to(open_registry).name(image.at(said.images[0].digest), record.place_of(image, KEY))
    found = looked(open_registry, uri, tmp_path)
    assert found.found is None
    assert "is no OCI index" in found.problem


@pytest.mark.parametrize("kind", ["Adapter", "Completion"])
def test_a_member_that_is_missing(
    open_registry: RunningRegistry, tmp_path: Path, kind: str
) -> None:
    uri, _ = published(open_registry, f"member-{kind.lower()}", tmp_path)
    index = index_of(open_registry, uri)
    left = [each for each in index.manifests if each.annotations[record.KIND] != kind]
    fewer = index.model_copy(update={"manifests": left})
    replace(open_registry, uri, fewer, tmp_path / "index")
    found = looked(open_registry, uri, tmp_path)
    assert found.found is None
    assert f"has no image of kind {kind}" in found.problem


def test_bytes_changed_in_the_registrys_storage(
    open_registry: RunningRegistry, tmp_path: Path
) -> None:
    uri, said = published(open_registry, "storage", tmp_path)
    content = to(open_registry).manifest(ImageReference.parse(uri).at(said.images[0].digest))
    layer = json.loads(content or b"")["layers"][0]["digest"].removeprefix("sha256:")
    (blob,) = open_registry.root.rglob(f"{layer}/data")
    kept = blob.read_bytes()
    blob.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
    try:
        with pytest.raises(UnavailableError):
            looked(open_registry, uri, tmp_path)
    finally:
        blob.write_bytes(kept)  # other results have the same files


def test_an_image_that_was_deleted(open_registry: RunningRegistry, tmp_path: Path) -> None:
    uri, said = published(open_registry, "deleted", tmp_path)
    algorithm, _, hexadecimal = said.images[0].digest.partition(":")
    for folder in open_registry.root.rglob(f"reuse/deleted/_manifests/revisions/{algorithm}"):
        shutil.rmtree(folder / hexadecimal)
    with pytest.raises(ConfigurationError, match="no such image"):
        looked(open_registry, uri, tmp_path)


# The registry cannot be asked.


def test_password(closed_registry: RunningRegistry, tmp_path: Path) -> None:
    uri = f"oci://{closed_registry.host}/reuse/secret:v1"
    right = closed_registry.authfile(tmp_path / "right") / ".dockerconfigjson"
    allowed = to(closed_registry, right)
    said = publish(RECIPE, uri, complete(tmp_path / "w"), allowed, key=KEY)
    with pytest.raises(CredentialsRefusedError, match="credentialsSecretRef"):
        looked(closed_registry, uri, tmp_path)
    workspace = Workspace(tmp_path / "looking")
    assert look(RECIPE, uri, KEY, workspace, allowed).found == said


def test_registry_down(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match=r"127\.0\.0\.1:9"):
        look(RECIPE, "oci://127.0.0.1:9/a/b:v1", KEY, Workspace(tmp_path), Registry())


def test_a_record_has_one_place_for_each_key() -> None:
    image = ImageReference.parse("oci://registry.example.com/a/b:v1")
    place = record.place_of(image, KEY)
    assert place == dataclasses.replace(image, tag="result-" + "ab" * 32)
    assert ImageReference.parse(place.uri) == place


def test_an_index_comes_out_the_same_every_time(tmp_path: Path) -> None:
    members = [Member(digest=KEY, size=1, annotations={"b": "1", "a": "2"})]
    one = pack_index(members, {"y": "1", "x": "2"}, tmp_path / "1")
    two = pack_index(members, {"x": "2", "y": "1"}, tmp_path / "2")
    assert one.digest == two.digest
    text = (one.layout / "blobs/sha256" / one.digest.partition(":")[2]).read_text()
    assert Index.model_validate_json(text).manifests == members
