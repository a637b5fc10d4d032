"""`finetune run` and `finetune check`, with the real trainer."""

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from finetune_operator import cli
from finetune_trainer.exit_codes import ExitCode
from finetune_trainer.inspect_data import histogram
from finetune_trainer.report.metrics_log import MetricsLog
from finetune_trainer.report.scores import ScoresFile
from tests.trainer.recipes import CONVERSATIONS, write_lines

TIMEOUT = 180.0


def job(folder: Path, model: Path, steps: int) -> Path:
    write_lines(folder / "train.jsonl", CONVERSATIONS)
    spec = {
        "model": {"storageUri": f"file://{model}"},
        "task": "Chat",
        "dataset": {"train": [{"storageUri": "pvc://data/train.jsonl"}]},
        "training": {"maxSteps": steps, "maxLength": 128, "tokensPerBatch": 256},
        "compute": {"device": "CPU"},
        "evaluation": {"metrics": ["Loss"]},
        "output": {
            "storageUri": "oci://registry.example.com/adapters/tiny:v1",
            "exports": ["Adapter", "Merged"],
        },
    }
    manifest = {
        "apiVersion": "finetune.dev/v1beta1",
        "kind": "FineTuneJob",
        "metadata": {"name": "tiny"},
        "spec": spec,
    }
    path = folder / "job.yaml"
    path.write_text(yaml.safe_dump(manifest))
    (folder / "claims").mkdir(exist_ok=True)
    (folder / "claims" / "data").mkdir(exist_ok=True)
    (folder / "train.jsonl").rename(folder / "claims" / "data" / "train.jsonl")
    return path


def start(folder: Path, path: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "finetune_operator.cli", "run", str(path)]
    command += ["--workspace", str(folder / "run"), "--claims", str(folder / "claims")]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_interrupted_and_run_again(tiny_model: Path, tmp_path: Path) -> None:
    path = job(tmp_path, tiny_model, steps=60)
    log = tmp_path / "run" / "log.txt"
    running = start(tmp_path, path)
    deadline = time.monotonic() + TIMEOUT
    while not (log.exists() and "step 3/60" in log.read_text()):
        assert running.poll() is None, running.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    said = running.communicate(timeout=TIMEOUT)[0]
    assert running.returncode == ExitCode.PREEMPTED, said
    saved = re.search(r"a checkpoint of step (\d+) is saved; go on with: finetune run", said)
    assert saved, said

    again = start(tmp_path, path)
    said = again.communicate(timeout=TIMEOUT)[0]
    assert again.returncode == ExitCode.OK, said
    assert f"going on from step {saved.group(1)}" in log.read_text()
    made, began = (
        (tmp_path / "run" / name).stat().st_mtime for name in ("examples/dataset.json", "fence")
    )
    assert made < began  # by check, for both attempts
    assert str(tmp_path / "run" / "output" / "adapter") in said
    assert f"export  {tmp_path / 'run' / 'output' / 'merged'} (" in said.replace("\n", "")
    assert (tmp_path / "run" / "output" / "merged" / "model.safetensors").exists()
    assert {"adapter_model.safetensors", "report.html"} <= {
        path.name for path in (tmp_path / "run" / "output" / "adapter").iterdir()
    }
    scores = (tmp_path / "run" / "output" / "evaluation.json").read_bytes()
    (answers,) = ScoresFile.model_validate_json(scores).answers  # the base's are of attempt 1
    assert answers.prompt.startswith("user\nWhat comes after")
    measured = MetricsLog(tmp_path / "run" / "metrics.jsonl").read()
    assert [point.step for point in measured] == [0, *range(1, 61), 60]
    assert {point.attempt for point in measured} == {1, 2}


def test_what_the_trainer_sees_of_a_file(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_lines(tmp_path / "train.jsonl", [*CONVERSATIONS, CONVERSATIONS[0]])
    given = ["check", str(data), "--model", str(tiny_model), "--max-length", "44"]
    assert cli.main(given) == ExitCode.OK
    said = capsys.readouterr().out
    assert "What comes after 2?<|im_end|>\n<|im_start|>assistant\n⟦333<|im_end|>⟧" in said
    assert "25 examples of format OpenAIChat" in said
    assert re.search(r"1 +the same as an earlier one", said)
    assert re.search(r"[1-9]\d* +longer than --max-length", said)


def test_keys_of_a_file_are_given_as_in_a_job(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_lines(tmp_path / "train.jsonl", [{"q": "One and one?", "a": "two"}])
    given = ["check", str(data), "--model", str(tiny_model), "--task", "QuestionAnswering"]
    given += ["--max-length", "128", "--column", "question=q"]
    assert cli.main([*given, "--column", "answer=a"]) == ExitCode.OK
    assert "⟦two<|im_end|>⟧" in capsys.readouterr().out
    assert cli.main(given) == ExitCode.DATA_ERROR
    assert "answer: Field required; dataset.columns tells" in capsys.readouterr().out


def test_a_histogram_counts_every_length() -> None:
    lengths = [3, 3, 4, 100, 57]
    bins = histogram(lengths)
    assert sum(each.examples for each in bins) == len(lengths)
    assert len(bins) <= 10
    assert bins[-1].up_to >= max(lengths) > bins[-2].up_to
    assert bins[0].examples == 3
