"""Training that goes on from an adapter."""

import argparse
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from finetune_trainer import check
from finetune_trainer.errors import ConfigurationError
from finetune_trainer.manifest import CompletionManifest
from finetune_trainer.workspace import Workspace
from tests.trainer.matrix import METHOD_SETTINGS, train
from tests.trainer.recipes import CONVERSATIONS, PAIRS, workspace
from tests.trainer.tiny_models import write_model

HELD_OUT = {"dataset": {"validationFraction": 0.25}}
METHODS = [name for name in METHOD_SETTINGS if name not in ("Full", "LoRA from LoftQ")]


def run(root: Path, model: Path, lines: list[Any], /, **changes: Any) -> CompletionManifest:
    root.mkdir()
    made = workspace(root, model, lines, **HELD_OUT, **changes)
    train(made, Workspace(root), attempt=1)
    return CompletionManifest.model_validate_json(Workspace(root).completion.read_bytes())


def short(steps: int = 4) -> dict[str, Any]:
    return {"training": {"maxSteps": steps, "warmupSteps": 0}}


def going_on(name: str, adapter: Path) -> dict[str, Any]:
    """A recipe that goes on from what a method has published."""
    settings = json.loads(json.dumps(METHOD_SETTINGS[name]))
    lora = settings.get("lora")
    if lora and lora.pop("initialization", "Default") != "Default":
        # Published as the difference to its start: of twice the rank, with the scale 1. LoRA+'s
        # rate is for a B that starts from zero, and overshoots from here.
        plain = {"rankStabilized": False, "learningRateRatio": 1}
        settings["lora"] = lora | {"rank": 8, "alpha": 8} | plain
    return {"method": settings, "model": {"adapterUri": f"file://{adapter}"}}


@pytest.mark.parametrize("name", METHODS)
def test_what_one_run_ends_with_is_what_the_next_starts_from(
    tiny_model: Path, tmp_path: Path, name: str
) -> None:
    first = run(tmp_path / "a", tiny_model, CONVERSATIONS, method=METHOD_SETTINGS[name], **short())
    adapter = tmp_path / "a" / "output" / "adapter"
    second = run(tmp_path / "b", tiny_model, CONVERSATIONS, **going_on(name, adapter), **short())
    assert first.evaluation is not None
    assert second.evaluation is not None
    ended, began = (
        float(each["Loss"]) for each in (first.evaluation.tuned, second.evaluation.base)
    )
    assert began == pytest.approx(ended, abs=1e-3)
    assert float(second.evaluation.tuned["Loss"]) < began
    assert second.adapter == f"file://{adapter}"


@pytest.fixture(scope="module")
def learned(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("learned") / "run"
    run(root, tiny_model, CONVERSATIONS, **short(12))
    return root / "output" / "adapter"


def test_preferences_are_learned_on_top_and_published_as_one_adapter(
    tiny_model: Path, tmp_path: Path, learned: Path
) -> None:
    """The adapter that training went on from is also what rewards are counted from."""
    made = run(
        tmp_path / "run",
        tiny_model,
        PAIRS,
        task="Preference",
        preference={"loss": "DPO", "beta": 0.1},
        evaluation={"metrics": ["Loss", "RewardAccuracy"]},
        model={"adapterUri": f"file://{learned}"},
        **short(8),
    )
    assert made.evaluation is not None
    assert made.evaluation.base["RewardAccuracy"] == "0.5000"
    assert float(made.evaluation.tuned["RewardAccuracy"]) > 0.5
    output = tmp_path / "run" / "output" / "adapter"
    assert f"file://{learned}" in (output / "README.md").read_text()
    assert (
        load_file(output / "adapter_model.safetensors").keys()
        == load_file(learned / "adapter_model.safetensors").keys()
    )
    plain = AutoModelForCausalLM.from_pretrained(tiny_model)
    before = PeftModel.from_pretrained(plain, str(learned), adapter_name="before")
    before.load_adapter(str(output), adapter_name="after")
    ids = torch.arange(40)[None]
    logits = []
    for name in ("before", "after"):
        before.set_adapter(name)
        with torch.no_grad():
            logits.append(before(input_ids=ids).logits)
    assert 1e-4 < float((logits[0] - logits[1]).abs().max()) < 5


def changed(**settings: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "adapter_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | settings))

    return change


def without_config(folder: Path) -> None:
    (folder / "adapter_config.json").unlink()


def torn(folder: Path) -> None:
    path = folder / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:100])


def only_some_modules(folder: Path) -> None:
    path = folder / "adapter_model.safetensors"
    kept = {name: value for name, value in load_file(path).items() if "q_proj" in name}
    save_file(kept, path)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (changed(use_dora=True), "is an adapter of method DoRA, and method.type is LoRA: set it"),
        (changed(r=8), "has rank 8, and method.lora.rank is 4: set it to 8"),
        (changed(lora_alpha=32), "has alpha 32, and method.lora.alpha is 8: set it to 32"),
        (changed(use_rslora=True), "has rankStabilized true, and method.lora.rankStabilized is"),
        (changed(modules_to_save=["lm_head"]), "was made with PEFT's modules_to_save"),
        (changed(peft_type="LOHA"), "is an adapter of PEFT's type LOHA: choose one of LoRA"),
        (without_config, "adapter_config.json or adapter_model.safetensors is missing or broken"),
        (torn, "adapter_config.json or adapter_model.safetensors is missing or broken"),
        (only_some_modules, 'set its targetModules to ["q_proj"]'),
    ],
)
def test_an_adapter_that_does_not_fit_is_refused_in_seconds(
    tiny_model: Path, tmp_path: Path, learned: Path, spoil: Callable[[Path], None], message: str
) -> None:
    adapter = tmp_path / "adapter"
    shutil.copytree(learned, adapter)
    spoil(adapter)
    assert message in refusal(tmp_path, tiny_model, adapter)


def test_an_adapter_of_another_model_is_refused(tmp_path: Path, learned: Path) -> None:
    wide = write_model(tmp_path / "wide", hidden_size=64)
    assert "it was made for another model" in refusal(tmp_path, wide, learned)
    fused = write_model(tmp_path / "fused", "phi3")
    (tmp_path / "again").mkdir()
    found = refusal(tmp_path / "again", fused, learned)
    assert "which the model does not have: it was made for another one" in found


def test_an_adapter_with_values_that_are_no_numbers_is_refused(
    tiny_model: Path, tmp_path: Path, learned: Path
) -> None:
    adapter = tmp_path / "adapter"
    shutil.copytree(learned, adapter)
    path = adapter / "adapter_model.safetensors"
    tensors = load_file(path)
    next(iter(tensors.values())).view(-1)[0] = np.nan
    save_file(tensors, path)
    with pytest.raises(ConfigurationError, match="holds values that are no numbers"):
        run(
            tmp_path / "run",
            tiny_model,
            CONVERSATIONS,
            model={"adapterUri": f"file://{adapter}"},
        )


def refusal(root: Path, model: Path, adapter: Path) -> str:
    workspace(root, model, model={"adapterUri": f"file://{adapter}"})
    with pytest.raises(ConfigurationError) as raised:
        check.run(argparse.Namespace(recipe=root / "recipe.json", workspace=root))
    return str(raised.value)
