"""`finetune plan`: what is refused, by field, and what is planned."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from finetune_operator import cli
from finetune_operator.cli.job_file import read_job
from finetune_operator.cli.machine import localize
from finetune_operator.cli.refusals import Refused
from finetune_trainer.exit_codes import ExitCode
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


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_each_help_has_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        cli.main([command, "--help"])
    assert f"example:\n  finetune {command} " in capsys.readouterr().out
