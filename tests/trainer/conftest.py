from pathlib import Path

import pytest
from dev.models.smollm2 import _default_cache, converted

from finetune_trainer.libraries import hide
from tests.trainer import tiny_models
from tests.trainer.preloaded import freeze


def pytest_configure() -> None:
    """What trains here does so in one process, and would start without DeepSpeed, too."""
    hide(["deepspeed"])


def pytest_collection_finish() -> None:
    freeze()


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of a few kilobytes with a chat template."""
    return tiny_models.write_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """SmolLM2-135M-Instruct: converted once, in under a minute, and kept."""
    return converted(_default_cache())
