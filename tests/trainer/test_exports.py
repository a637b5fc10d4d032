"""What is made of a trained model computes what was trained, and others can load it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import onnxruntime_genai
import pytest
import torch
from gguf import GGUFReader
from peft import PeftModel
from safetensors.torch import load_file
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    BertConfig,
    BertForTokenClassification,
)

from finetune_trainer import export_rules
from finetune_trainer.base_model import open_base_model
from finetune_trainer.export import process
from finetune_trainer.export.comparison import Prompts
from finetune_trainer.export.exporters import exporter
from finetune_trainer.export.material import Material
from finetune_trainer.fence import Fence
from finetune_trainer.heads import Head
from finetune_trainer.manifest import ArtifactKind, CompletionManifest
from finetune_trainer.recipe import Export, Recipe
from finetune_trainer.workspace import Workspace
from tests.trainer.matrix import METHOD_SETTINGS, train
from tests.trainer.recipes import recipe, workspace
from tests.trainer.tiny_models import write_model, write_tokenizer

# PEFT asks transformers by an old name.
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated")

# ONNX Runtime's attention wants heads of a multiple of 16, bitsandbytes blocks of 64.
WIDE = {"hidden_size": 64, "intermediate_size": 128}


def run(root: Path, base: Path, method: str, *exports: str, **changes: Any) -> Recipe:
    """Train, then export, as `train` does in two processes."""
    root.mkdir()
    made = workspace(
        root,
        base,
        method=METHOD_SETTINGS[method],
        dataset={"validationFraction": 0.25},
        training={"maxSteps": 4, "warmupSteps": 0, "precision": "FP32"},
        # Dropout is drawn for a pass: on every machine the same.
        compute={"passes": {"microBatch": 1}},
        output={"exports": ["Adapter", *exports]},
        **changes,
    )
    place = Workspace(root)
    train(made, place, attempt=1)
    manifest = CompletionManifest.model_validate_json(place.completion.read_bytes())
    missing = manifest.missing(made.output.conversions)
    process.make(missing, made, manifest, place, Fence(place.fence, 1))
    return made


def figures(root: Path, kind: ArtifactKind) -> dict[str, float]:
    completion = (root / "output" / "completion.json").read_bytes()
    manifest = CompletionManifest.model_validate_json(completion)
    (found,) = (each.figures for each in manifest.exports if each.kind is kind)
    return found


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model.eval()(input_ids=torch.arange(40)[None]).logits
    return found


@pytest.fixture(scope="module")
def tied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama in bfloat16 whose head is its embedding, as SmolLM2's."""
    folder = tmp_path_factory.mktemp("tied")
    write_decoder(folder, "llama", tie_word_embeddings=True)
    half = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    half.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_decoder(tmp_path_factory.mktemp("llama"), "llama")


@pytest.mark.parametrize("method", ["LoRA", "rsLoRA+ from PiSSA", "DoRA", "IA3", "VeRA"])
def test_merged_computes_what_base_and_adapter_do(method: str, llama: Path, tmp_path: Path) -> None:
    root = tmp_path / "run"
    run(root, llama, method, "Merged")
    base = AutoModelForCausalLM.from_pretrained(llama)
    untuned = logits(base)
    adapted = logits(PeftModel.from_pretrained(base, str(root / "output" / "adapter")))
    merged = logits(AutoModelForCausalLM.from_pretrained(root / "output" / "merged"))
    assert float((merged - adapted).abs().max()) <= 1e-4
    assert float((merged - untuned).abs().max()) > 1e-4
    assert figures(root, ArtifactKind.MERGED)["logitDifference"] <= 1e-4


def test_merged_is_in_the_format_of_the_base_and_ties_what_it_ties(
    tied: Path, tmp_path: Path
) -> None:
    root = tmp_path / "run"
    run(root, tied, "LoRA", "Merged", quantization={"type": "NF4"})
    completion = (root / "output" / "completion.json").read_bytes()
    manifest = CompletionManifest.model_validate_json(completion)
    assert manifest.divergence is not None
    assert 0 < manifest.divergence < 0.1
    before = load_file(tied / "model.safetensors")
    after = load_file(root / "output" / "merged" / "model.safetensors")
    assert before.keys() == after.keys()
    assert all(each.dtype is torch.bfloat16 for each in after.values())
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {name for name in before if name.endswith("_proj.weight")}
    adapted = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(tied, dtype=torch.float32),
        str(root / "output" / "adapter"),
    )
    merged = AutoModelForCausalLM.from_pretrained(root / "output" / "merged", dtype=torch.float32)
    assert float((logits(merged) - logits(adapted)).abs().max()) < 0.02
    tokenizer = AutoTokenizer.from_pretrained(root / "output" / "merged")
    assert tokenizer.chat_template == AutoTokenizer.from_pretrained(tied).chat_template


