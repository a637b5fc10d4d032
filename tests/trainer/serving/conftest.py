from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from tests.trainer import tiny_models
from tests.trainer.serving.server import Running, config, run


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model with room for answers that take a while."""
    folder = tmp_path_factory.mktemp("serving") / "base"
    return tiny_models.write_model(folder, max_position_embeddings=16384)


@pytest.fixture(scope="session")
def adapters(base: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two adapters that say something else than the base, as training leaves them."""
    return [
        write_adapter(base, tmp_path_factory.mktemp("adapters") / f"{number}", number)
        for number in (1, 2)
    ]


def write_adapter(base: Path, folder: Path, seed: int) -> Path:
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    torch.manual_seed(seed)
    # Not initialized to zero, so that its answers differ from the base model's.
    lora = LoraConfig(
        r=8,
        lora_alpha=32,
        target_modules=["q_proj", "v_proj", "down_proj"],
        init_lora_weights=False,
        task_type="CAUSAL_LM",
    )
    get_peft_model(model, lora).save_pretrained(str(folder))
    return folder


@pytest.fixture(scope="session")
def server(base: Path, adapters: list[Path]) -> Iterator[Running]:
    """Base and two revisions, one of which gets 30 % of the requests."""
    settings = config(
        base,
        revisions=[
            {"name": "support-0001", "path": adapters[0]},
            {"name": "support-0002", "path": adapters[1]},
        ],
        traffic=[
            {"revision": "support-0001", "percent": 70},
            {"revision": "support-0002", "percent": 30},
        ],
    )
    with run(settings) as running:
        yield running
