"""How long and for how much: of what was measured, and of nothing else."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from bench.memory.configurations import SHAPES, Configuration

from finetune_operator.domain.estimates import cost_of, training_seconds
from finetune_operator.domain.instances.catalogue import instance
from finetune_operator.domain.instances.prices import table
from finetune_operator.domain.planning import Cluster, plan_of, planned, with_time
from finetune_trainer.memory.choose import Choice
from finetune_trainer.memory.estimate import estimate
from finetune_trainer.memory.families import architecture_from_config
from finetune_trainer.memory.layout import Layout
from tests.unit.domain.in_memory import job
from tests.unit.domain.test_sizing import its_class

DATA = Path(__file__).parents[3] / "docs" / "data"
SEEN_ON = {"h100": "Standard_ND96isr_H100_v5", "h200": "Standard_ND96isr_H200_v5"}


def runs() -> list[Any]:
    return [
        pytest.param(gpu, run, id=f"{gpu} {Configuration(**run['configuration']).name}")
        for gpu in SEEN_ON
        for run in json.loads((DATA / f"memory-{gpu}.json").read_text())["runs"]
    ]


@pytest.mark.parametrize(("gpu", "run"), runs())
def test_a_step_that_was_measured_took_no_longer_than_is_estimated(
    gpu: str, run: dict[str, Any]
) -> None:
    configuration = Configuration(**run["configuration"])
    recipe = configuration.recipe()
    architecture = architecture_from_config(SHAPES[configuration.shape])
    machine = instance(SEEN_ON[gpu])
    assert machine is not None
    layout = Layout(1, configuration.activation_checkpointing)
    needed = estimate(recipe, architecture, machine.gpu.machine, layout)
    choice = Choice(layout, needed, fits=True)
    seconds = training_seconds(recipe, architecture, machine, choice, 1000)
    large = configuration.shape != "SmolLM2-135M"
    if not large or configuration.tokens < 4096 or configuration.precision != "BF16":
        assert seconds is None, "of such a step the slowest was not measured"
        return
    assert seconds is not None
    measured = 1000 * run["seconds"]
    assert measured <= seconds * 1.01
    assert seconds < 3 * measured


MEASURED, OTHER = "Standard_ND96isr_H100_v5", "Standard_NC24ads_A100_v4"
KNOWN: dict[str, tuple[dict[str, Any], dict[str, Any], bool]] = {
    "what was measured": ({"instanceTypes": [MEASURED]}, {}, True),
    "another GPU": ({"instanceTypes": [OTHER]}, {}, False),
    "several GPUs": ({"instanceTypes": [MEASURED], "gpusPerNode": 8}, {}, False),
    "FP32": ({"instanceTypes": [MEASURED]}, {"precision": "FP32"}, False),
    "short passes": ({"instanceTypes": [MEASURED]}, {"maxLength": 4095}, False),
    "steps that are not counted yet": ({"instanceTypes": [MEASURED]}, {"maxSteps": None}, False),
}


@pytest.mark.parametrize(("compute", "training", "known"), KNOWN.values(), ids=KNOWN)
def test_no_time_is_made_up(compute: dict[str, Any], training: dict[str, Any], known: bool) -> None:
    lengths = {"maxLength": 4096, "maxSteps": 100} | training
    lengths["tokensPerBatch"] = 8 * lengths["maxLength"]
    its_job = job(
        model={"storageUri": "hf://meta-llama/Llama-3.1-8B"},
        compute={"device": "GPU"} | compute,
        training={each: value for each, value in lengths.items() if value is not None},
    )
    sized = planned(its_job, its_class(), Cluster(), table())
    plan = plan_of(sized, its_job.spec.compute, its_class(), table())
    assert (plan.estimated_duration_seconds is not None) == known
    assert (plan.estimated_cost is not None) == known
    assert plan.hourly_price is not None
    later = with_time(plan, sized.recipe, 100, tflops=100)
    assert later.estimated_duration_seconds is not None, "somebody knows what a GPU reaches"
    price, seconds = Decimal(plan.hourly_price), later.estimated_duration_seconds
    assert later.estimated_cost == str(cost_of(price, seconds))


def test_costs_are_exact_and_rounded_up() -> None:
    assert cost_of(Decimal("3.60"), 10) == Decimal("0.01")
    assert cost_of(Decimal("3.60"), 11) == Decimal("0.02")
    assert cost_of(Decimal("14.692"), 7 * 3600) == Decimal("102.85")
