"""Fetching images from a real registry."""

import io
import json
import subprocess
import tarfile
from pathlib import Path

import pytest

from finetune_trainer.errors import (
    ConfigurationError,
    CredentialsRefusedError,
    UnavailableError,
)
from finetune_trainer.fetch import fetch
from finetune_trainer.fetch.source import Access, Kind, Source
from finetune_trainer.oci.layout import pack
from finetune_trainer.oci.registry import digest_of
from tests.trainer.transfer.conftest import WANTED, names, push
from tests.trainer.transfer.registry import RunningRegistry


def source(uri: str, kind: Kind = Kind.MODEL) -> Source:
    return Source(uri, "", kind)


def access(running: RunningRegistry, credentials: Path = Path("/nonexistent")) -> Access:
    return Access(credentials, Path("/nonexistent"), (running.host,))


def test_model_image_by_tag(
    open_registry: RunningRegistry, model_files: dict[str, Path], tmp_path: Path
) -> None:
    uri = push(open_registry, "models/tiny:v1", model_files, tmp_path / "layout")
    digest = uri.partition("@")[2]
    destination = tmp_path / "inputs" / "model"
    tag = source(f"oci://{open_registry.host}/models/tiny:v1")

    fetched = fetch(tag, destination, access(open_registry))

    assert fetched.revision == digest
    assert names(destination) == WANTED
    assert (destination / "model.safetensors").read_bytes() == model_files[
        "model.safetensors"
    ].read_bytes()
    marker = json.loads((tmp_path / "inputs" / "model.json").read_text())
    assert marker["storageUri"] == tag.uri
    assert marker["digest"] == fetched.digest
    assert names(tmp_path / "inputs") == {f"model/{name}" for name in WANTED} | {"model.json"}


def test_fetching_again_does_no_work(
    open_registry: RunningRegistry, model_files: dict[str, Path], tmp_path: Path
) -> None:
    uri = push(open_registry, "models/again:v1", model_files, tmp_path / "layout")
    destination = tmp_path / "model"
    first = fetch(source(uri), destination, access(open_registry))
    unreachable = Access(Path("/nonexistent"), Path("/nonexistent"), ())
    assert fetch(source(uri), destination, unreachable) == first


def test_an_interrupted_fetch_is_not_taken_for_a_complete_one(
    open_registry: RunningRegistry, model_files: dict[str, Path], tmp_path: Path
) -> None:
    uri = push(open_registry, "models/torn:v1", model_files, tmp_path / "layout")
    destination = tmp_path / "inputs" / "model"
    destination.mkdir(parents=True)
    (destination / "model.safetensors").write_bytes(b"half of it")
    fetch(source(uri), destination, access(open_registry))
    assert names(destination) == WANTED
    assert (destination / "model.safetensors").stat().st_size == 256 * 512


def test_another_source_replaces_what_is_there(
    open_registry: RunningRegistry, model_files: dict[str, Path], tmp_path: Path
) -> None:
    uri = push(open_registry, "models/first:v1", model_files, tmp_path / "layout-1")
    fetch(source(uri), tmp_path / "model", access(open_registry))
    few = {"config.json": model_files["config.json"], "a.safetensors": model_files["config.json"]}
    other = push(open_registry, "models/other:v1", few, tmp_path / "layout-2")
    fetch(source(other), tmp_path / "model", access(open_registry))
    assert names(tmp_path / "model") == {"config.json", "a.safetensors"}


def test_data_keeps_its_folders(open_registry: RunningRegistry, tmp_path: Path) -> None:
    line = tmp_path / "line"
    line.write_text('{"text": "a"}\n')
    files = {"a/train.jsonl": line, "b/train.jsonl": line, "notes.csv": line}
    uri = push(open_registry, "data/chat:v1", files, tmp_path / "layout")
    fetch(source(uri, Kind.DATASET), tmp_path / "train-0", access(open_registry))
    assert names(tmp_path / "train-0") == {"a/train.jsonl", "b/train.jsonl"}


def test_an_image_of_several_layers_as_other_tools_make_it(
    open_registry: RunningRegistry, tmp_path: Path
) -> None:
    """The upper layer replaces and deletes files; outside /data lies a whole system."""
    lower = layer(
        member("bin/sh", link="/bin/busybox"),
        member("data/config.json", b"old"),
        member("data/gone.json", b"{}"),
        member("data/real.safetensors", b"weights"),
    )
    upper = layer(
        member("data/config.json", b"new"),
        member("data/.wh.gone.json"),
        member("data/model.safetensors", link="real.safetensors"),
    )
    uri = push_layers(open_registry, "models/layers", [lower, upper], tmp_path)
    fetch(source(uri), tmp_path / "model", access(open_registry))
    assert names(tmp_path / "model") == {"config.json", "model.safetensors", "real.safetensors"}
    assert (tmp_path / "model" / "config.json").read_bytes() == b"new"
    assert (tmp_path / "model" / "model.safetensors").read_bytes() == b"weights"


def test_a_compressed_layer_is_read_whatever_compressed_it(
    open_registry: RunningRegistry, model_files: dict[str, Path], tmp_path: Path
) -> None:
    uri = push(open_registry, "models/gzip:v1", model_files, tmp_path / "layout")
    zstd = f"{open_registry.host}/models/zstd:v1"
    subprocess.run(
        ["skopeo", "copy", "--quiet", "--dest-compress-format", "zstd",
         "--src-tls-verify=false", "--dest-tls-verify=false",
         uri.replace("oci://", "docker://"), f"docker://{zstd}"],
        check=True,
    )  # fmt: skip
    fetch(source(f"oci://{zstd}"), tmp_path / "model", access(open_registry))
    assert names(tmp_path / "model") == WANTED