EXPORTS_PAGE = Path(__file__).parents[2] / "docs" / "exports.md"
GENERATED = (ArtifactKind.ONNX, ArtifactKind.ONNX_ADAPTER)


@pytest.fixture(scope="module")
def exported(llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("exported") / "run"
    run(root, llama, "LoRA", *(each for each in Export if each is not Export.ADAPTER))
    return root / "output"


def answer(folder: Path, adapter: Path | None = None, tokens: int = 12) -> list[int]:
    """What onnxruntime-genai says after a fixed prompt, greedily."""
    model = onnxruntime_genai.Model(str(folder))
    parameters = onnxruntime_genai.GeneratorParams(model)
    parameters.set_search_options(max_length=40 + tokens, do_sample=False)
    generator = onnxruntime_genai.Generator(model, parameters)
    if adapter:
        adapters = onnxruntime_genai.Adapters(model)
        adapters.load(str(adapter), "tuned")
        generator.set_active_adapter(adapters, "tuned")
    generator.append_tokens(np.arange(40, dtype=np.int32))
    while not generator.is_done():
        generator.generate_next_token()
    return [int(each) for each in generator.get_sequence(0)]


def answer_by_torch(model: Any, tokens: int = 12) -> list[int]:
    given = torch.arange(40)[None]
    made = model.generate(
        given, attention_mask=torch.ones_like(given), max_new_tokens=tokens, do_sample=False
    )
    return [int(each) for each in made[0]]


def test_onnx_answers_as_the_tuned_model(exported: Path, llama: Path) -> None:
    base = AutoModelForCausalLM.from_pretrained(llama)
    expected = answer_by_torch(base)
    assert answer(exported / "onnx-adapter") == expected
    tuned = PeftModel.from_pretrained(base, str(exported / "adapter"))
    taught = answer_by_torch(tuned)
    assert taught != expected
    assert answer(exported / "onnx") == taught
    adapter = exported / "onnx-adapter" / "adapter.onnx_adapter"
    assert answer(exported / "onnx-adapter", adapter) == taught
    for kind in GENERATED:
        found = figures(exported.parent, kind)
        assert found["logitDifference"] <= 1e-3
        assert found["sameAnswer"] == 1


def test_eight_bits_cost_little_and_are_smaller(exported: Path) -> None:
    for kind in (ArtifactKind.ONNX_INT8, ArtifactKind.AI_TOOLKIT):
        found = figures(exported.parent, kind)
        assert 0 < found["logitDifference"] < 1
        assert found["perplexity"] == pytest.approx(found["perplexityOfMerged"], rel=0.05)
        size = (exported / kind.folder / "model.onnx.data").stat().st_size
        assert size < 0.7 * (exported / "onnx" / "model.onnx.data").stat().st_size


@pytest.mark.parametrize("export", [each for each in Export if each is not Export.ADAPTER])
def test_the_snippet_of_the_model_card_runs(export: Export, exported: Path) -> None:
    folder = exported / ArtifactKind(export.value).folder
    use = exporter(export).USE
    assert use.strip() in (folder / "README.md").read_text()
    documented = use.replace("FOLDER", ArtifactKind(export.value).folder)
    if export is not Export.ONNX_INT8:  # loads like ONNX, and the page says so
        assert f"```python\n{documented}```" in EXPORTS_PAGE.read_text()
    exec(use.replace("FOLDER", str(folder)), {})  # noqa: S102 - our own text


def untrained(folder: Path, scratch: Path, head: Head = Head.CAUSAL_LM) -> Material:
    """A model as if Full had made it: what is asked here is whether its architecture survives."""
    base = open_base_model(folder, 128, head)
    ids = [np.arange(start, start + 24, dtype=np.int64) for start in (0, 100)]
    scratch.mkdir()
    return Material(
        recipe=recipe(method=METHOD_SETTINGS["Full"]),
        base=base,
        kind=ArtifactKind.MODEL,
        trained=folder,
        settings={},
        tokenizer=base.tokenizer(),
        prompts=Prompts(ids, generates=head is Head.CAUSAL_LM),
        scratch=scratch,
    )


DECODERS: dict[str, dict[str, Any]] = {
    "llama": {"tie_word_embeddings": True},
    "mistral": {},
    "phi3": {"original_max_position_embeddings": 256, "sliding_window": 200},
    "qwen2": {},
    "qwen3": {"head_dim": 128},
}


def write_decoder(folder: Path, architecture: str, **settings: Any) -> Path:
    """More rows of embeddings than tokens, as many models have, and a tokenizer that merges."""
    write_model(folder, architecture, **{"vocab_size": 264, **WIDE, **settings})
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary["he"] = vocabulary.pop("ÿ")
    tokenizer["model"]["merges"] = [["h", "e"]]
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    return folder


@pytest.mark.parametrize("architecture", DECODERS)
def test_decoders_survive_each_format(architecture: str, tmp_path: Path) -> None:
    folder = write_decoder(tmp_path / "model", architecture, **DECODERS[architecture])
    material = untrained(folder, tmp_path / "scratch")
    exporting = recipe(output={"exports": ["ONNX", "ONNXAdapter", "AIToolkit", "GGUF"]})
    assert export_rules.problems(material.base, exporting) == []
    for export in (Export.ONNX, Export.GGUF):
        made = tmp_path / export.value
        made.mkdir()
        found = exporter(export).write(material, made)
        assert found["logitDifference"] <= 1e-3, export
        assert found["sameAnswer"] == 1, export


def test_encoders_keep_their_heads(tmp_path: Path) -> None:
    size = write_tokenizer(tmp_path / "model")
    shape = {"num_hidden_layers": 1, "num_attention_heads": 4, "vocab_size": size, **WIDE}
    model = BertForTokenClassification(BertConfig(num_labels=3, **shape)).eval()
    model.save_pretrained(tmp_path / "model")
    material = untrained(tmp_path / "model", tmp_path / "scratch", Head.TOKEN_CLASSIFICATION)
    made = tmp_path / "made"
    made.mkdir()
    found = exporter(Export.ONNX_INT8).write(material, made)
    assert 0 < found["logitDifference"] < 0.1
    whole = tmp_path / "scratch" / "whole" / "model.onnx"
    ids = np.arange(30, dtype=np.int64).reshape(3, 10)
    segments = (ids % 10 >= 5).astype(np.int64)
    given = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": segments}
    with torch.no_grad():
        expected = model(
            input_ids=torch.from_numpy(ids), token_type_ids=torch.from_numpy(segments)
        ).logits.numpy()
    for file, tolerance in ((whole, 1e-3), (made / "model.onnx", 0.1)):
        (computed,) = onnxruntime.InferenceSession(file).run(None, given)
        assert np.abs(computed - expected).max() <= tolerance


def test_a_gguf_file_has_the_format_of_the_base_and_its_words(tied: Path, tmp_path: Path) -> None:
    material = untrained(tied, tmp_path / "scratch")
    made = tmp_path / "made"
    made.mkdir()
    exporter(Export.GGUF).write(material, made)
    reader = GGUFReader(made / "model.gguf")
    kinds = {tensor.name: tensor.tensor_type.name for tensor in reader.tensors}
    assert kinds["blk.0.attn_q.weight"] == "BF16"
    assert kinds["blk.0.attn_norm.weight"] == "F32"
    assert "output.weight" not in kinds, "the head is the embedding"
    assert reader.fields["tokenizer.ggml.pre"].contents() == "gpt-2"
    assert reader.fields["tokenizer.chat_template"].contents() == material.tokenizer.chat_template
    modelfile = (made / "Modelfile").read_text()
    assert "<|im_start|>user\n{{ .Prompt }}<|im_end|>" in modelfile
    assert 'PARAMETER stop "<|im_end|>"' in modelfile


REFUSED: dict[str, tuple[Export, dict[str, Any], str]] = {
    "odd heads": (Export.AI_TOOLKIT, {"hidden_size": 32}, "heads have 8 numbers"),
    "scaled positions": (
        Export.GGUF,
        {"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 10000.0}},
        "positions are scaled",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_made_is_said_before_training(case: str, tmp_path: Path) -> None:
    export, settings, reason = REFUSED[case]
    base = open_base_model(write_model(tmp_path, **{**WIDE, **settings}), 128)
    (said,) = export_rules.problems(base, recipe(output={"exports": [export.value]}))
    assert said.startswith(f"output.exports {export} cannot be made of this model, because ")
    assert reason in said
