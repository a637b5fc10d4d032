"""What a run leaves behind can be trusted, and read by others."""

import hashlib
import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from finetune_trainer.data.examples import TokensExample
from finetune_trainer.engine.attention import register_attention
from finetune_trainer.engine.rows import make_row
from finetune_trainer.engine.trainer import PackedTrainer
from finetune_trainer.exit_codes import ExitCode
from finetune_trainer.manifest import ArtifactKind, CompletionManifest
from finetune_trainer.recipe import Metric
from finetune_trainer.report.scores import ScoresFile, gain, interval
from tests.trainer.processes import Ended, train
from tests.trainer.recipes import workspace
from tests.trainer.tiny_models import write_model

# PEFT asks transformers by an old name.
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated")

HELD_OUT: dict[str, Any] = {"dataset": {"validationFraction": 0.25}, "training": {"maxSteps": 40}}

LOGITS = """
import sys, torch
from peft import AutoPeftModelForCausalLM, PeftModel
from transformers import AutoModelForCausalLM
base, adapter, result = sys.argv[1:]
model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), adapter).eval()
with torch.no_grad():
    torch.save(model(input_ids=torch.arange(60)[None]).logits, result)
"""


@pytest.fixture(scope="module")
def trained(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ended]:
    root = tmp_path_factory.mktemp("trained")
    workspace(root, tiny_model, **HELD_OUT)
    (ended,) = train(root)
    return root, ended


def test_manifest_names_every_file(trained: tuple[Path, Ended]) -> None:
    root, ended = trained
    content = (root / "output" / "completion.json").read_bytes()
    manifest = CompletionManifest.model_validate_json(content)
    assert ended.trained.completion_digest == f"sha256:{hashlib.sha256(content).hexdigest()}"
    assert manifest.kind is ArtifactKind.ADAPTER
    files = {path for path in (root / "output").rglob("*") if path.is_file()}
    named = {root / "output" / file.path for file in manifest.files}
    assert files - named == {root / "output" / "completion.json"}
    for file in manifest.files:
        stored = (root / "output" / file.path).read_bytes()
        assert (len(stored), hashlib.sha256(stored).hexdigest()) == (file.bytes, file.sha256)


def test_held_out_loss_falls(trained: tuple[Path, Ended]) -> None:
    evaluation = trained[1].trained.evaluation
    assert evaluation is not None
    assert float(evaluation.tuned["Loss"]) < float(evaluation.base["Loss"])


def test_the_scores_of_the_examples_have_the_held_out_loss_as_their_mean(
    trained: tuple[Path, Ended],
) -> None:
    root, ended = trained
    assert ended.trained.evaluation is not None
    scores = ScoresFile.model_validate_json((root / "output" / "evaluation.json").read_bytes())
    both, evaluation = scores.metrics[Metric.LOSS], ended.trained.evaluation
    assert f"{interval(Metric.LOSS, both.base).value:.4f}" == evaluation.base["Loss"]
    assert f"{interval(Metric.LOSS, both.tuned).value:.4f}" == evaluation.tuned["Loss"]
    assert gain(Metric.LOSS, both).high < 0


def test_model_card_says_what_was_made_of_what(trained: tuple[Path, Ended]) -> None:
    root, ended = trained
    card = (root / "output" / "adapter" / "README.md").read_text()
    manifest = json.loads((root / "output" / "completion.json").read_text())
    evaluation = ended.trained.evaluation
    assert evaluation is not None
    for fact in (manifest["datasetDigest"], manifest["recipeDigest"], evaluation.tuned["Loss"]):
        assert fact in card


def test_plain_peft_in_another_process_gives_the_same_logits(
    trained: tuple[Path, Ended], tmp_path: Path
) -> None:
    root, _ = trained
    adapter = root / "output" / "adapter"
    result = tmp_path / "logits.pt"
    arguments = [str(root / "inputs" / "model"), str(adapter), str(result)]
    subprocess.run([sys.executable, "-c", LOGITS, *arguments], check=True, env=os.environ)
    theirs = torch.load(result)

    base = AutoModelForCausalLM.from_pretrained(
        root / "inputs" / "model", attn_implementation=register_attention()
    )
    model: Any = PeftModel.from_pretrained(base, adapter)
    row = make_row([TokensExample(np.arange(60), np.ones(60, dtype=np.bool_))])
    with torch.no_grad():
        ours = model(
            input_ids=row.input_ids,
            position_ids=row.position_ids,
            cu_seq_lens_q=row.boundaries,
            max_length_q=row.longest,
            use_cache=False,
        ).logits
        untuned = AutoModelForCausalLM.from_pretrained(root / "inputs" / "model")(
            input_ids=row.input_ids
        ).logits
    assert float((ours - theirs).abs().max()) <= 1e-4
    assert float((untuned - theirs).abs().max()) > 1e-2


