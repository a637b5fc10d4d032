"""Fetching from a hub by the real client."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from finetune_trainer.errors import (
    ConfigurationError,
    CredentialsRefusedError,
    DataError,
    TrainerError,
    UnavailableError,
)
from finetune_trainer.fetch import fetch
from finetune_trainer.fetch.source import Access, Kind, Source
from finetune_trainer.manifest import Fetched
from tests.trainer.transfer import hub
from tests.trainer.transfer.conftest import WANTED, names
from tests.trainer.transfer.hub import COMMIT, Hub, Repository


@pytest.fixture
def server(
    model_files: dict[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Hub]:
    """A hub with owner/tiny."""
    with hub.run() as running:
        files = {path: file.read_bytes() for path, file in model_files.items()}
        running.repositories["models/owner/tiny"] = Repository(files)
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        yield running


def get(
    uri: str, destination: Path, *, revision: str = "", token: str = "", kind: Kind = Kind.MODEL
) -> Fetched:
    secret = destination.parent / "secret"
    if token:
        secret.mkdir(exist_ok=True)
        (secret / "token").write_text(token + "\n")
    access = Access(secret, Path("/nonexistent"), ())
    return fetch(Source(uri, revision, kind), destination, access)


@pytest.mark.parametrize("revision", ["", "v1", COMMIT])
def test_model(server: Hub, tmp_path: Path, revision: str) -> None:
    fetched = get("hf://owner/tiny", tmp_path / "model", revision=revision)
    assert fetched.revision == COMMIT
    assert names(tmp_path / "model") == WANTED
    expected = server.repositories["models/owner/tiny"].files["model.safetensors"]
    assert (tmp_path / "model" / "model.safetensors").read_bytes() == expected
    assert not any("pytorch_model.bin" in request for request in server.requests)


def test_again_asks_nothing(server: Hub, tmp_path: Path) -> None:
    first = get("hf://owner/tiny", tmp_path / "model")
    asked = len(server.requests)
    assert get("hf://owner/tiny", tmp_path / "model") == first
    assert len(server.requests) == asked


def test_a_download_goes_on_where_it_stopped(server: Hub, tmp_path: Path) -> None:
    server.refused.add("tokenizer.json")
    with pytest.raises(CredentialsRefusedError):
        get("hf://owner/tiny", tmp_path / "model")
    assert not (tmp_path / "model").exists()
    (partial,) = tmp_path.glob(".model.*.partial")
    complete = names(partial) & WANTED  # files are fetched side by side: how many is chance
    server.refused.clear()
    server.requests.clear()
    get("hf://owner/tiny", tmp_path / "model")
    assert names(tmp_path / "model") == WANTED
    url = f"GET /owner/tiny/resolve/{COMMIT}"
    asked_again = {path for path in WANTED if f"{url}/{path}" in server.requests}
    assert asked_again == WANTED - complete


def test_a_token_opens_a_private_repository(server: Hub, tmp_path: Path) -> None:
    server.repositories["models/owner/tiny"].private = True
    get("hf://owner/tiny", tmp_path / "model", token=hub.TOKEN)
    assert names(tmp_path / "model") == WANTED


def test_dataset_folder(server: Hub, tmp_path: Path) -> None:
    server.repositories["datasets/owner/chats"] = Repository(
        {"en/a.jsonl": b"{}\n", "en/b.jsonl": b"{}\n", "de/a.jsonl": b"{}\n", "README.md": b"#"}
    )
    for uri in ("hf://owner/chats/en", "hf://datasets/owner/chats/en"):
        get(uri, tmp_path / "train-0", kind=Kind.DATASET)
        assert names(tmp_path / "train-0") == {"en/a.jsonl", "en/b.jsonl"}
    get("hf://owner/chats/de/a.jsonl", tmp_path / "train-0", kind=Kind.DATASET)
    assert names(tmp_path / "train-0") == {"de/a.jsonl"}


def private(server: Hub) -> None:
    server.repositories["models/owner/tiny"].private = True


def gated(server: Hub) -> None:
    server.repositories["models/owner/tiny"].gated = True


def only_pickles(server: Hub) -> None:
    del server.repositories["models/owner/tiny"].files["model.safetensors"]


def failing(server: Hub) -> None:
    server.failure = 503


def throttling(server: Hub) -> None:
    server.failure = 429


def nothing(server: Hub) -> None:
    del server


@pytest.mark.parametrize(
    ("change", "uri", "options", "error", "message"),
    [
        (nothing, "hf://owner/none", {"token": hub.TOKEN}, ConfigurationError,
         r"unknown model hf://owner/none: check spec\.model\.storageUri"),
        (nothing, "hf://owner/none", {}, CredentialsRefusedError, "does not exist"),
        (nothing, "hf://owner/tiny", {"revision": "v9"}, ConfigurationError, "no revision 'v9'"),
        (nothing, "hf://tiny", {}, ConfigurationError, "hf://OWNER/NAME"),
        (nothing, "hf://owner/../tiny", {}, ConfigurationError, "hf://OWNER/NAME"),
        (private, "hf://owner/tiny", {}, CredentialsRefusedError, "credentialsSecretRef"),
        (gated, "hf://owner/tiny", {}, CredentialsRefusedError, "accept its terms"),
        (gated, "hf://owner/tiny", {"token": "hf_wrong"}, CredentialsRefusedError, "gated"),
        (only_pickles, "hf://owner/tiny", {}, ConfigurationError, r"pytorch_model\.bin"),
        (failing, "hf://owner/tiny", {}, UnavailableError, "503"),
        (throttling, "hf://owner/tiny", {}, UnavailableError, "429"),
        (nothing, "hf://owner/none/x", {"kind": Kind.DATASET, "token": hub.TOKEN},
         ConfigurationError, "unknown dataset"),
    ],
)  # fmt: skip
def test_refusals(  # noqa: PLR0917
    server: Hub,
    tmp_path: Path,
    change: object,
    uri: str,
    options: dict[str, object],
    error: type[TrainerError],
    message: str,
) -> None:
    change(server)  # type: ignore[operator]
    with pytest.raises(error, match=message) as caught:
        get(uri, tmp_path / "model", **options)  # type: ignore[arg-type]
    assert type(caught.value) is error
    assert not (tmp_path / "model").exists()


def test_no_data_in_the_dataset(server: Hub, tmp_path: Path) -> None:
    server.repositories["datasets/owner/chats"] = Repository({"data.parquet": b""})
    with pytest.raises(DataError, match=r"\.jsonl.*data\.parquet"):
        get("hf://owner/chats", tmp_path / "train-0", kind=Kind.DATASET)


def test_no_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UnavailableError, match="hub cannot be used now"):
        get("hf://owner/tiny", tmp_path / "model")
