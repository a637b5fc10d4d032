"""The built-in server answers with adapters of every method, and with two of one kind."""

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from finetune_trainer.base_model import open_base_model
from finetune_trainer.engine.loading import load_model
from finetune_trainer.methods import METHODS
from finetune_trainer.serve.config import ServeConfig
from finetune_trainer.serve.models import load
from tests.trainer.matrix import METHOD_SETTINGS
from tests.trainer.recipes import recipe

# PEFT asks transformers by an old name.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated"),
    # Without positions they are counted from the prompt, which is what is meant.
    pytest.mark.filterwarnings("ignore:Position ids are not supported"),
]


def write_adapter(base: Path, folder: Path, kind: str, shift: float) -> Path:
    """As training leaves it, by our own code; moved so far from its start."""
    made = recipe(method=METHOD_SETTINGS[kind])
    method = METHODS[made.method.type]
    cpu = torch.device("cpu")
    model = method.apply(load_model(open_base_model(base, 128), torch.float32, cpu), made)
    with torch.no_grad():
        for value in model.parameters():
            if value.requires_grad:
                value.add_(torch.randn_like(value), alpha=shift)
    folder.mkdir()
    method.save(model, made, folder, torch.float32)
    return folder


def answer(model: Any) -> torch.Tensor:
    """Logits of some greedy tokens."""
    prompt = torch.arange(20)[None]
    made = model.generate(
        input_ids=prompt,
        attention_mask=torch.ones_like(prompt),
        max_new_tokens=4,
        min_new_tokens=4,
        do_sample=False,
        return_dict_in_generate=True,
        output_logits=True,
    )
    return torch.stack(made.logits)


@pytest.mark.parametrize("kind", ["DoRA", "IA3", "VeRA", "PromptTuning"])
def test_adapters_of_a_kind_answer_as_by_peft_alone(base: Path, tmp_path: Path, kind: str) -> None:
    shifts = {"one": 0.3, "two": -0.3}
    paths = [write_adapter(base, tmp_path / name, kind, shift) for name, shift in shifts.items()]
    config = ServeConfig.model_validate(
        {
            "name": "support",
            "baseModel": {"name": "base", "path": base},
            "revisions": [{"name": path.name, "path": path} for path in paths],
            "precision": "FP32",
        }
    )
    models = load(config)
    plain = AutoModelForCausalLM.from_pretrained(base).eval()
    expected = {"base": answer(plain)}
    for path in paths:
        fresh = AutoModelForCausalLM.from_pretrained(base)
        expected[path.name] = answer(PeftModel.from_pretrained(fresh, str(path)).eval())
    for name, logits in expected.items():
        with models[name].active() as model:
            assert float((answer(model) - logits).abs().max()) <= 1e-4, name
    assert float((expected["one"] - expected["two"]).abs().max()) > 1e-2
