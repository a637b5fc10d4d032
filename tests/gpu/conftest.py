import pytest
import torch


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """These were asked for by name, so that a machine without a GPU is no reason to skip them."""
    if items and not config.option.collectonly and not torch.cuda.is_available():
        raise pytest.UsageError("tests/gpu need an NVIDIA GPU, and torch sees none here")


@pytest.fixture(scope="session")
def gpu() -> torch.device:
    return torch.device("cuda", 0)


@pytest.fixture(autouse=True)
def _deterministic() -> None:
    """Or sums of what threads add in any order differ from run to run."""
    torch.use_deterministic_algorithms(True)
