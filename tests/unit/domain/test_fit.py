"""What fits; what cannot is refused before anything is created."""

import pytest

from finetune_operator.api.conditions import ConditionType
from finetune_operator.api.reason import Reason
from finetune_operator.domain.conditions import find
from finetune_operator.domain.quantity import quantity_bytes
from finetune_trainer.recipe import Recipe, Strategy
from tests.unit.domain.in_memory import InMemory, job


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("16Gi", 16 << 30),
        ("512Mi", 512 << 20),
        ("1.5Gi", 3 << 29),
        ("2G", 2 * 10**9),
        ("1e9", 10**9),
        ("1048576", 1 << 20),
        ("128974848000m", 128974848),
    ],
)
def test_quantities_are_those_of_kubernetes(text: str, size: int) -> None:
    assert quantity_bytes(text) == size


@pytest.mark.parametrize(("memory", "strategy"), [(24, "DataParallel"), (16, "ZeRO3")])
def test_auto_is_what_fits_into_the_gpus_of_the_cluster(memory: int, strategy: str) -> None:
    world = InMemory(
        job(
            model={"storageUri": "hf://meta-llama/Llama-3.1-8B"},
            compute={"device": "GPU", "gpusPerNode": 4},
            training={"maxLength": 512, "tokensPerBatch": 2048},
        )
    )
    world.gpu_memory = memory << 30
    world.reconcile()
    assert world.job.status.plan is not None
    assert world.job.status.plan.strategy == strategy
    (stored,) = world.all("ConfigMap")
    assert Recipe.model_validate_json(stored["data"]["recipe.json"]).strategies == (strategy,)


@pytest.mark.parametrize("model", ["meta-llama/Llama-3.1-8B", "someone/unknown"])
def test_where_memory_or_model_are_not_known_the_trainer_chooses(model: str) -> None:
    compute = {"device": "GPU", "gpusPerNode": 4}
    world = InMemory(job(model={"storageUri": f"hf://{model}"}, compute=compute))
    world.gpu_memory = 24 << 30 if model == "someone/unknown" else None
    world.reconcile()
    assert world.job.status.plan is not None
    assert world.job.status.plan.strategy == "Auto"
    (stored,) = world.all("ConfigMap")
    recipe = Recipe.model_validate_json(stored["data"]["recipe.json"])
    assert recipe.strategies == tuple(Strategy)
    assert recipe.compute.passes is None


@pytest.mark.parametrize(
    ("model", "limit", "refused"),
    [
        ("meta-llama/Llama-3.1-8B", "8Gi", True),
        ("meta-llama/Llama-3.1-8B", "64Gi", False),
        ("HuggingFaceTB/SmolLM2-135M", "8Gi", False),
        ("someone/unknown", "1Mi", False),
    ],
)
def test_a_known_model_has_to_fit_into_the_pod(model: str, limit: str, refused: bool) -> None:
    compute = {"device": "CPU", "podTemplate": {"resources": {"limits": {"memory": limit}}}}
    world = InMemory(job(model={"storageUri": f"hf://{model}"}, compute=compute))
    world.reconcile()
    accepted = find(world.job.status.conditions, ConditionType.ACCEPTED)
    assert accepted is not None
    assert accepted.status == ("False" if refused else "True")
    if refused:
        assert accepted.reason == Reason.CONFIGURATION_ERROR
        assert "limits.memory is 8.0 GiB" in (accepted.message or "")
        assert "weights 15.0 GiB" in (accepted.message or "")
