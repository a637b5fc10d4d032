"""What is fetched: a URI of one of six schemes, and whether it is a model or a dataset."""

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from finetune_trainer.errors import ConfigurationError


class Kind(StrEnum):
    """Decides which files are of use."""

    MODEL = "Model"
    ADAPTER = "Adapter"
    DATASET = "Dataset"

    @classmethod
    def of(cls, destination: Path) -> "Kind":
        """inputs/train-<i> and inputs/validation-<i> are data, inputs/adapter is an adapter; all
        else is a model, or the adapter of one that is served."""
        if re.fullmatch(r"(train|validation)-[0-9]+", destination.name):
            return cls.DATASET
        return cls.ADAPTER if destination.parts[-2:] == ("inputs", "adapter") else cls.MODEL


_FIELDS = {
    Kind.MODEL: "spec.model.storageUri",
    Kind.ADAPTER: "spec.model.adapterUri",
    Kind.DATASET: "spec.dataset",
}


@dataclass(frozen=True)
class Source:
    """One thing to fetch."""

    uri: str
    revision: str
    """A branch, tag or commit of a hub repository; empty for the default one."""
    kind: Kind

    @property
    def scheme(self) -> str:
        return urlsplit(self.uri).scheme

    @property
    def field(self) -> str:
        """Where the user wrote it."""
        return _FIELDS[self.kind]


@dataclass(frozen=True)
class Access:
    """What the container was given to reach its sources."""

    credentials: Path
    """Folder of the mounted Secret; may be absent."""
    claims: Path
    """Folder below which each PersistentVolumeClaim is mounted under its name."""
    insecure_hosts: tuple[str, ...]
    cache: Path | None = None
    """Folder that jobs share; None: there is none."""


@dataclass(frozen=True)
class HubPath:
    """`hf://owner/name`, for data also `hf://[datasets/]owner/name[/path]`."""

    repository: str
    path: str


def hub_path(source: Source) -> HubPath:
    """Raises ConfigurationError for anything but a repository (and, for data, a path in it)."""
    parts = source.uri.removeprefix("hf://").strip("/").split("/")
    if source.kind is Kind.DATASET and parts[0] == "datasets":
        parts = parts[1:]
    valid = all(re.fullmatch(r"[\w.-]+", part) and part not in (".", "..") for part in parts)
    if not valid or len(parts) < 2 or (source.kind is not Kind.DATASET and len(parts) > 2):
        form = "hf://OWNER/NAME[/PATH]" if source.kind is Kind.DATASET else "hf://OWNER/NAME"
        raise ConfigurationError(f"{source.field}: {source.uri!r} is not of the form {form}")
    return HubPath("/".join(parts[:2]), "/".join(parts[2:]))


def claim_path(source: Source) -> tuple[str, PurePosixPath]:
    """The claim's name and the path in it, of `pvc://claim/path`."""
    claim, _, path = source.uri.removeprefix("pvc://").partition("/")
    inside = PurePosixPath(path.strip("/"))
    if not re.fullmatch(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?", claim) or ".." in inside.parts:
        raise ConfigurationError(
            f"{source.field}: {source.uri!r} is not of the form pvc://CLAIM/PATH"
        )
    return claim, inside


def file_path(source: Source) -> Path:
    """The absolute path of `file:///path`."""
    path = Path(source.uri.removeprefix("file://"))
    if not path.is_absolute() or ".." in path.parts:
        raise ConfigurationError(
            f"{source.field}: {source.uri!r} is not of the form file:///ABSOLUTE/PATH"
        )
    return path
