"""`file:///path`: a folder or file inside the trainer image."""

from pathlib import Path

from finetune_trainer.errors import ConfigurationError
from finetune_trainer.fetch import tree
from finetune_trainer.fetch.source import Access, Source, file_path


def fetch(source: Source, target: Path, access: Access) -> str:
    """Copy it into `target`; a path has no revision."""
    del access  # nothing but the image itself is read
    origin = file_path(source)
    if not origin.exists():
        raise ConfigurationError(
            f"{source.field}: there is no {origin} inside the trainer image;"
            " file:// names what the image carries, for a volume use pvc://CLAIM/PATH"
        )
    tree.copy(source, origin, origin if origin.is_dir() else origin.parent, target)
    return ""
