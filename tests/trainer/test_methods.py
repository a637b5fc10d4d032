"""What each method trains, and that it computes what PEFT's own code does."""

from pathlib import Path
from typing import Any, cast

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import PreTrainedModel

from finetune_trainer import products
from finetune_trainer.base_model import open_base_model
from finetune_trainer.engine.loading import load_model
from finetune_trainer.engine.loss import summed_loss
from finetune_trainer.engine.rows import make_row
from finetune_trainer.methods import METHODS
from finetune_trainer.methods.factored_dora import FactoredLinear
from finetune_trainer.methods.fused_lora import FusedLinear
from finetune_trainer.methods.loftq import restore_what_quantization_lost
from finetune_trainer.methods.rates import set_rates
from finetune_trainer.recipe import MethodType, QuantizationType, Recipe
from tests.trainer.recipes import recipe
from tests.trainer.test_packing_gradients import distance, documents, gradients
from tests.trainer.tiny_models import write_model

CPU = torch.device("cpu")
LOW_RANK = {"rank": 4, "alpha": 8}

UNFUSED = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
FUSED = ("qkv_proj", "o_proj", "gate_up_proj", "down_proj")


def load(
    path: Path,
    made: Recipe,
    dtype: torch.dtype = torch.float32,
    quantization: QuantizationType = QuantizationType.NONE,
) -> Any:
    base = load_model(open_base_model(path, 128), dtype, CPU, quantization)
    return METHODS[made.method.type].apply(base, made)


def method(kind: str, **settings: Any) -> dict[str, Any]:
    member = kind[0].lower() + kind[1:] if kind == "PromptTuning" else kind.lower()
    return {"method": {"type": kind, "lora": None} | {member: settings}}


def disturb(model: torch.nn.Module) -> None:
    """As after some steps: B is no longer zero, nor a magnitude the norm."""
    torch.manual_seed(5)
    with torch.no_grad():
        for value in model.parameters():
            if value.requires_grad:
                value.add_(torch.randn_like(value), alpha=0.1)


