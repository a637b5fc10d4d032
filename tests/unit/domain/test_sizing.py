"""Which machines a training fits on, in which order, and what is said where none will do."""

from __future__ import annotations

import re
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetune_operator.api.fine_tune_class import FineTuneClass
from finetune_operator.domain.instances.catalogue import Instance, instance, instances
from finetune_operator.domain.instances.prices import PriceList, table
from finetune_operator.domain.planning import Cluster, plan_of, planned
from finetune_operator.domain.sizing import LEAST_SECONDS, Sized
from finetune_trainer.memory.architecture import Architecture
from finetune_trainer.memory.catalogue import architecture_of
from finetune_trainer.memory.choose import SHARE, choose
from finetune_trainer.memory.estimate import in_bf16, step_flops
from finetune_trainer.recipe import Device
from tests.unit.domain.in_memory import IMAGES, job

T4, A10, A100 = "Standard_NC4as_T4_v3", "Standard_NV36ads_A10_v5", "Standard_NC24ads_A100_v4"
H100, EIGHT_H200 = "Standard_NC40ads_H100_v5", "Standard_ND96isr_H200_v5"
LLAMA = "meta-llama/Llama-3.1-8B"
AKS = {
    "type": "AKS",
    "aks": {
        "subscriptionId": f"{0:08}-0000-0000-0000-{0:012}",
        "resourceGroup": "g",
        "cluster": "c",
    },
}


def its_class(provisioner: dict[str, Any] = AKS, **spec: Any) -> FineTuneClass:
    return FineTuneClass.model_validate(
        {
            "metadata": {"name": "gpu"},
            "spec": {"images": IMAGES, "provisioner": provisioner, **spec},
        }
    )


def sized(
    model: str,
    *types: str,
    of: FineTuneClass | None = None,
    prices: PriceList | None = None,
    gpus: int = 1,
    method: str = "LoRA",
    length: int = 4096,
    device: str = "GPU",
    **spec: Any,
) -> Sized:
    compute = {"device": device, "gpusPerNode": gpus, "instanceTypes": list(types)}
    its_job = job(
        model={"storageUri": f"hf://{model}"},
        method={"type": method},
        compute=compute | spec.pop("compute", {}),
        training={"maxLength": length, "tokensPerBatch": 8 * length} | spec.pop("training", {}),
        **spec,
    )
    return planned(its_job, of or its_class(), Cluster(), prices or table())


def test_a_small_model_gets_a_small_machine_and_a_large_one_the_cheaper_work() -> None:
    assert sized("HuggingFaceTB/SmolLM2-135M").types[0] == T4
    # An A10 costs less an hour, and has four tenths of the A100's peak.
    assert sized(LLAMA).types == (A100, H100, A10)


def test_a_layout_is_fixed_where_every_machine_would_choose_it() -> None:
    alike = sized(LLAMA, H100, A100)
    assert alike.recipe.compute.passes is not None
    apart = sized(LLAMA, A100, A10)
    assert apart.recipe.compute.passes is None, "the A10 has to compute activations again"


