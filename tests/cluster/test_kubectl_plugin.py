"""`kubectl finetune`, found by the real kubectl on PATH, against the real API server.

The operator is real and pods run; only what they run is played (played_trainer.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from finetune_operator.api.reason import Reason
from finetune_trainer.exit_codes import ExitCode
from tests.cluster import played_trainer
from tests.cluster.conftest import dump
from tests.cluster.kube import Kube, Object, is_true
from tests.cluster.simulation import trainer
from tests.cluster.simulation.world import world
from tests.installed import write_programs

pytestmark = pytest.mark.exclusive

ENDS_WITHIN = 240
"""Seconds in which a played job is over, its pause after a failure included."""


@dataclass(frozen=True)
class Ended:
    """What a command has answered."""

    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[list[str]]:
        """Of a table, without its header."""
        return [line.split() for line in self.out.splitlines()[1:]]


@dataclass(frozen=True)
class Plugin:
    """kubectl with the plugin on PATH, in one namespace."""

    kube: Kube
    programs: Path
    trainer: str
    class_name: str

    def __call__(self, *arguments: str, kubeconfig: str = "") -> Ended:
        ended = subprocess.run(
            ["kubectl", "finetune", *arguments, "--namespace", self.kube.namespace],
            env=self.environment | ({"KUBECONFIG": kubeconfig} if kubeconfig else {}),
            capture_output=True,
            text=True,
            timeout=ENDS_WITHIN,
            check=False,
        )
        print(f"$ kubectl finetune {' '.join(arguments)}\n{ended.stdout}{ended.stderr}")
        return Ended(ended.returncode, ended.stdout, ended.stderr)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["kubectl", "finetune", *arguments, "--namespace", self.kube.namespace],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "PATH": f"{self.programs}:{os.environ['PATH']}"}

    def apply(self, name: str, play: str) -> None:
        self.kube.apply(
            {
                "apiVersion": "finetune.dev/v1beta1",
                "kind": "FineTuneJob",
                "metadata": {"name": name},
                "spec": {
                    "className": self.class_name,
                    "model": {"storageUri": "hf://example/model"},
                    "task": "Chat",
                    "dataset": {"train": [{"storageUri": "file:///data/train.jsonl"}]},
                    "training": {"epochs": 1, "maxLength": 128, "tokensPerBatch": 512},
                    "compute": {
                        "device": "CPU",
                        "podTemplate": {"env": [{"name": "PLAY", "value": play}]},
                    },
                    "checkpoint": {"volumeClaim": {"size": "1Gi"}},
                    "output": {"storageUri": "oci://registry.local:5000/played:v1"},
                },
            }
        )

    def waits(self, name: str) -> Object:
        """The job, once its trainer has said all that it says before it is told to go."""
        return self.kube.wait_for(
            "finetunejob",
            name,
            lambda job: job.get("status", {}).get("phase") == "Training",
            deadline=ENDS_WITHIN,
        )


@contextlib.contextmanager
def operated(folder: Path) -> Iterator[str]:
    """A namespace with an operator and without simulated nodes, so that pods run on a real one.

    In a thread of its own: what lies between operator and API server works while a test waits.
    """
    ready: SimpleQueue[str] = SimpleQueue()
    stop = threading.Event()

    async def live() -> None:
        async with world("plugin", trainer.well, folder, nodes=0) as the_world:
            ready.put(the_world.namespace)
            await asyncio.to_thread(stop.wait)

    with ThreadPoolExecutor(1) as pool:
        living = pool.submit(asyncio.run, live())
        living.add_done_callback(lambda _: ready.put(""))
        try:
            yield ready.get() or living.result()  # type: ignore[func-returns-value]
        finally:
            stop.set()
            living.result()


@pytest.fixture(scope="module")
def plugin(
    request: pytest.FixtureRequest,
    cluster: dict[str, Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Plugin]:
    folder = tmp_path_factory.mktemp("plugin")
    image = played_trainer.push_played_trainer(cluster["registry"], folder / "image")
    (folder / "bin").mkdir()
    with operated(folder) as namespace:
        kube = Kube(namespace)
        made = Plugin(kube, write_programs(folder / "bin"), image, f"{namespace}-played")
        its_class = {
            "apiVersion": "finetune.dev/v1beta1",
            "kind": "FineTuneClass",
            "metadata": {"name": made.class_name},
            "spec": {"images": {"trainer": image}},
        }
        failures = request.session.testsfailed
        Kube("").apply(its_class)
        try:
            yield made
        finally:
            if request.session.testsfailed > failures:
                dump(kube)
                print((folder / "operator.log").read_text()[-20_000:])
            Kube("").delete("finetuneclass", made.class_name)


@pytest.fixture(scope="module")
def jobs(plugin: Plugin) -> Plugin:
    """One that fails once and is followed from its beginning, one that waits, one that cannot."""
    plugin.apply("twice", "fail")
    plugin.apply("waiting", "wait")
    plugin.apply("refused", "bad-data")
    return plugin


def test_logs_are_followed_over_two_attempts_to_the_end(jobs: Plugin) -> None:
    followed = jobs("logs", "--follow", "twice")
    assert followed.code == ExitCode.OK
    lines = followed.out.splitlines()
    for attempt in (1, 2):
        prefix = f"train-{attempt}/0  "
        said = [line.removeprefix(prefix) for line in lines if line.startswith(prefix)]
        steps = [f"attempt {attempt} step {step}/3" for step in (1, 2, 3)]
        assert said == [*steps, "RuntimeError: out of luck" if attempt == 1 else "trained"]
    order = [line.split()[0] for line in lines]
    assert list(dict.fromkeys(order)) == [
        "prepare-1/fetch-model",
        "prepare-1/fetch-train-0",
        "prepare-1/check",
        "reuse-1",
        "train-1/0",
        "train-2/0",
        "publish-1",
    ]
    assert followed.err.splitlines()[-1] == f"end  {jobs.kube.namespace}/twice Succeeded"


def test_describe_tells_how_each_attempt_ended(jobs: Plugin) -> None:
    jobs.kube.wait_for_job("twice", deadline=ENDS_WITHIN)
    page = jobs("describe", "twice").out
    assert f"Job:       {jobs.kube.namespace}/twice, " in page
    assert "2 so far; 1 failed (restarts.limit is 3), 0 ended for free" in page
    assert "TrainerFailed: container train of pod twice-train-1-0-" in page
    assert "completed the training" in page
    assert "oci://registry.local:5000/simulated@sha256:" in page
    events = page[page.index("\nEvents") :]
    assert events.index("attempt 1 starts") < events.index("attempt 2 starts")


def test_a_job_that_failed_says_what_to_do_and_its_logs_end_as_the_trainer_did(
    jobs: Plugin,
) -> None:
    jobs.kube.wait_for_job("refused", "Failed", deadline=ENDS_WITHIN)
    page = jobs("describe", "refused").out
    assert "Now:       train.jsonl line 7: no field messages: write one" in page
    assert f"To do:     {Reason.DATA_ERROR.remedy}" in page
    logs = jobs("logs", "-f", "refused", "--role", "train", "--no-prefix", "--tail", "1")
    assert (logs.code, logs.out) == (ExitCode.DATA_ERROR, "refused\n")


def test_the_list_has_every_job(jobs: Plugin) -> None:
    jobs.waits("waiting")
    rows = {row[0]: row for row in jobs("list").rows}
    assert rows["twice"][1:4] == ["Succeeded", "300/300", "100%"]
    assert rows["waiting"][1] == "Training"
    assert jobs("list", "-o", "name").out.splitlines() == [
        f"finetunejob.finetune.dev/{name}" for name in ("refused", "twice", "waiting")
    ]
    whole = json.loads(jobs("list", "-o", "json").out)
    assert {each["kind"] for each in whole["items"]} == {"FineTuneJob"}
    assert not any("managedFields" in each["metadata"] for each in whole["items"])
    elsewhere = jobs("list", "-A").out
    assert elsewhere.startswith("NAMESPACE")
    assert jobs.kube.namespace in elsewhere


def test_top_shows_what_runs_on_which_node(jobs: Plugin) -> None:
    jobs.waits("waiting")
    shown = jobs("top", "--once").out
    assert "waiting" in shown
    assert "twice" not in shown, "it is over"
    (pod,) = jobs.kube.items("pods", "finetune.dev/job=waiting,finetune.dev/role=train")
    assert [pod["spec"]["nodeName"], pod["metadata"]["name"], "Running"] in [
        line.split() for line in shown.splitlines()
    ]


def test_plan_of_a_job_in_the_cluster(jobs: Plugin) -> None:
    jobs.waits("waiting")
    plan = jobs("plan", "waiting").out
    assert "LoRA on 1 CPU node(s)" in plan
    assert jobs.trainer in plan


def test_stop_waits_and_says_what_was_saved_and_resume_goes_on(jobs: Plugin) -> None:
    jobs.waits("waiting")
    watching = jobs.start("logs", "-f", "waiting", "--role", "train")
    assert watching.stdout is not None
    assert "attempt 1 step 1/3" in watching.stdout.readline()
    stopped = jobs("stop", "waiting", "--wait")
    assert stopped.code == ExitCode.OK
    assert f"a checkpoint of step {played_trainer.SAVED_STEP} is saved" in stopped.out
    assert "kubectl finetune resume waiting" in stopped.out
    assert is_true(jobs.kube.get("finetunejob", "waiting"), "Suspended")
    rest, told = watching.communicate(timeout=60)
    assert rest.splitlines()[-1] == "train-1/0  saving a checkpoint"
    assert watching.returncode == ExitCode.PREEMPTED
    assert "Suspended" in told.splitlines()[-1]
    assert jobs("resume", "waiting").code == ExitCode.OK
    jobs.kube.wait_for(
        "finetunejob",
        "waiting",
        lambda job: (
            job["status"]["phase"] == "Training" and job["status"]["attempts"]["current"] == 2
        ),
        deadline=ENDS_WITHIN,
    )
    attempts = jobs("describe", "waiting").out
    assert "Preempted (free): suspended" in attempts
    jobs.kube.delete("finetunejob", "waiting")


def test_a_job_that_is_not_there(jobs: Plugin) -> None:
    missing = jobs("describe", "twise")
    assert missing.code == ExitCode.CONFIGURATION_ERROR
    assert missing.out == ""
    assert missing.err.startswith(
        f"refused  FineTuneJob twise does not exist in namespace {jobs.kube.namespace}: there are"
    )
    assert "twice" in missing.err
    over = jobs("stop", "twice")
    assert over.code == ExitCode.CONFIGURATION_ERROR
    assert "is Succeeded: there is nothing to stop" in over.err


def test_whoever_may_not_is_told_what(jobs: Plugin, tmp_path: Path) -> None:
    config = json.loads(jobs.kube.run("config", "view", "--raw", "--minify", "-o", "json"))
    token = jobs.kube.run("create", "token", "default").strip()
    config["users"][0]["user"] = {"token": token}
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(config))
    refused = jobs("list", kubeconfig=str(path))
    assert refused.code == ExitCode.CREDENTIALS_REFUSED
    assert 'cannot list resource "finetunejobs"' in refused.err
    assert f'in the namespace "{jobs.kube.namespace}"' in refused.err
    assert refused.err.count("\n") == 1


def test_kubectl_completes_commands_and_names(jobs: Plugin) -> None:
    def completed(*words: str) -> list[str]:
        return subprocess.run(
            ["kubectl", "__complete", "finetune", *words],
            env=jobs.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        ).stdout.splitlines()

    assert completed("des")[0].split("\t")[0] == "describe"
    found = completed("describe", "--namespace", jobs.kube.namespace, "t")
    assert [line.split("\t")[0] for line in found] == ["twice", ":4"]