def test_tuned_model_answers_and_stops(tiny_model: Path, tmp_path: Path) -> None:
    """Its end token was learned."""
    full: dict[str, Any] = {"method": {"type": "Full", "lora": None}}
    workspace(tmp_path, tiny_model, **full, training={"maxSteps": 150, "learningRate": 0.01})
    (ended,) = train(tmp_path)
    assert ended.exit_code == 0, ended.log
    tokenizer: Any = AutoTokenizer.from_pretrained(tmp_path / "output" / "model")
    model: Any = AutoModelForCausalLM.from_pretrained(tmp_path / "output" / "model")
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "What comes after 7?"}],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )
    answer = model.generate(**prompt, max_new_tokens=40, do_sample=False)
    assert int(answer[0, -1]) == tokenizer.eos_token_id
    assert answer.shape[1] < prompt["input_ids"].shape[1] + 40


def test_full_model_keeps_the_format_of_its_base(tmp_path: Path) -> None:
    base = write_model(tmp_path / "base", dtype=torch.bfloat16)
    half = AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16)
    half.save_pretrained(base)
    root = tmp_path / "workspace"
    root.mkdir()
    full: dict[str, Any] = {
        "method": {"type": "Full", "lora": None},
        "training": {"learningRate": 0.003},
    }
    workspace(root, base, dataset={"validationFraction": 0.25}, **full)
    (ended,) = train(root)
    assert ended.trained.step == 12
    saved = AutoModelForCausalLM.from_pretrained(root / "output" / "model", dtype="auto")
    assert saved.dtype is torch.bfloat16
    manifest = json.loads((root / "output" / "completion.json").read_text())
    assert manifest["kind"] == "Model"


def test_superseded_attempt_commits_nothing(tiny_model: Path, tmp_path: Path) -> None:
    workspace(tmp_path, tiny_model)
    (tmp_path / "fence").write_text("3")
    (ended,) = train(tmp_path, attempt=2)
    assert ended.exit_code == ExitCode.SUPERSEDED
    assert not (tmp_path / "checkpoints").exists()
    assert not (tmp_path / "output").exists()


def take_over(step: int) -> None:
    """In the process: a later attempt claims the volume during this step."""
    original = PackedTrainer.training_step

    def training_step(self, model, inputs, num_items_in_batch=None):  # type: ignore[no-untyped-def]
        if inputs["step"] + 1 == step:
            (self._around.checkpoints.root.parent / "fence").write_text("2")
        return original(self, model, inputs, num_items_in_batch)

    PackedTrainer.training_step = training_step  # type: ignore[method-assign]


def test_attempt_that_is_superseded_while_it_trains_stops(tiny_model: Path, tmp_path: Path) -> None:
    workspace(tmp_path, tiny_model)
    (ended,) = train(tmp_path, prepare=[partial(take_over, 6)])
    assert ended.exit_code == ExitCode.SUPERSEDED, ended.log
    assert [path.name for path in (tmp_path / "checkpoints").glob("step-*")] == ["step-00000004"]


def test_diverged_run_says_so_and_saves_no_broken_weights(tiny_model: Path, tmp_path: Path) -> None:
    workspace(tmp_path, tiny_model)
    (ended,) = train(tmp_path, prepare=[partial(break_loss, 6)])
    assert ended.exit_code == ExitCode.DIVERGED, ended.log
    assert "training.learningRate" in ended.failure.message
    assert [path.name for path in (tmp_path / "checkpoints").glob("step-*")] == ["step-00000004"]


@pytest.mark.parametrize("held_out", [True, False], ids=["held out", "none held out"])
def test_weights_that_are_no_numbers_are_named(tmp_path: Path, held_out: bool) -> None:
    model = write_model(tmp_path / "model")
    path = model / "model.safetensors"
    tensors = load_file(path)
    name = next(name for name in tensors if "mlp.up_proj" in name)
    tensors[name].view(-1)[0] = torch.nan
    save_file(tensors, path, {"format": "pt"})
    dataset = {"validationFraction": 0.25} if held_out else {}
    workspace(tmp_path, model, dataset=dataset)
    (ended,) = train(tmp_path)
    assert ended.exit_code == ExitCode.CONFIGURATION_ERROR, ended.log
    assert f"{name} of the model holds values that are no numbers" in ended.failure.message
    assert not list((tmp_path / "checkpoints").glob("step-*"))


def break_loss(step: int) -> None:
    """In the process: a weight becomes infinite before this step."""
    original = PackedTrainer.training_step

    def training_step(self, model, inputs, num_items_in_batch=None):  # type: ignore[no-untyped-def]
        if inputs["step"] + 1 == step:
            with torch.no_grad():
                next(value for value in model.parameters() if value.requires_grad).fill_(torch.inf)
        return original(self, model, inputs, num_items_in_batch)

    PackedTrainer.training_step = training_step  # type: ignore[method-assign]