def test_what_is_named_is_asked_for_in_that_order_but_for_what_cannot_fit() -> None:
    found = sized(LLAMA, H100, T4, "Someone_Elses", A100)
    assert found.types == (H100, "Someone_Elses", A100)
    assert found.refusal == ""
    assert found.unfit == (
        f"{T4} has 16.0 GiB per GPU, of which 14.7 GiB can be planned with, and 36.4 GiB are needed"
        " even with activations computed again",
    )


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "too little memory": (
        {"types": (T4,)},
        f"{T4} has 16.0 GiB per GPU, of which 14.7 GiB can be planned with, and 36.4 GiB are needed"
        f" even with activations computed again. The smallest that fits: {A10} (24.0 GiB per GPU)",
    ),
    "too little memory anywhere, with one GPU": (
        {"model": "meta-llama/Llama-3.1-70B"},
        f"{EIGHT_H200} has 141.0 GiB per GPU, of which 129.7 GiB can be planned with, and 144.2 GiB"
        " are needed even with activations computed again. The smallest that fits:"
        " Standard_NC80adis_H100_v5 (94.0 GiB per GPU) with compute.gpusPerNode 2",
    ),
    "too little memory anywhere": (
        {"model": "meta-llama/Llama-3.1-70B", "method": "Full", "length": 8192},
        "None of the catalogue that is allowed fits: lower training.maxLength, set"
        " quantization.type NF4, or choose a smaller model",
    ),
    "too few GPUs": (
        {"types": (A100,), "gpus": 4},
        f"{A100} has 1 GPU, and compute.gpusPerNode is 4",
    ),
    "no BF16": (
        {"types": (T4,), "training": {"precision": "BF16"}},
        f"{T4} has a GPU (NVIDIA T4) without BF16, and training.precision is BF16",
    ),
    "too few CPUs": (
        {
            "types": (A100,),
            "compute": {"podTemplate": {"resources": {"requests": {"cpu": "32500m"}}}},
        },
        f"{A100} has 24 CPUs, and a pod asks for 32.5",
    ),
    "too little host memory": (
        {
            "types": (A100,),
            "compute": {"podTemplate": {"resources": {"limits": {"memory": "300Gi"}}}},
        },
        f"{A100} has 220.0 GiB of memory, and a pod asks for 300.0 GiB",
    ),
    "a budget of money, and no price": (
        {"types": ("Standard_NC80adis_H100_v5",), "budget": {"maxCost": "40.00"}},
        "Standard_NC80adis_H100_v5 has no known price in eastus (table 2026-06 eastus), and a"
        " budget of money has to be kept",
    ),
    "an allowed pattern that nothing of the catalogue has": (
        {"of": its_class(allowed={"instanceTypes": ["Standard_NP*"]})},
        "the FineTuneClass allows no machine of the catalogue",
    ),
    "a model that nobody knows": (
        {"model": "someone/unknown"},
        "compute.instanceTypes names none, and FineTuneClass gpu gets nodes from AKS",
    ),
    "a processor": (
        {"device": "CPU"},
        "compute.instanceTypes names none, and FineTuneClass gpu gets nodes from AKS",
    ),
    "a budget of money, and nodes that are there": (
        {"of": its_class({"type": "Existing"}), "budget": {"maxCost": "40.00"}},
        "budget.maxCost cannot be kept: FineTuneClass gpu uses the nodes that there are",
    ),
    "a budget of money, a processor, and no price": (
        {"device": "CPU", "types": ("Standard_D4s_v5",), "budget": {"maxCost": "40.00"}},
        "a budget of money can only be kept with machines whose price is known (table 2026-06"
        " eastus), and compute.instanceTypes names none",
    ),
    "a budget of money, and any node": (
        {"of": its_class({"type": "Karpenter"}), "budget": {"maxCost": "40.00"}},
        "a budget of money can only be kept with machines whose price is known",
    ),
}


@pytest.mark.parametrize(("arguments", "said"), REFUSED.values(), ids=REFUSED)
def test_a_refusal_says_why_and_what_would_do(arguments: dict[str, Any], said: str) -> None:
    rest = {"model": LLAMA, "types": ()} | arguments
    found = sized(rest.pop("model"), *rest.pop("types"), **rest)
    assert said in found.refusal
    assert found.types == ()


def test_others_choose_for_themselves_but_where_the_class_says_what_is_allowed() -> None:
    assert sized(LLAMA, of=its_class({"type": "Karpenter"})).types == ()
    allowed = {"instanceTypes": ["Standard_NC*_A100_v4"]}
    assert sized(LLAMA, of=its_class({"type": "Karpenter"}, allowed=allowed)).types == (A100,)
    foreign = {"instanceTypes": ["p5.*"]}
    assert sized(LLAMA, of=its_class({"type": "Karpenter"}, allowed=foreign)).types == ()


@pytest.mark.parametrize(
    ("device", "types", "computes_on"),
    [("Auto", (), Device.GPU), ("Auto", (A100,), Device.GPU), ("Auto", ("D4s",), Device.CPU)],
)
def test_auto_is_a_gpu_where_one_is_got(
    device: str, types: tuple[str, ...], computes_on: Device
) -> None:
    assert sized(LLAMA, *types, device=device).recipe.compute.device is computes_on


KARPENTER = {"type": "Karpenter"}
GPUS_ONLY, NONE = {"instanceTypes": ["Standard_NC*"]}, {"instanceTypes": ["Standard_D*"]}


@pytest.mark.parametrize(
    ("of", "there", "computes_on"),
    [
        (its_class(KARPENTER, allowed=GPUS_ONLY), False, Device.GPU),
        (its_class(KARPENTER, allowed=NONE), True, Device.CPU),
        (its_class(KARPENTER), False, Device.CPU),
        (its_class(KARPENTER), True, Device.GPU),
        (its_class({"type": "KAITO"}, allowed=GPUS_ONLY), False, Device.GPU),
        (its_class({"type": "KAITO"}), False, Device.GPU),
        (its_class(AKS, allowed=NONE), False, Device.CPU),
        (its_class({"type": "Existing"}), False, Device.CPU),
        (its_class({"type": "Existing"}), True, Device.GPU),
    ],
)
def test_auto_goes_by_what_the_class_gets(
    of: FineTuneClass, there: bool, computes_on: Device
) -> None:
    its_job = job(compute={"device": "Auto"})
    found = planned(its_job, of, Cluster(has_gpu_nodes=there), table())
    assert found.recipe.compute.device is computes_on


