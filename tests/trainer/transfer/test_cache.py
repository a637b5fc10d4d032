"""Models that jobs share: fetched once, whole or not at all, and only for who may have them."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from huggingface_hub import constants

from finetune_trainer.errors import (
    ConfigurationError,
    CredentialsRefusedError,
    NoSpaceError,
    UnavailableError,
)
from finetune_trainer.fetch import cache, fetch
from finetune_trainer.fetch.source import Access, Kind, Source
from finetune_trainer.manifest import Fetched
from finetune_trainer.workspace import Workspace, locate
from tests.trainer.transfer import hub
from tests.trainer.transfer.conftest import WANTED, names, push
from tests.trainer.transfer.hub import COMMIT, TOKEN, Hub, Repository
from tests.trainer.transfer.registry import RunningRegistry

URI = "hf://owner/tiny"
KEY = "models/owner/tiny"


@pytest.fixture
def server(
    model_files: dict[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Hub]:
    """A hub with owner/tiny."""
    with hub.run() as running:
        files = {path: file.read_bytes() for path, file in model_files.items()}
        running.repositories[KEY] = Repository(files)
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "of-the-client"))
        yield running


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """The cache."""
    made = tmp_path / "shared"
    made.mkdir()
    return made


def get(job: Path, shared: Path, *, revision: str = "", token: str = "", uri: str = URI) -> Fetched:
    secret = job / "secret"
    secret.mkdir(parents=True, exist_ok=True)
    if token:
        (secret / "token").write_text(token)
    access = Access(secret, Path("/nonexistent"), (), shared)
    return fetch(Source(uri, revision, Kind.MODEL), job / "inputs" / "model", access)


def model_of(job: Path) -> Path:
    return locate(Workspace(job).model, URI)


def downloads(server: Hub) -> int:
    """Of the weights."""
    return len(
        [each for each in server.requests if each.startswith("GET") and "safetensors" in each]
    )


def entries(shared: Path) -> list[Path]:
    return [each for each in shared.iterdir() if each.is_dir()]


def test_two_jobs_have_one_model(server: Hub, shared: Path, tmp_path: Path) -> None:
    first = get(tmp_path / "first", shared)
    second = get(tmp_path / "second", shared, revision="v1")
    assert (first.revision, first.without_cache) == (COMMIT, None)
    assert second == first, "a tag of the same commit"
    assert downloads(server) == 1
    (entry,) = entries(shared)
    assert model_of(tmp_path / "first") == model_of(tmp_path / "second") == entry
    assert names(entry) == WANTED
    assert not (tmp_path / "first/inputs/model").exists()


def test_an_image_has_one_name_too(
    open_registry: RunningRegistry, model_files: dict[str, Path], shared: Path, tmp_path: Path
) -> None:
    by_digest = push(open_registry, "models/cached:v1", model_files, tmp_path / "layout")
    by_tag = f"oci://{open_registry.host}/models/cached:v1"
    access = Access(Path("/nonexistent"), Path("/nonexistent"), (open_registry.host,), shared)
    found = [
        fetch(Source(uri, "", Kind.MODEL), tmp_path / name / "inputs" / "model", access)
        for name, uri in (("a", by_tag), ("b", by_digest))
    ]
    assert found[0] == found[1]
    assert found[0].revision == by_digest.partition("@")[2]
    assert len(entries(shared)) == 1


def test_jobs_that_come_at_the_same_time_fetch_once(
    server: Hub, shared: Path, tmp_path: Path
) -> None:
    with ThreadPoolExecutor(4) as pool:
        jobs = [tmp_path / f"job-{number}" for number in range(4)]
        found = list(pool.map(lambda job: get(job, shared), jobs))
    assert downloads(server) == 1
    assert len({each.digest for each in found}) == len(entries(shared)) == 1


def _half(pinned: Source, folder: Path, access: Access) -> str:
    """Writes half a file, says so, and never ends."""
    del pinned, access
    (folder / "config.json").write_bytes(b"{")
    (folder.parent / "begun").touch()
    signal.pause()
    return ""


def _hang(shared: Path, job: Path) -> None:
    pinned = Source(URI, COMMIT, Kind.MODEL)
    access = Access(job, job, (), shared)
    cache.take(pinned, pinned, job / "inputs" / "model", access, _half)


def test_a_job_that_is_killed_amid_fetching_leaves_no_half_model(
    server: Hub, shared: Path, tmp_path: Path
) -> None:
    context = multiprocessing.get_context("fork")
    process = context.Process(target=_hang, args=(shared, tmp_path / "killed"))
    process.start()
    while not (shared / "begun").exists():
        process.join(0.01)
        assert process.is_alive()
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    (shared / "begun").unlink()
    get(tmp_path / "next", shared)
    assert names(model_of(tmp_path / "next")) == WANTED
    assert (model_of(tmp_path / "next") / "config.json").read_bytes() == b"{}"
    assert len(entries(shared)) == 1, "nothing half is left"


def test_what_was_changed_is_fetched_again(server: Hub, shared: Path, tmp_path: Path) -> None:
    first = get(tmp_path / "first", shared)
    (entry,) = entries(shared)
    (entry / "model.safetensors").write_bytes(b"something else")
    assert get(tmp_path / "second", shared) == first
    assert downloads(server) == 2
    weights = server.repositories[KEY].files["model.safetensors"]
    assert (entry / "model.safetensors").read_bytes() == weights


def test_an_entry_says_what_it_is(server: Hub, shared: Path, tmp_path: Path) -> None:
    get(tmp_path / "first", shared)
    (entry,) = entries(shared)
    facts = json.loads((entry.parent / f"{entry.name}.json").read_text())
    assert (facts["storageUri"], facts["requestedRevision"]) == (URI, COMMIT)


@pytest.mark.parametrize("how", ["private", "gated"])
def test_who_may_not_have_a_model_does_not_get_it_from_the_cache(
    server: Hub, shared: Path, tmp_path: Path, how: str
) -> None:
    server.repositories[KEY] = Repository(server.repositories[KEY].files, **{how: True})
    get(tmp_path / "first", shared, token=TOKEN)
    with pytest.raises(CredentialsRefusedError):
        get(tmp_path / "second", shared)


def test_where_the_cache_cannot_be_written_the_model_is_the_jobs_own(
    server: Hub, shared: Path, tmp_path: Path
) -> None:
    (shared / "no-folder").touch()
    found = get(tmp_path / "job", shared / "no-folder")
    assert (found.without_cache or "").startswith("the model cache cannot be used: ")
    assert model_of(tmp_path / "job") == tmp_path / "job/inputs/model"
    assert names(model_of(tmp_path / "job")) == WANTED


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), NoSpaceError("says skopeo")]
)
def test_a_full_cache_is_told(shared: Path, tmp_path: Path, error: Exception) -> None:
    def fill(pinned: Source, folder: Path, access: Access) -> str:
        raise error

    pinned = Source(URI, COMMIT, Kind.MODEL)
    access = Access(tmp_path, tmp_path, (), shared)
    with pytest.raises(cache.CacheUnusableError, match="the model cache is full"):
        cache.take(pinned, pinned, tmp_path / "model", access, fill)


def test_a_hub_that_is_away_is_waited_for(server: Hub, shared: Path, tmp_path: Path) -> None:
    server.failure = 503
    with pytest.raises(UnavailableError):
        get(tmp_path / "job", shared)


def test_an_entry_that_somebody_has_deleted_is_named(
    server: Hub, shared: Path, tmp_path: Path
) -> None:
    get(tmp_path / "job", shared)
    (entry,) = entries(shared)
    for path in entry.iterdir():
        path.unlink()
    entry.rmdir()
    with pytest.raises(ConfigurationError, match="lay in the model cache"):
        model_of(tmp_path / "job")


def test_a_job_that_goes_on_without_the_cache_gets_its_own(
    server: Hub, shared: Path, tmp_path: Path
) -> None:
    """And the other way round: what was the job's own makes room."""
    job = tmp_path / "job"
    get(job, shared)
    access = Access(job / "secret", Path("/nonexistent"), ())
    fetch(Source(URI, "", Kind.MODEL), job / "inputs" / "model", access)
    assert model_of(job) == job / "inputs/model"
    get(job, shared)
    assert model_of(job) == entries(shared)[0]
    assert not (job / "inputs/model").exists()
