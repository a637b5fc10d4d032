"""`hf://owner/name`: a repository of the Hugging Face hub, or of one that speaks as it does."""

import dataclasses
import os
import shutil
from pathlib import Path

import httpx2
from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RevisionNotFoundError,
)

from finetune_trainer import credentials
from finetune_trainer.errors import (
    ConfigurationError,
    CredentialsRefusedError,
    TrainerError,
    UnavailableError,
)
from finetune_trainer.fetch.contents import check, select
from finetune_trainer.fetch.source import Access, Kind, Source, hub_path

_QUESTION_SECONDS = 30.0
"""Bound of one question; the client itself bounds each read of a download (10 s)."""

_WORKERS = 4
"""Files in flight: enough to fill a link, few enough for a small container."""


def fetch(source: Source, target: Path, access: Access) -> str:
    """Download into `target`, going on where a call for the same commit stopped.

    Returns the commit. Only the files of use are asked for. HF_ENDPOINT names another hub.
    """
    where = hub_path(source)
    token, endpoint = _token(access), os.environ.get("HF_ENDPOINT")
    try:
        hub = HfApi(endpoint=endpoint, token=token)
        describe = hub.dataset_info if source.kind is Kind.DATASET else hub.model_info
        information = describe(
            where.repository, revision=source.revision or None, timeout=_QUESTION_SECONDS
        )
        found = {file.rfilename for file in information.siblings or []}
        selected = _select(source, where.path, found)
        check(source, selected, found)
        commit = str(information.sha)
        snapshot_download(
            where.repository,
            repo_type="dataset" if source.kind is Kind.DATASET else "model",
            revision=commit,
            local_dir=target,
            endpoint=endpoint,
            allow_patterns=[_literal(path) for path in selected],
            token=token,
            max_workers=_WORKERS,
        )
    except (httpx2.HTTPError, HFValidationError, LocalEntryNotFoundError) as error:
        raise classify(source, error) from error
    shutil.rmtree(target / ".cache")
    return commit


def pin(source: Source, access: Access) -> Source:
    """The same by commit, for those who may have the files: the hub tells the commit of a gated
    model to everybody."""
    where = hub_path(source)
    try:
        hub = HfApi(endpoint=os.environ.get("HF_ENDPOINT"), token=_token(access))
        information = hub.model_info(
            where.repository, revision=source.revision or None, timeout=_QUESTION_SECONDS
        )
        hub.auth_check(where.repository)
    except (httpx2.HTTPError, HFValidationError) as error:
        raise classify(source, error) from error
    return dataclasses.replace(source, revision=str(information.sha))


def _token(access: Access) -> str | bool:
    """False, not None, where there is none: never a token found lying around in the image."""
    secret = credentials.find(access.credentials, credentials.HUB_TOKEN)
    return secret.read_text().strip() if secret else False


def classify(source: Source, error: Exception) -> TrainerError:
    """What an error of the hub's client means to the user."""
    if isinstance(error, LocalEntryNotFoundError) and isinstance(error.__cause__, Exception):
        error = error.__cause__  # the client speaks of its cache; what happened is beneath
    name = f"{source.field}: {source.uri}"
    kind = source.kind.value.lower()
    status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
    if isinstance(error, HFValidationError):
        return ConfigurationError(f"{name} is no name of a {kind}: {error}")
    if isinstance(error, RevisionNotFoundError):
        return ConfigurationError(
            f"{name} has no revision {source.revision!r}: give a branch, tag or commit of it"
        )
    if isinstance(error, GatedRepoError):
        return CredentialsRefusedError(
            f"{name} is gated: accept its terms on the hub with an account, and name a Secret"
            " with that account's token (key token) in credentialsSecretRef"
        )
    if status in (401, 403):
        return CredentialsRefusedError(
            f"{name}: the hub answered {status}: the {kind} is private or does not exist;"
            f" check {source.field}, and name a Secret with a token that may read it"
            " (key token) in credentialsSecretRef"
        )
    if status == 404:
        return ConfigurationError(f"unknown {kind} {source.uri}: check {source.field}")
    return _of_connection(name, error)


def _of_connection(name: str, error: Exception) -> TrainerError:
    said = _first_line(error)
    if "CERTIFICATE_VERIFY_FAILED" in said:
        return ConfigurationError(
            f"{name}: the hub's certificate is not trusted: name the authority that has signed it"
            f" in network.certificateAuthorities of the FineTuneClass ({said})"
        )
    return UnavailableError(f"{name}: the hub cannot be used now: {said}")


def _select(source: Source, path: str, found: set[str]) -> set[str]:
    """A path inside a dataset repository names one file, or a folder."""
    if path in found:
        return {path}
    below = {name for name in found if not path or name.startswith(f"{path}/")}
    if source.kind is Kind.DATASET and not below:
        raise ConfigurationError(f"{source.field}: there is no {path!r} in {source.uri}")
    return select(source.kind, below)


def _literal(path: str) -> str:
    """allow_patterns are fnmatch patterns; a file name is not."""
    return "".join(f"[{character}]" if character in "*?[" else character for character in path)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
