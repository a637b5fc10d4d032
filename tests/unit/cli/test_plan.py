"""`finetune plan`: what is refused, by field, and what is planned."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from finetune_operator import cli
from finetune_operator.cli.job_file import read_job
from finetune_operator.cli.machine import localize
from finetune_operator.cli.memory import size
from finetune_operator.cli.refusals import Refused
from finetune_trainer.exit_codes import ExitCode
from finetune_trainer.memory.layout import Machine
from finetune_trainer.recipe import Device

JOB: dict[str, Any] = {
    "apiVersion": "finetune.dev/v1beta1",
    "kind": "FineTuneJob",
    "metadata": {"name": "tiny"},
    "spec": {
        "model": {"storageUri": "file:///models/tiny"},
        "task": "Chat",
        "dataset": {"train": [{"storageUri": "pvc://data/train.jsonl"}]},
        "output": {"storageUri": "oci://registry.example.com/adapters/tiny:v1"},
    },
}


def write(folder: Path, **spec: Any) -> Path:
    path = folder / "job.yaml"
    path.write_text(yaml.safe_dump(JOB | {"spec": JOB["spec"] | spec}))
    return path


@pytest.mark.parametrize(
    ("spec", "field", "message"),
    [
        ({"task": None}, "spec.task", "input should be 'Chat'"),
        ({"output": {}}, "spec.output.storageUri", "is missing"),
        ({"training": {"epoch": 3}}, "spec.training.epoch", "is no field of a FineTuneJob"),
        ({"training": {"learningRate": 0.01}}, "spec.training.learningRate", "put it between"),
        ({"training": {"epochs": "3"}}, "spec.training.epochs", "valid integer, not '3'"),
        ({"model": {"storageUri": "tiny"}}, "spec.model.storageUri", "must be hf://owner/name"),
        (
            {"dataset": {"train": [{"storageUri": "data.jsonl"}]}},
            "spec.dataset.train[0].storageUri",
            "must be pvc://claim/path",
        ),
        (
            {"training": {"maxLength": 1024, "tokensPerBatch": 512}},
            "spec.training.tokensPerBatch",
            "512 holds 0 sequences",
        ),
        ({"compute": {"device": "GPU"}}, "spec.compute.gpusPerNode", "this machine has 0"),
        ({"compute": {"device": "FPGA"}}, "spec.compute.device", "FPGA is not possible"),
    ],
)
def test_a_refusal_names_its_field(
    tmp_path: Path, spec: dict[str, Any], field: str, message: str
) -> None:
    with pytest.raises(Refused) as refused:
        localize(read_job(write(tmp_path, **spec)), gpus_here=0)
    (refusal,) = refused.value.refusals
    assert refusal.field == field
    assert message in refusal.message


def test_every_refusal_is_told_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, training={"epochs": 0, "seed": -1})
    plan = tmp_path / "plan.json"
    assert cli.main(["plan", str(path), "--json", str(plan)]) == ExitCode.CONFIGURATION_ERROR
    fields = ["spec.training.epochs", "spec.training.seed"]
    assert [each["field"] for each in json.loads(plan.read_text())["refusals"]] == fields
    assert all(field in capsys.readouterr().out for field in fields[:1])


def test_a_file_without_a_job_is_refused(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text("kind: ConfigMap\n")
    with pytest.raises(Refused, match="holds no FineTuneJob"):
        read_job(tmp_path / "job.yaml")


def test_numbers_are_read_as_kubectl_reads_them(tmp_path: Path) -> None:
    path = write(tmp_path, training={"learningRate": "RATE"})
    path.write_text(path.read_text().replace("RATE", "1e-3"))
    with pytest.raises(Refused, match=r"learningRate: must be a string, not 0\.001"):
        read_job(path)


def test_one_machine_does_the_work_of_several_nodes_with_the_same_numbers(tmp_path: Path) -> None:
    compute = {"device": "GPU", "nodes": 2, "gpusPerNode": 2}
    several = localize(read_job(write(tmp_path, compute=compute)), gpus_here=2)
    alone = localize(read_job(write(tmp_path, compute={"device": "CPU"})), gpus_here=0)
    assert several.recipe.compute.world_size == 2
    assert several.recipe.training_digest() == alone.recipe.training_digest()
    assert any("compute.nodes is 2" in note for note in several.notes)


def test_auto_takes_the_gpus_that_are_there(tmp_path: Path) -> None:
    job = read_job(write(tmp_path))
    assert localize(job, gpus_here=0).recipe.compute.device is Device.CPU
    assert localize(job, gpus_here=1).recipe.compute.device is Device.GPU


def test_the_memory_of_a_known_model_is_told_by_part(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(
        tmp_path,
        model={"storageUri": "hf://HuggingFaceTB/SmolLM2-135M"},
        compute={"device": "CPU"},
        training={"maxLength": 256},
    )
    plan = tmp_path / "plan.json"
    assert cli.main(["plan", str(path), "--json", str(plan), "--tflops", "0.1"]) == ExitCode.OK
    memory = json.loads(plan.read_text())["memory"]
    assert memory["total"] == sum(memory["parts"].values())
    # LoRA of rank 16 on all linear modules of SmolLM2-135M: 4,884,480 parameters, FP32.
    assert memory["parts"]["gradients"] == 4 * 4_884_480
    assert memory["microBatch"] * memory["gradientAccumulation"] == 8192 // 256
    assert memory["stepSeconds"] == pytest.approx(memory["stepFlops"] / 1e11)
    assert "weights" in capsys.readouterr().out


def test_a_model_that_cannot_fit_is_refused_with_the_numbers(tmp_path: Path) -> None:
    job = write(tmp_path, model={"storageUri": "hf://meta-llama/Llama-3.1-8B"})
    local = localize(read_job(job), gpus_here=0)
    numbers = r"at least 16\.\d GiB .* memory is 4\.0 GiB: .* NF4"
    with pytest.raises(Refused, match=numbers) as refused:
        size(local, Machine(gpu=False, bf16=True, memory=4 << 30))
    assert refused.value.refusals[0].field == "spec.model.storageUri"


def test_a_strategy_is_chosen_that_fits(tmp_path: Path) -> None:
    job = write(
        tmp_path,
        model={"storageUri": "hf://meta-llama/Llama-3.2-1B"},
        method={"type": "Full"},
        training={"maxLength": 512, "tokensPerBatch": 2048},
        compute={"device": "GPU", "gpusPerNode": 4},
    )
    local = localize(read_job(job), gpus_here=4)
    chosen = [
        size(local, Machine(gpu=True, bf16=True, memory=memory << 30)).recipe.strategy
        for memory in (40, 24, 18, 12)
    ]
    assert chosen == ["DataParallel", "ZeRO1", "ZeRO2", "ZeRO3"]


def test_an_unknown_model_is_sized_by_its_config(tmp_path: Path) -> None:
    local = localize(read_job(write(tmp_path)), gpus_here=0)
    machine = Machine(gpu=False, bf16=True, memory=8 << 30)
    (note,) = size(local, machine).notes
    assert "give its config.json by --config" in note
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"model_type": "mamba"}))
    assert "known are bert" in size(local, machine, config).notes[0]
    names = ("vocab_size", "hidden_size", "intermediate_size")
    numbers = {name: 512 for name in names} | {"num_hidden_layers": 2, "num_attention_heads": 8}
    config.write_text(json.dumps({"model_type": "llama", **numbers}))
    choice = size(local, machine, config).choice
    assert choice is not None
    assert choice.fits


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_each_help_has_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        cli.main([command, "--help"])
    assert f"finetune {command} " in capsys.readouterr().out
