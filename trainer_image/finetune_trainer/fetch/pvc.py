"""`pvc://claim/path`: a folder or file of a PersistentVolumeClaim, mounted read-only."""

from pathlib import Path

from finetune_trainer.errors import ConfigurationError
from finetune_trainer.fetch import tree
from finetune_trainer.fetch.source import Access, Source, claim_path


def fetch(source: Source, target: Path, access: Access) -> str:
    """Copy it into `target`, so that training does not depend on the claim later."""
    claim, path = claim_path(source)
    root = access.claims / claim
    origin = root / path
    if not root.is_dir():
        raise ConfigurationError(
            f"{source.field}: the claim {claim!r} is not mounted at {root}: does it exist?"
        )
    if not origin.exists():
        siblings = sorted(entry.name for entry in origin.parent.glob("[!.]*"))[:5]
        beside = f"; beside it: {', '.join(siblings)}" if siblings else ""
        raise ConfigurationError(
            f"{source.field}: there is no {str(path)!r} in the PersistentVolumeClaim {claim!r}"
            f"{beside}"
        )
    tree.copy(source, origin, root, target)
    return ""