@pytest.fixture
def _by_mkl(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same library's products as PEFT has: two libraries round otherwise, and either is as far
    from what doubles give as they are from each other. See test_products.py."""
    monkeypatch.setattr(products, "by_onednn", lambda: False)


@pytest.mark.usefixtures("_by_mkl")
@pytest.mark.parametrize("kind", ["LoRA", "DoRA"])
@pytest.mark.parametrize("dropout", [0.0, 0.2])
@pytest.mark.parametrize(
    ("architecture", "quantization"),
    [("llama", "None"), ("phi3", "None"), ("qwen2", "None"), ("llama", "NF4"), ("qwen2", "NF4")],
)
def test_gradients_are_those_of_peft(
    tmp_path: Path, architecture: str, quantization: str, dropout: float, kind: str
) -> None:
    path = write_model(tmp_path, architecture, hidden_size=64, intermediate_size=128)
    held = QuantizationType(quantization)
    made = recipe(**method(kind, **LOW_RANK, dropout=dropout, rankStabilized=True))
    ours = load(path, made, quantization=held)
    theirs: Any = get_peft_model(
        cast("PreTrainedModel", load_model(open_base_model(path, 128), torch.float32, CPU, held)),
        LoraConfig(
            task_type="CAUSAL_LM",
            r=4,
            lora_alpha=8,
            lora_dropout=dropout,
            use_rslora=True,
            use_dora=kind == "DoRA",
            target_modules="all-linear",
        ),
    )
    disturb(ours)
    theirs.load_state_dict(
        {name: value for name, value in ours.named_parameters() if value.requires_grad},
        strict=False,
    )
    found = []
    for model in (ours, theirs):
        model.train()
        torch.manual_seed(11)
        found.append(gradients(model, [documents()]))
    assert any("lora_magnitude_vector" in name for name in found[0]) == (kind == "DoRA")
    assert distance(found[0], found[1]) <= 1e-5


def test_magnitudes_change_what_a_bfloat16_model_says() -> None:
    """A change that a magnitude rounded to bfloat16 would not have."""
    torch.manual_seed(1)
    base = torch.nn.Linear(64, 64, bias=False, dtype=torch.bfloat16)
    config = LoraConfig(use_dora=True)
    layer: Any = FactoredLinear(base, "default", config=config, r=4, lora_alpha=8)
    x = torch.randn(2000, 64, dtype=torch.bfloat16)
    magnitude = layer.lora_magnitude_vector["default"].weight
    with torch.no_grad():
        before = layer(x).float()
        magnitude.data = magnitude.float() * (1 + 2**-8)
        ratio = float((layer(x).float() * before).sum() / before.square().sum())
    assert 2**-9 < ratio - 1 < 2**-6


@pytest.mark.parametrize(("kind", "use_dora"), [(FusedLinear, False), (FactoredLinear, True)])
def test_a_small_update_changes_what_a_bfloat16_model_says(kind: Any, use_dora: bool) -> None:
    """Most of it were lost in a sum with a product that is rounded already."""
    torch.manual_seed(1)
    base = torch.nn.Linear(64, 64, bias=False, dtype=torch.bfloat16).requires_grad_(False)
    config = LoraConfig(use_dora=use_dora)
    layer: Any = kind(base, "default", config=config, r=4, lora_alpha=8)
    x = torch.randn(2000, 64, dtype=torch.bfloat16)
    a, b = (each["default"].weight for each in (layer.lora_A, layer.lora_B))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        before = layer(x).float()
        b.normal_(std=2**-12)
        told = layer(x).float() - before
    update = 2 * x.float() @ a.detach().float().T @ b.detach().float().T
    assert float(before.std() / update.std()) > 2**9
    assert 0.9 < float((told * update).sum() / update.square().sum()) < 1.1


@pytest.mark.parametrize("kind", ["LoRA", "DoRA", "VeRA", "IA3"])
@pytest.mark.parametrize(("architecture", "linear"), [("llama", UNFUSED), ("phi3", FUSED)])
def test_all_linear_is_every_linear_layer_but_the_head(
    tmp_path: Path, kind: str, architecture: str, linear: tuple[str, ...]
) -> None:
    path = write_model(tmp_path, architecture)
    settings = {} if kind == "IA3" else {"rank": 4, "dropout": 0.0}
    alpha = {"alpha": 8} if kind in ("LoRA", "DoRA") else {}
    model = load(path, recipe(**method(kind, **settings, **alpha)))
    changed = {
        tuple(name.split(".")[4:7:2])
        for name, value in model.named_parameters()
        if value.requires_grad
    }
    assert changed == {(str(layer), name) for layer in range(2) for name in linear}


@pytest.mark.parametrize("architecture", ["llama", "phi3"])
def test_ia3_scales_the_inputs_of_what_ends_a_feed_forward_block(
    tmp_path: Path, architecture: str
) -> None:
    model = load(write_model(tmp_path, architecture), recipe(**method("IA3")))
    inputs = {
        name.split(".")[-1]: module.is_feedforward
        for name, module in model.named_modules()
        if hasattr(module, "is_feedforward")
    }
    assert [name for name, scaled in inputs.items() if scaled] == ["down_proj"]
    assert len(inputs) == (7 if architecture == "llama" else 4)


@pytest.mark.parametrize("quantization", [QuantizationType.NF4, QuantizationType.INT8])
def test_ia3_gives_what_follows_quantized_weights_the_type_of_the_others(
    tiny_model: Path, quantization: QuantizationType
) -> None:
    made = recipe(**method("IA3"), quantization={"type": quantization})
    model = load(tiny_model, made, torch.bfloat16, quantization)
    types = set[torch.dtype]()
    for module in model.modules():
        if type(module).__name__ == "LlamaDecoderLayer":
            module.register_forward_hook(lambda _, inputs, output: types.add(output.dtype))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        summed_loss(model, make_row(documents()))
    assert types == {torch.bfloat16}


@pytest.mark.parametrize("kind", [each for each in MethodType if each is not MethodType.FULL])
def test_what_is_trained_is_fp32_in_a_bfloat16_model(tiny_model: Path, kind: str) -> None:
    settings: dict[str, Any] = {
        "LoRA": {**LOW_RANK, "dropout": 0.0},
        "DoRA": {**LOW_RANK, "dropout": 0.0},
        "VeRA": {"rank": 4, "dropout": 0.0},
        "PromptTuning": {"virtualTokens": 2},
    }.get(kind, {})
    model = load(tiny_model, recipe(**method(kind, **settings)), torch.bfloat16)
    trained = [value.dtype for value in model.parameters() if value.requires_grad]
    assert set(trained) == {torch.float32}
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.autograd.backward(summed_loss(model, make_row(documents())))
    assert all(
        value.grad is not None and value.grad.isfinite().all()
        for value in model.parameters()
        if value.requires_grad
    )


def test_every_document_of_a_row_has_the_prompt_before_it(tiny_model: Path) -> None:
    model = load(tiny_model, recipe(**method("PromptTuning", virtualTokens=3)))
    packed = gradients(model, [documents()])
    alone = gradients(model, [[document] for document in documents()])
    assert distance(packed, alone) <= 1e-5


def test_loftq_makes_good_what_quantization_has_lost(tmp_path: Path) -> None:
    path = write_model(tmp_path, hidden_size=64, intermediate_size=128)
    made = recipe(method={"lora": {"dropout": 0.0, "alpha": 12}})
    assert made.method.lora is not None
    original = load_model(open_base_model(path, 128), torch.float32, CPU)
    held: PeftModel = load(path, made, quantization=QuantizationType.NF4)
    name = "model.layers.0.mlp.up_proj"
    weight = cast("torch.Tensor", original.get_submodule(name).weight)
    layer: Any = held.get_base_model().get_submodule(name)

    def lost() -> float:
        with torch.no_grad():
            return float((weight - layer(torch.eye(64)).T).norm())

    before = lost()
    restore_what_quantization_lost(held, made.method.lora)
    assert lost() < 0.95 * before


def test_lora_plus_gives_b_a_rate_of_its_own(tiny_model: Path) -> None:
    made = recipe(method={"lora": {"learningRateRatio": 16}})
    model = load(tiny_model, made)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    set_rates(optimizer, model, METHODS[MethodType.LORA].rates(model, made))
    rate = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    for name, value in model.named_parameters():
        if value.requires_grad:
            assert rate[id(value)] == pytest.approx(1.6e-2 if "lora_B" in name else 1e-3), name