FOUR = {"nodes": 4, "minNodes": 1}
SHARED = {"volumeClaim": {"accessModes": ["ReadWriteMany"]}}


def test_fewer_nodes_have_to_hold_the_model_too() -> None:
    """Of 7.6 GiB in NF4 a quarter fits beside the rest into a T4, and the whole does not."""
    full = {"method": "Full", "length": 1024, "checkpoint": SHARED}
    model = "Qwen/Qwen2.5-1.5B"
    enough = sized(model, T4, compute={"nodes": 4, "minNodes": 4}, **full)
    assert enough.refusal == ""
    refused = sized(model, T4, compute=FOUR, **full)
    assert refused.refusal.startswith(
        f"with compute.minNodes 1: a GPU of {T4} has 16.0 GiB, and "
    ), refused.refusal
    assert sized(model, A100, compute=FOUR, **full).refusal == ""


def test_fewer_nodes_have_to_share_a_batch() -> None:
    refused = sized("HuggingFaceTB/SmolLM2-135M", T4, compute=FOUR | {"minNodes": 3})
    assert "with compute.minNodes 3: " in refused.refusal
    assert "which 3 process(es) cannot share evenly" in refused.refusal


MODELS = [
    "HuggingFaceTB/SmolLM2-135M",
    "microsoft/Phi-3-mini-4k-instruct",
    LLAMA,
    "microsoft/phi-4",
]
ADVICE = re.compile(r"fits: (\S+) \([0-9.]+ GiB per GPU\)(?:.*gpusPerNode (\d))?")
PATTERNS = ["*", "Standard_NC*", "Standard_ND*", "*_A100_v4", "*_T4_v3", "Standard_NV36ads_A10_v5"]


@settings(max_examples=80, deadline=None)
@given(
    model=st.sampled_from(MODELS),
    method=st.sampled_from(["LoRA", "Full"]),
    length=st.sampled_from([512, 2048, 4096]),
    gpus=st.sampled_from([1, 2, 4, 8]),
    patterns=st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=3, unique=True),
)
def test_the_choice_fits_and_nothing_that_is_allowed_is_better(
    model: str, method: str, length: int, gpus: int, patterns: list[str]
) -> None:
    def size(*types: str, gpus: int = gpus) -> Sized:
        of = its_class(allowed={"instanceTypes": patterns})
        return sized(model, *types, of=of, gpus=gpus, method=method, length=length)

    found = size()
    assert size() == found
    architecture = architecture_of(f"hf://{model}")
    assert architecture is not None

    def will_do(each: Instance) -> bool:
        allowed = any(fnmatchcase(each.name, pattern) for pattern in patterns)
        return allowed and each.gpus >= gpus and fits(each, found, architecture)

    candidates = [each for each in instances() if will_do(each)]
    if not candidates:
        advice = ADVICE.search(found.refusal)
        if advice is None:
            assert "None of the catalogue that is allowed fits" in found.refusal
            return
        again = size(advice.group(1), gpus=int(advice.group(2) or gpus))
        assert again.refusal == ""
        assert again.types == (advice.group(1),)
        return
    assert found.refusal == ""
    fewest = min(each.gpus for each in candidates)
    assert set(found.types) == {each.name for each in candidates if each.gpus == fewest}
    priced = [name for name in found.types if table().hourly(name, spot=False)]
    assert found.types[: len(priced)] == tuple(priced), "what has no price comes last"
    work = [least_price(name, found, architecture) for name in priced]
    assert work == sorted(work)
    plan = plan_of(found, job().spec.compute, its_class(), table())
    assert plan.instance_types == found.types
    assert plan.memory_per_gpu is not None
    first = instance(found.types[0])
    assert first is not None
    assert int(plan.memory_per_gpu.removesuffix("Gi")) << 30 <= first.gpu.memory


def fits(each: Instance, found: Sized, architecture: Architecture) -> bool:
    choice = choose(found.recipe, architecture, each.gpu.machine)
    return choice.estimate.total <= SHARE * each.gpu.memory


def least_price(name: str, found: Sized, architecture: Architecture) -> Decimal:
    """Of a step, that no GPU of the kind can do for less."""
    machine, hourly = instance(name), table().hourly(name, spot=False)
    assert machine is not None
    assert hourly is not None
    recipe, gpu = found.recipe, machine.gpu
    choice = choose(recipe, architecture, gpu.machine)
    peak = gpu.peak(bf16=in_bf16(recipe, gpu.machine)) * 1e12 * recipe.compute.world_size
    at_peak = step_flops(recipe, architecture, choice.layout) / peak
    seconds = max(at_peak, choice.accumulation(recipe) * LEAST_SECONDS)
    return Decimal(float(hourly) * seconds)
