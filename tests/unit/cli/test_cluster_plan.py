"""`finetune plan` for a cluster: what would be asked for, and what it costs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from finetune_operator import cli
from finetune_operator.cli import cluster_plan
from finetune_trainer.exit_codes import ExitCode
from tests.unit.cli.test_plan import write

A100, T4 = "Standard_NC24ads_A100_v4", "Standard_NC4as_T4_v3"
LLAMA = {"model": {"storageUri": "hf://meta-llama/Llama-3.1-8B"}}
TRAINING = {"maxLength": 4096, "tokensPerBatch": 32768}


@pytest.fixture(autouse=True)
def without_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_plan, "gpus", lambda: 0)


def gpu_job(folder: Path, **spec: Any) -> Path:
    compute = {"device": "GPU"} | spec.pop("compute", {})
    return write(
        folder, **LLAMA, training=TRAINING | spec.pop("training", {}), compute=compute, **spec
    )


def its_class(folder: Path, **spec: Any) -> Path:
    path = folder / "class.yaml"
    manifest = {
        "apiVersion": "finetune.dev/v1beta1",
        "kind": "FineTuneClass",
        "metadata": {"name": "gpu"},
        "spec": {
            "images": {"trainer": f"registry.example.com/trainer@sha256:{'b' * 64}"},
            "provisioner": {"type": "KAITO"},
            **spec,
        },
    }
    path.write_text(yaml.safe_dump(manifest))
    return path


def planned(job: Path, *more: str | Path, code: ExitCode = ExitCode.OK) -> dict[str, Any]:
    made = job.parent / "plan.json"
    assert cli.main(["plan", str(job), "--json", str(made), *map(str, more)]) == code
    content: dict[str, Any] = json.loads(made.read_text())
    return content


def test_a_job_for_gpus_that_are_not_here_is_planned_for_a_cluster(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = planned(gpu_job(tmp_path))
    assert found["plan"] == {
        "device": "GPU",
        "nodes": 1,
        "gpusPerNode": 1,
        "method": "LoRA",
        "strategy": "DataParallel",
        "instanceType": A100,
        "alternatives": ["Standard_NC40ads_H100_v5", "Standard_NV36ads_A10_v5"],
        "memoryPerGPU": "46Gi",
        "hourlyPrice": "3.673",
        "priceSource": "table 2026-06 eastus",
    }
    assert found["class"] is None
    said = " ".join(capsys.readouterr().out.split())
    assert f"machine {A100}: 1 × NVIDIA A100 80GB of 80.0 GiB" in said
    assert "price 3.673 USD an hour (table 2026-06 eastus)" in said
    assert "time not estimated: steps are counted when the data are read" in said


def test_the_limits_of_a_class_are_kept_and_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    limits = {
        "allowed": {"instanceTypes": ["Standard_NC*"], "maxNodes": 4},
        "budget": {"maxCostPerJob": "200.00", "maxCostPerNamespacePerMonth": "2000.00"},
    }
    job = gpu_job(tmp_path, budget={"maxCost": "9.00", "maxDurationSeconds": 28800})
    more = ("--class", its_class(tmp_path, **limits), "--steps", "1800", "--tflops", "120")
    found = planned(job, *more)
    assert found["plan"]["alternatives"] == ["Standard_NC40ads_H100_v5"]
    assert found["plan"]["estimatedDurationSeconds"] == pytest.approx(16462, abs=5)
    assert found["plan"]["estimatedCost"] == "16.80"
    assert found["class"]["budget"]["maxCostPerJob"] == "200.00"
    assert found["notes"] == [
        "16.80 USD are more than budget.maxCost 9.00: the job will be suspended with a checkpoint"
        " before it has spent that"
    ]
    said = " ".join(capsys.readouterr().out.split())
    assert "time 4h34m for 1800 steps, without fetching and loading" in said
    assert "budget 9.00 USD, 8h" in said
    assert (
        "class gpu machines Standard_NC*, 4 nodes, 200.00 USD a job, 2000.00 USD a namespace and"
        " month" in said
    )


REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any], str, str]] = {
    "too small": (
        {"compute": {"instanceTypes": [T4]}},
        {},
        "spec",
        f"{T4} has 16.0 GiB per GPU",
    ),
    "not allowed": (
        {"compute": {"nodes": 8}},
        {"allowed": {"maxNodes": 4}},
        "spec.compute.nodes",
        "is 8, and FineTuneClass gpu allows 4",
    ),
    "a budget that cannot be counted": (
        {"budget": {"maxCost": "40.00"}},
        {"provisioner": {"type": "Existing"}},
        "spec.budget.maxCost",
        "cannot be kept: FineTuneClass gpu uses the nodes that there are",
    ),
    "an FPGA": (
        {"compute": {"device": "FPGA"}},
        {},
        "spec.compute.device",
        "training on FPGA is not possible",
    ),
    "batches that cannot be shared": (
        {"compute": {"nodes": 3}},
        {},
        "spec.training.tokensPerBatch",
        "which 3 process(es) cannot share evenly",
    ),
    "a wrong class": ({}, {"budget": {"currency": "Euro"}}, "spec.budget.currency", "the code of"),
}


@pytest.mark.parametrize(("job", "of_class", "field", "said"), REFUSED.values(), ids=REFUSED)
def test_what_the_operator_would_refuse_is_refused(
    tmp_path: Path, job: dict[str, Any], of_class: dict[str, Any], field: str, said: str
) -> None:
    path = gpu_job(tmp_path, **job)
    found = planned(
        path, "--class", its_class(tmp_path, **of_class), code=ExitCode.CONFIGURATION_ERROR
    )
    [refusal] = found["refusals"]
    assert refusal["field"] == field
    assert said in refusal["message"]


def test_a_file_without_a_class_is_refused(tmp_path: Path) -> None:
    job = gpu_job(tmp_path)
    found = planned(job, "--class", job, code=ExitCode.CONFIGURATION_ERROR)
    assert "holds no FineTuneClass" in found["refusals"][0]["message"]