def test_unknown_image(open_registry: RunningRegistry, tmp_path: Path) -> None:
    uri = f"oci://{open_registry.host}/models/none:v1"
    with pytest.raises(ConfigurationError, match=r"spec\.model\.storageUri.*models/none:v1"):
        fetch(source(uri), tmp_path / "model", access(open_registry))


def test_password(
    closed_registry: RunningRegistry, model_files: dict[str, Path], tmp_path: Path
) -> None:
    secret = closed_registry.authfile(tmp_path / "secret")
    subprocess.run(
        ["skopeo", "copy", "--quiet", "--dest-tls-verify=false",
         "--dest-authfile", secret / ".dockerconfigjson",
         f"oci:{packed(model_files, tmp_path)}", f"docker://{closed_registry.host}/models/a:v1"],
        check=True,
    )  # fmt: skip
    uri = f"oci://{closed_registry.host}/models/a:v1"
    fetch(source(uri), tmp_path / "model", access(closed_registry, secret))
    assert names(tmp_path / "model") == WANTED

    for wrong in (tmp_path / "none", closed_registry.authfile(tmp_path / "wrong", "guess")):
        with pytest.raises(CredentialsRefusedError, match="credentialsSecretRef"):
            fetch(source(uri), tmp_path / "other", access(closed_registry, wrong))


def test_registry_down(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="connection refused"):
        fetch(
            source("oci://127.0.0.1:9/models/a:v1"),
            tmp_path / "model",
            Access(Path("/nonexistent"), Path("/nonexistent"), ("127.0.0.1:9",)),
        )


@pytest.mark.parametrize(
    ("members", "what"),
    [
        (["/data/config.json"], "leads out"),
        (["../config.json"], "leads out"),
        (["data/../../config.json"], "leads out"),
        (["data/passwd -> /etc/passwd"], "link"),
        (["data/passwd -> ../../etc/passwd"], "link"),
        (["data/up -> ..", "data/up/../../x"], "leads out"),
        (["data/passwd => ../../etc/passwd"], "link"),
        (["data/passwd => nothing"], "hard link"),
        (["data/pipe |"], "device or pipe"),
    ],
)
def test_a_layer_that_would_write_elsewhere(
    open_registry: RunningRegistry, tmp_path: Path, members: list[str], what: str
) -> None:
    content = layer(*map(described, members))
    uri = push_layers(open_registry, "models/hostile", [content], tmp_path)
    with pytest.raises(ConfigurationError, match=what):
        fetch(source(uri), tmp_path / "inputs" / "model", access(open_registry))
    assert not (tmp_path / "inputs" / "model").exists()
    assert not (tmp_path / "inputs" / "model.json").exists()


def test_only_pickles(
    open_registry: RunningRegistry, model_files: dict[str, Path], tmp_path: Path
) -> None:
    del model_files["model.safetensors"]
    uri = push(open_registry, "models/pickle:v1", model_files, tmp_path / "layout")
    with pytest.raises(ConfigurationError, match=r"pytorch_model\.bin.*runs code"):
        fetch(source(uri), tmp_path / "model", access(open_registry))


def packed(files: dict[str, Path], tmp_path: Path) -> Path:
    return pack(files, {}, tmp_path / "packed").layout


def member(
    name: str, content: bytes = b"", *, link: str = "", type: bytes = b""
) -> tuple[tarfile.TarInfo, bytes]:
    information = tarfile.TarInfo(name)
    information.size = len(content)
    information.linkname = link
    information.type = type or (tarfile.SYMTYPE if link else tarfile.REGTYPE)
    return information, content


def described(text: str) -> tuple[tarfile.TarInfo, bytes]:
    """`name -> symbolic link`, `name => hard link`, `pipe |`, or a file."""
    name, _, arrow_and_target = text.partition(" ")
    arrow, _, target = arrow_and_target.partition(" ")
    types = {"=>": tarfile.LNKTYPE, "|": tarfile.FIFOTYPE}
    return member(name, link=target, type=types.get(arrow, b""))


def layer(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for information, content in members:
            tar.addfile(information, io.BytesIO(content))
    return buffer.getvalue()


def push_layers(running: RunningRegistry, name: str, layers: list[bytes], tmp_path: Path) -> str:
    """Push an image of these uncompressed layers."""
    layout = tmp_path / "hostile"
    blobs = layout / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def blob(content: bytes, media_type: str) -> dict[str, object]:
        digest = digest_of(content)
        (blobs / digest.partition(":")[2]).write_bytes(content)
        return {"mediaType": media_type, "digest": digest, "size": len(content)}

    prefix = "application/vnd.oci.image"
    diff_ids = [digest_of(content) for content in layers]
    config = {
        "architecture": "amd64",
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{prefix}.manifest.v1+json",
        "config": blob(json.dumps(config).encode(), f"{prefix}.config.v1+json"),
        "layers": [blob(content, f"{prefix}.layer.v1.tar") for content in layers],
    }
    described_manifest = blob(json.dumps(manifest).encode(), f"{prefix}.manifest.v1+json")
    (layout / "index.json").write_text(
        json.dumps({"schemaVersion": 2, "manifests": [described_manifest]})
    )
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    uri = f"{running.host}/{name}:test"
    subprocess.run(
        ["skopeo", "copy", "--quiet", "--preserve-digests", "--dest-tls-verify=false",
         f"oci:{layout}", f"docker://{uri}"],
        check=True,
    )  # fmt: skip
    return f"oci://{uri}"
