"""Argo CD and Flux say of every state what a person would: waiting, done, or in need of help.

The states are those that `decide` writes; the verdicts are those of Argo CD's interpreter, running
the scripts of examples/gitops, and of Flux's kstatus. docs/gitops.md shows them;
`UPDATE_GOLDEN=1 pytest tests/unit/gitops` writes its tables anew.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from finetune_operator.api.conditions import ConditionType
from finetune_operator.api.crds import crd
from finetune_operator.api.fine_tune_job import FineTuneJob
from finetune_operator.api.fine_tune_job_status import Phase
from finetune_operator.api.inference_workspace import InferenceWorkspace
from finetune_operator.domain.conditions import is_true
from tests.unit.domain import histories as jobs
from tests.unit.gitops.conftest import ROOT, SCRIPTS, Judge, Object, judged
from tests.unit.inference import histories as workspaces

PAGE = ROOT / "docs/gitops.md"
JOB_ROWS = (
    "created, not looked at yet",
    "the FineTuneClass does not exist",
    "accepted",
    "model and data are being fetched",
    "waits for its turn",
    "no node can take a pod",
    "an attempt is running",
    "its node does not answer",
    "an attempt ended: Preempted",
    "suspend was set while the operator is away",
    "suspended",
    "resumed",
    "the result is being pushed",
    "its workspace: its pods are starting",
    "KAITO is to serve, and is not installed",
    "everything asked for is there",
    "cleaned up",
    "a gate does not hold",
    "an attempt ended: DataError",
    "attempts failed more often than restarts.limit",
)
WORKSPACE_ROWS = (
    "created, not looked at yet",
    "nothing was published to it yet",
    "its pods are starting",
    "every revision answers",
    "a newer revision is rolling out",
    "a revision over another base model was published",
    "traffic was sent to nowhere, and the old revisions answer",
    "its runtime has no image",
    "edited while the operator is away",
    "switched off",
)
AGREE = {
    "Progressing": {"InProgress"},
    "Healthy": {"Current"},
    "Suspended": {"Current"},
    "Degraded": {"Failed"},
}
BEGIN, END = "<!-- {}: from tests/unit/gitops -->\n", "<!-- end -->\n"

Verdicts = dict[str, dict[str, dict[str, str]]]


def as_stored(kind: type[FineTuneJob | InferenceWorkspace], manifest: Object) -> Object:
    """With the status that the API server fills in where nobody has written one."""
    schema = crd(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    if "observedGeneration" not in manifest["status"]:
        return manifest | {"status": schema["properties"]["status"]["default"]}
    return manifest


@pytest.fixture(scope="module")
def found_jobs() -> dict[str, FineTuneJob]:
    return {name: history().job for name, history in jobs.HISTORIES.items()}


@pytest.fixture(scope="module")
def of_jobs(judge: Judge, found_jobs: dict[str, FineTuneJob]) -> Verdicts:
    objects = [as_stored(FineTuneJob, job.to_dict()) for job in found_jobs.values()]
    return dict(zip(found_jobs, judge(objects), strict=True))


@pytest.fixture(scope="module")
def of_workspaces(judge: Judge) -> Verdicts:
    found = {name: tell().to_dict() for name, tell in workspaces.HISTORIES.items()}
    objects = [as_stored(InferenceWorkspace, manifest) for manifest in found.values()]
    return dict(zip(found, judge(objects), strict=True))


@pytest.mark.parametrize("name", jobs.HISTORIES)
def test_both_say_the_same_of_a_job(name: str, of_jobs: Verdicts) -> None:
    verdict = of_jobs[name]
    assert verdict["flux"]["status"] in AGREE[verdict["argo"]["status"]]
    assert verdict["argo"]["message"]


@pytest.mark.parametrize("name", workspaces.HISTORIES)
def test_both_say_the_same_of_a_workspace(name: str, of_workspaces: Verdicts) -> None:
    verdict = of_workspaces[name]
    assert verdict["flux"]["status"] in AGREE[verdict["argo"]["status"]]
    assert verdict["argo"]["message"]


@pytest.mark.parametrize("name", jobs.HISTORIES)
def test_kstatus_says_what_the_reference_does(
    name: str, found_jobs: dict[str, FineTuneJob], of_jobs: Verdicts
) -> None:
    job = found_jobs[name]
    if is_true(job.status.conditions, ConditionType.STALLED):
        expected = "Failed"
    elif job.status.observed_generation != job.metadata.generation:
        expected = "InProgress"
    else:
        assert job.status.phase is not None
        expected = job.status.phase.verdict.value
    assert of_jobs[name]["flux"]["status"] == expected


def test_the_message_says_how_far_it_is_or_what_is_wrong(of_jobs: Verdicts) -> None:
    said = {name: verdict["argo"]["message"] for name, verdict in of_jobs.items()}
    assert said["an attempt is running"] == "step 420/1800, Training: attempt 1 is running"
    named = said["an attempt ended: the message names the data"]
    assert named == "DataError: train.jsonl line 17: not JSON"
    assert said["no node can take a pod"].endswith("or add nodes.")


HALF_WRITTEN: list[Any] = [
    {},
    {"status": {}},
    {"status": {"observedGeneration": -1}},
    {"metadata": {"generation": 2}, "status": {"observedGeneration": 1, "conditions": []}},
    {"metadata": {"generation": 1}, "status": {"observedGeneration": 1, "conditions": []}},
    {"metadata": {"generation": 1}, "status": {"conditions": [{"type": "Accepted"}]}},
]


@pytest.mark.parametrize("kind", ["FineTuneJob", "InferenceWorkspace", "Application"])
def test_an_object_that_is_half_written_is_under_way(kind: str, judge: Judge) -> None:
    objects = [{"apiVersion": "v1", "kind": kind} | half for half in HALF_WRITTEN]
    assert {verdict["argo"]["status"] for verdict in judge(objects)} == {"Progressing"}


def test_an_application_has_the_health_of_what_is_in_it(judge: Judge) -> None:
    health = {"status": "Degraded", "message": "FineTuneJob support-1"}
    application = {"apiVersion": "v1", "kind": "Application", "status": {"health": health}}
    assert judge([application])[0]["argo"] == health


def test_a_script_gets_no_more_libraries_than_argo_gives(judges: Path) -> None:
    script = 'return {status = "Healthy", message = string.format("%d", 1)}'
    objects = [{"apiVersion": "v1", "kind": "FineTuneJob"}]
    found, why = judged(judges, {"FineTuneJob": script}, objects)
    assert found is None
    assert "string" in why or "format" in why


def test_every_script_is_one_that_users_are_given() -> None:
    settings = (SCRIPTS / "kustomization.yaml").read_text()
    for script in SCRIPTS.glob("*.lua"):
        assert f"={script.name}\n" in settings


def row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |\n"


def test_the_page_shows_every_phase_and_both_verdicts(
    found_jobs: dict[str, FineTuneJob], of_jobs: Verdicts, of_workspaces: Verdicts
) -> None:
    phases = {name: found_jobs[name].status.phase for name in JOB_ROWS}
    assert set(phases.values()) == {None, *Phase}
    of_job = [row(["Phase", "When", "Argo CD", "Flux (kstatus)"]), row(["---"] * 4)]
    for name in JOB_ROWS:
        verdict = of_jobs[name]
        verdicts = [verdict["argo"]["status"], verdict["flux"]["status"]]
        of_job.append(row([phases[name] or "(none)", name, *verdicts]))
    of_workspace = [row(["When", "Argo CD", "Flux (kstatus)"]), row(["---"] * 3)]
    for name in WORKSPACE_ROWS:
        verdict = of_workspaces[name]
        of_workspace.append(row([name, verdict["argo"]["status"], verdict["flux"]["status"]]))
    shown("FineTuneJob", "".join(of_job))
    shown("InferenceWorkspace", "".join(of_workspace))


def shown(title: str, table: str) -> None:
    """The table stands between its marks in the page."""
    page = PAGE.read_text()
    before, begin, rest = page.partition(BEGIN.format(title))
    found, end, after = rest.partition(END)
    assert begin and end, f"{PAGE.name} has no place for the table of {title}"
    if os.environ.get("UPDATE_GOLDEN"):
        PAGE.write_text(f"{before}{begin}{table}{end}{after}")
        return
    assert found == table, "UPDATE_GOLDEN=1 pytest tests/unit/gitops writes it anew"
