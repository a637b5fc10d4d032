"""Products by oneDNN are MKL's, and so are their gradients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import linear

from finetune_trainer import products
from finetune_trainer.base_model import open_base_model
from finetune_trainer.engine.loading import load_model
from finetune_trainer.methods import METHODS
from tests.trainer.recipes import recipe
from tests.trainer.test_packing_gradients import distance, documents, gradients
from tests.trainer.tiny_models import ARCHITECTURES, write_model

CLOSE = 1e-6


@pytest.fixture(autouse=True)
def _by_onednn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever this processor is: oneDNN computes on every one."""
    monkeypatch.setattr(products, "by_onednn", lambda: True)


def numbers(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def apart(one: torch.Tensor, other: torch.Tensor) -> float:
    """Relative L2 distance."""
    return float((one - other).norm() / other.norm())


@pytest.mark.parametrize("shape", [(7, 24), (1, 7, 24), (2, 3, 24)])
def test_a_product_is_torch_s(shape: tuple[int, ...]) -> None:
    x, weight = numbers(*shape), numbers(40, 24)
    made = products.times(x, weight)
    assert made.shape == (*shape[:-1], 40)
    assert apart(made, linear(x, weight)) <= CLOSE
    assert not made._is_view(), "somebody adds to it in its place"


@pytest.mark.parametrize(
    "weight",
    [numbers(24, 40).T, numbers(40, 30)[:, :24], numbers(40, 1).expand(40, 24)],
    ids=["transposed", "a part", "one column"],
)
def test_a_weight_may_lie_as_it_likes(weight: torch.Tensor) -> None:
    x = numbers(7, 24)
    assert apart(products.times(x, weight), linear(x, weight)) <= CLOSE


@pytest.mark.parametrize("trained", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_gradients_are_torch_s(trained: bool, bias: bool) -> None:
    plain = torch.nn.Linear(24, 40, bias=bias)
    plain.weight.requires_grad_(trained)
    ours = products.Linear(plain)
    x, of_result = numbers(1, 7, 24).requires_grad_(), numbers(1, 7, 40)
    wanted = [x, *(each for each in plain.parameters() if each.requires_grad)]
    theirs = torch.autograd.grad(plain(x), wanted, of_result)
    made = torch.autograd.grad(ours(x), wanted, of_result)
    assert all(apart(*each) <= CLOSE for each in zip(made, theirs, strict=True))


def test_the_same_product_is_the_same_bits() -> None:
    x, weight = numbers(301, 576), numbers(192, 576)
    first = products.times(x, weight)
    assert all(torch.equal(products.times(x, weight), first) for _ in range(5))


def test_other_number_formats_are_left_to_torch() -> None:
    x, weight = numbers(7, 24).bfloat16(), numbers(40, 24).bfloat16()
    assert torch.equal(products.times(x, weight), linear(x, weight))
    with torch.autocast("cpu", torch.bfloat16):
        assert products.linear(numbers(7, 24), numbers(40, 24)).dtype is torch.bfloat16


@pytest.mark.parametrize("onednn", [True, False])
@pytest.mark.parametrize("bias", [None, numbers(40).bfloat16()], ids=["plain", "bias"])
def test_what_is_smaller_than_a_step_of_bfloat16_is_not_lost(
    monkeypatch: pytest.MonkeyPatch, bias: torch.Tensor | None, onednn: bool
) -> None:
    if not onednn:
        monkeypatch.setattr(products, "_multiplies_bfloat16", lambda: False)
    x, weight = numbers(4000, 24).bfloat16(), numbers(40, 24).bfloat16()
    before = linear(x, weight, bias)
    small = before * 2**-11  # a step is 2⁻⁸ to 2⁻⁷ of a number
    assert torch.equal(before + small, before)
    made = products.plus(x, weight, bias, small).float()
    change = ((made - before.float()) * before.float()).sum() / before.float().square().sum()
    assert float(change) == pytest.approx(2**-11, rel=0.1)


def load(path: Path, **changes: Any) -> torch.nn.Module:
    base, made = open_base_model(path, 128), recipe(**changes)
    loaded = load_model(base, torch.float32, torch.device("cpu"))
    return METHODS[made.method.type].apply(loaded, made)


METHOD: dict[str, dict[str, Any]] = {
    "LoRA": {},
    "DoRA": {"type": "DoRA", "dora": {"rank": 4, "alpha": 8, "dropout": 0.0}, "lora": None},
    "Full": {"type": "Full", "lora": None},
}


@pytest.mark.parametrize("method", METHOD)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_model_learns_the_same(tmp_path: Path, architecture: str, method: str) -> None:
    model = load(write_model(tmp_path, architecture), method=METHOD[method])
    torch.manual_seed(5)
    with torch.no_grad():
        for value in model.parameters():
            if value.requires_grad:
                value.add_(torch.randn_like(value), alpha=0.1)
    names = [name for name, _ in model.named_parameters()]
    with pytest.MonkeyPatch.context() as by_mkl:
        by_mkl.setattr(products, "by_onednn", lambda: False)
        before = gradients(model, [documents()])
    products.use_in(model)
    assert [name for name, _ in model.named_parameters()] == names
    assert not [each for each in model.modules() if type(each) is torch.nn.Linear]
    assert distance(gradients(model, [documents()]), before) <= 1e-5


def test_an_intel_processor_keeps_mkl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    for vendor, expected in (("GenuineIntel", False), ("AuthenticAMD", None)):
        file = tmp_path / vendor
        file.write_text(f"processor\t: 0\nvendor_id\t: {vendor}\n")
        monkeypatch.setattr(products, "_CPUINFO", file)
        products.by_onednn.cache_clear()
        wide = "AVX512" in torch.backends.cpu.get_cpu_capability()
        assert products.by_onednn() is (wide if expected is None else expected)
    products.by_onednn.cache_clear()
