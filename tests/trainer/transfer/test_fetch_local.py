"""Fetching from a mounted claim and from the image, and how `fetch` ends as a command."""

import errno
import json
import shutil
from pathlib import Path

import pytest

from finetune_trainer.__main__ import main
from finetune_trainer.errors import (
    ConfigurationError,
    DataError,
    TrainerError,
    UnavailableError,
)
from finetune_trainer.exit_codes import ExitCode
from finetune_trainer.fetch import fetch
from finetune_trainer.fetch.source import Access, Kind, Source
from finetune_trainer.manifest import Fetched
from tests.trainer.transfer.conftest import WANTED, names


@pytest.fixture
def claims(tmp_path: Path, model_files: dict[str, Path]) -> Path:
    """The claim `data`, mounted, with a model, a dataset and things nobody asked for."""
    claim = tmp_path / "sources" / "data"
    shutil.copytree(next(iter(model_files.values())).parent, claim / "models" / "tiny")
    (claim / "chat").mkdir()
    (claim / "chat" / "train.jsonl").write_text('{"text": "a"}\n')
    (claim / "chat" / "more.jsonl").write_text('{"text": "b"}\n')
    (claim / "lost+found").mkdir()
    (claim / ".snapshot").mkdir()
    (claim / ".snapshot" / "old.jsonl").write_text("{}\n")
    return tmp_path / "sources"


def get(uri: str, destination: Path, claims: Path, kind: Kind = Kind.MODEL) -> Fetched:
    return fetch(Source(uri, "", kind), destination, Access(Path("/nonexistent"), claims, ()))


@pytest.mark.parametrize(
    ("uri", "kind", "expected"),
    [
        ("pvc://data/models/tiny", Kind.MODEL, WANTED),
        ("pvc://data/chat", Kind.DATASET, {"train.jsonl", "more.jsonl"}),
        ("pvc://data/chat/train.jsonl", Kind.DATASET, {"train.jsonl"}),
        ("pvc://data", Kind.DATASET, {"chat/train.jsonl", "chat/more.jsonl"}),
        ("pvc://data/", Kind.DATASET, {"chat/train.jsonl", "chat/more.jsonl"}),
    ],
)
def test_claim(tmp_path: Path, claims: Path, uri: str, kind: Kind, expected: set[str]) -> None:
    fetched = get(uri, tmp_path / "it", claims, kind)
    assert names(tmp_path / "it") == expected
    assert fetched.revision == ""


def test_the_digest_is_that_of_the_content(tmp_path: Path, claims: Path) -> None:
    """It can be made again with `sha256sum`, and does not depend on where the content came from."""
    first = get("pvc://data/chat", tmp_path / "one", claims, Kind.DATASET)
    second = get(f"file://{claims}/data/chat", tmp_path / "two", claims, Kind.DATASET)
    assert first.digest == second.digest
    (claims / "data" / "chat" / "train.jsonl").write_text('{"text": "c"}\n')
    third = get("pvc://data/chat", tmp_path / "three", claims, Kind.DATASET)
    assert third.digest != first.digest


def test_what_is_fetched_is_a_copy(tmp_path: Path, claims: Path) -> None:
    get("pvc://data/chat", tmp_path / "it", claims, Kind.DATASET)
    shutil.rmtree(claims / "data" / "chat")
    assert (tmp_path / "it" / "train.jsonl").read_text() == '{"text": "a"}\n'
    get("pvc://data/chat", tmp_path / "it", claims, Kind.DATASET)


def test_links_within_the_claim_are_followed(tmp_path: Path, claims: Path) -> None:
    """As in a cache of the hub's client: models/…/config.json → ../../blobs/…"""
    blob = claims / "data" / "blob"
    tiny = claims / "data" / "models" / "tiny"
    (tiny / "model.safetensors").rename(blob)
    (tiny / "model.safetensors").symlink_to("../../blob")
    get("pvc://data/models/tiny", tmp_path / "it", claims)
    assert not (tmp_path / "it" / "model.safetensors").is_symlink()
    assert (tmp_path / "it" / "model.safetensors").read_bytes() == blob.read_bytes()


@pytest.mark.parametrize(
    ("uri", "kind", "error", "message"),
    [
        ("pvc://data/chats", Kind.DATASET, ConfigurationError, "no 'chats' in .*'data'.*chat"),
        ("pvc://data/chat/c.jsonl", Kind.DATASET, ConfigurationError, r"c\.jsonl.*more\.jsonl"),
        ("pvc://other/chat", Kind.DATASET, ConfigurationError, "'other' is not mounted"),
        ("pvc://data/../x", Kind.DATASET, ConfigurationError, "pvc://CLAIM/PATH"),
        ("pvc:///x", Kind.DATASET, ConfigurationError, "pvc://CLAIM/PATH"),
        ("pvc://data/models", Kind.DATASET, DataError, r"no \.jsonl file"),
        ("pvc://data/chat", Kind.MODEL, ConfigurationError, r"no \.safetensors file"),
        ("pvc://data/link", Kind.DATASET, ConfigurationError, "leads out of the source"),
        ("file:///nowhere", Kind.DATASET, ConfigurationError, "inside the trainer image"),
        ("file://nowhere", Kind.DATASET, ConfigurationError, "file:///ABSOLUTE/PATH"),
        ("gs://bucket/x", Kind.MODEL, ConfigurationError, "hf://, oci://, s3://, abfs://, pvc"),
        ("models/tiny", Kind.MODEL, ConfigurationError, "must begin with"),
    ],
)
def test_refusals(  # noqa: PLR0917
    tmp_path: Path, claims: Path, uri: str, kind: Kind, error: type[TrainerError], message: str
) -> None:
    (claims / "data" / "link").mkdir()
    (claims / "data" / "link" / "secret.jsonl").symlink_to("/etc/hostname")
    with pytest.raises(error, match=message):
        get(uri, tmp_path / "it", claims, kind)
    assert not (tmp_path / "it").exists()
    assert not (tmp_path / "it.json").exists()


def test_a_full_volume(tmp_path: Path, claims: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(source: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(target))

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(UnavailableError, match=r"full: make checkpoint\.volumeClaim\.size larger"):
        get("pvc://data/chat", tmp_path / "it", claims, Kind.DATASET)


def test_the_command(tmp_path: Path, claims: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kind of content by destination, termination message, exit code."""
    log = tmp_path / "termination-log"
    monkeypatch.setenv("FINETUNE_TERMINATION_LOG", str(log))
    options = ["--workspace", str(tmp_path / "workspace"), "--claims", str(claims)]

    train = ["--uri", "pvc://data/chat", "--destination", "inputs/train-0"]
    assert main(["fetch", *train, *options]) == ExitCode.OK
    assert set(json.loads(log.read_text())) == {"digest", "revision"}

    model = ["--uri", "pvc://data/chat", "--destination", "inputs/model"]
    assert main(["fetch", *model, *options]) == ExitCode.CONFIGURATION_ERROR
    failure = json.loads(log.read_text())
    assert failure["reason"] == "ConfigurationError"
    assert "spec.model.storageUri" in failure["message"]
