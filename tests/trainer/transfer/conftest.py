from collections.abc import Iterator
from pathlib import Path

import pytest

from finetune_trainer.oci.layout import pack
from finetune_trainer.oci.reference import ImageReference
from finetune_trainer.oci.registry import Registry
from tests.trainer.transfer import registry
from tests.trainer.transfer.registry import RunningRegistry


@pytest.fixture(scope="session")
def program() -> Path:
    """What a registry is a process of."""
    return registry.build()


@pytest.fixture(scope="session")
def open_registry(
    program: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningRegistry]:
    """A registry that lets everybody in."""
    with registry.run(program, tmp_path_factory.mktemp("registry") / "open") as running:
        yield running


@pytest.fixture(scope="session")
def closed_registry(
    program: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningRegistry]:
    """A registry that asks for a password."""
    root = tmp_path_factory.mktemp("registry") / "closed"
    with registry.run(program, root, password=True) as running:
        yield running


@pytest.fixture
def model_files(tmp_path: Path) -> dict[str, Path]:
    """What a model folder holds, wanted and not, by path."""
    folder = tmp_path / "model-files"
    contents = {
        "config.json": b"{}",
        "tokenizer.json": b"{}",
        "model.safetensors": bytes(range(256)) * 512,
        "pytorch_model.bin": b"a pickle",
        "README.md": b"# a model",
        "onnx/model.onnx": b"not asked for",
    }
    for path, content in contents.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return {path: folder / path for path in contents}


WANTED = {"config.json", "tokenizer.json", "model.safetensors", "README.md"}
"""Of model_files."""


def push(running: RunningRegistry, name: str, files: dict[str, Path], folder: Path) -> str:
    """Push the files as an image; returns its uri by digest."""
    image = ImageReference.parse(f"oci://{running.host}/{name}")
    packed = pack(files, {}, folder)
    Registry(insecure_hosts=[running.host]).push(packed, image)
    return image.at(packed.digest).uri


def names(folder: Path) -> set[str]:
    """Every file below the folder."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
