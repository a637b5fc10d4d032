from pathlib import Path

import pytest

from tests.trainer import tiny_models


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of a few kilobytes with a chat template."""
    return tiny_models.write_model(tmp_path_factory.mktemp("tiny"))
