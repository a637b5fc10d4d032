"""Names of images, and images that come out the same every time."""

import gzip
import hashlib
import json
import os
import tarfile
from pathlib import Path

import pytest

from finetune_trainer.errors import (
    ConfigurationError,
    CredentialsRefusedError,
    NoSpaceError,
    TrainerError,
    UnavailableError,
)
from finetune_trainer.oci.layout import pack
from finetune_trainer.oci.reference import ImageReference
from finetune_trainer.oci.registry import classify

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("oci://registry.local:5000/models/tiny:v1", "registry.local:5000/models/tiny:v1"),
        ("oci://localhost/tiny", "localhost/tiny:latest"),
        ("oci://127.0.0.1:5000/a/b/c:x_Y.z-1", "127.0.0.1:5000/a/b/c:x_Y.z-1"),
        ("oci://[::1]:5000/a:1", "[::1]:5000/a:1"),
        (f"oci://ghcr.io/a/b@{DIGEST}", f"ghcr.io/a/b@{DIGEST}"),
        (f"oci://ghcr.io/a/b:v1@{DIGEST}", f"ghcr.io/a/b@{DIGEST}"),
    ],
)
def test_names(uri: str, name: str) -> None:
    image = ImageReference.parse(uri)
    assert image.name == name
    assert image.at(DIGEST).name == f"{image.host}/{image.repository}@{DIGEST}"
    assert ImageReference.parse(image.uri).name == name


@pytest.mark.parametrize(
    "uri",
    [
        "registry.local:5000/a",
        "oci://",
        "oci://library/ubuntu:1",
        "oci://ghcr.io/",
        "oci://ghcr.io/Upper/case",
        "oci://ghcr.io/a:",
        "oci://ghcr.io/a:b:c",
        "oci://ghcr.io/a@sha256:abc",
        "oci://ghcr.io/a --insecure",
        "docker://ghcr.io/a",
    ],
)
def test_no_names(uri: str) -> None:
    with pytest.raises(ConfigurationError, match="names no image"):
        ImageReference.parse(uri)


def test_the_same_files_give_the_same_image(tmp_path: Path) -> None:
    """Whatever their order, owner, mode and time; other content gives another."""
    first, second = tmp_path / "a", tmp_path / "b"
    first.write_bytes(b"one")
    second.write_bytes(b"two")
    files = {"deep/er/one.json": first, "two.safetensors": second}
    one = pack(files, {"x": "1", "y": "2"}, tmp_path / "layout-1")
    first.chmod(0o600)
    os.utime(first, (1, 1))
    reversed_files = dict(reversed(files.items()))
    two = pack(reversed_files, {"y": "2", "x": "1"}, tmp_path / "layout-2")
    assert one.digest == two.digest
    first.write_bytes(b"other")
    assert pack(files, {"x": "1", "y": "2"}, tmp_path / "layout-3").digest != one.digest


def test_digests_are_those_of_the_bytes(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(bytes(range(256)) * 1000)
    packed = pack({"deep/file": file}, {}, tmp_path / "layout")
    blobs = packed.layout / "blobs" / "sha256"
    for blob in blobs.iterdir():
        assert hashlib.sha256(blob.read_bytes()).hexdigest() == blob.name
    manifest = json.loads((blobs / packed.digest.partition(":")[2]).read_bytes())
    config = json.loads((blobs / manifest["config"]["digest"].partition(":")[2]).read_bytes())
    layer = blobs / manifest["layers"][0]["digest"].partition(":")[2]
    assert layer.stat().st_size == packed.bytes == manifest["layers"][0]["size"]
    content = hashlib.sha256(gzip.decompress(layer.read_bytes())).hexdigest()
    assert config["rootfs"]["diff_ids"] == [f"sha256:{content}"]
    with tarfile.open(layer) as tar:
        assert tar.getnames() == ["data", "data/deep", "data/deep/file"]
        member = tar.extractfile("data/deep/file")
        assert member is not None
        assert member.read() == file.read_bytes()


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ("dial tcp 10.0.0.1:5000: connect: connection refused", UnavailableError),
        ("dial tcp: lookup registry.example: no such host", UnavailableError),
        ("net/http: TLS handshake timeout", UnavailableError),
        ("received unexpected HTTP status: 503 Service Unavailable", UnavailableError),
        ("toomanyrequests: You have reached your pull rate limit.", UnavailableError),
        ("write /workspace/.publish/x: no space left on device", NoSpaceError),
        ("mkdir /workspace/inputs/.model: permission denied", UnavailableError),
        ("something nobody has seen before", UnavailableError),
        ("unauthorized: authentication required", CredentialsRefusedError),
        ("requested access to the resource is denied", CredentialsRefusedError),
        ("received unexpected HTTP status: 403 Forbidden", CredentialsRefusedError),
        ("unable to retrieve auth token: invalid username/password: unauthorized",
         CredentialsRefusedError),
        ("http: server gave HTTP response to HTTPS client", ConfigurationError),
        ("x509: certificate signed by unknown authority", ConfigurationError),
        ("manifest unknown: manifest unknown", ConfigurationError),
        ("name unknown: repository name not known to registry", ConfigurationError),
    ],
)  # fmt: skip
def test_what_a_registry_says_has_a_class(message: str, error: type[TrainerError]) -> None:
    image = ImageReference.parse("oci://ghcr.io/a/b:v1")
    found = classify(image, message)
    assert type(found) is error
    assert "ghcr.io/a/b:v1" in str(found)
    assert message in str(found)
