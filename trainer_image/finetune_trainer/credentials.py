"""Where the one Secret of a fetch or publish container is mounted, and its keys."""

from pathlib import Path

FOLDER = Path("/var/run/secrets/finetune.dev/credentials")

HUB_TOKEN = "token"  # noqa: S105 # the name of a key
REGISTRY_AUTHFILE = ".dockerconfigjson"


def find(folder: Path, key: str) -> Path | None:
    """The file of one key, None when the Secret is not given or has no such key."""
    path = folder / key
    return path if path.is_file() else None
