"""Publishing into an InferenceWorkspace: once for each result, whatever happens in between."""

import json
from pathlib import Path
from typing import Any

import pytest

from finetune_operator.api.fine_tune_job import FineTuneJob
from finetune_operator.api.fine_tune_job_status import Artifact
from finetune_operator.api.inference_revision import InferenceRevision
from finetune_operator.api.inference_workspace import InferenceWorkspace
from finetune_operator.api.reason import Reason
from finetune_operator.domain.actions import JsonObject
from finetune_operator.domain.publication import Publication
from finetune_operator.publishing.workspace import WorkspacePublisher
from tests.unit.golden import assert_golden
from tests.unit.publishing.builders import ADAPTER, COMMIT, MODEL, created, job

GOLDEN = Path(__file__).parent / "golden"
PUSH = {"storageUri": "oci://registry.example.com/adapters/phi3:v1"} | {
    "credentialsSecretRef": {"name": "registry"}
}


class World:
    """What lies in the namespace; a new object appears as the API server would give it."""

    def __init__(self) -> None:
        self.revisions: list[JsonObject] = []
        self.workspaces: list[JsonObject] = []

    def publish(self, of: FineTuneJob, artifact: Artifact = ADAPTER) -> Publication:
        publisher = WorkspacePublisher()
        revisions, workspaces = publisher.reads(of)
        observed = {revisions: tuple(self.revisions), workspaces: tuple(self.workspaces)}
        return publisher.publish(of, artifact, observed)

    def carry_out(self, publication: Publication) -> None:
        for manifest in created(publication):
            made = json.loads(json.dumps(manifest))
            made["metadata"]["uid"] = f"uid-{made['metadata']['name']}"
            if made["kind"] == "InferenceRevision":
                InferenceRevision.model_validate(made)
                self.revisions.append(made)
            else:
                InferenceWorkspace.model_validate(made)
                self.workspaces.append(made)

    def answers(self, *names: str, **conditions: dict[str, str]) -> None:
        """The workspace reports these revisions; conditions override its being available."""
        told = {"Available": {"status": "True", "reason": "Serving", "message": ""}} | conditions
        self.workspaces[0]["status"] = {
            "revisions": [{"name": name, "percent": 0} for name in names],
            "conditions": [
                {"type": kind, "lastTransitionTime": "2026-11-22T10:00:00Z", **said}
                for kind, said in told.items()
            ],
        }


PUBLISHED: dict[str, tuple[FineTuneJob, Artifact]] = {
    "workspace-adapter": (
        job(output=PUSH, method={"type": "LoRA", "lora": {"rank": 64}}),
        ADAPTER,
    ),
    "workspace-full": (job(output=PUSH, method={"type": "Full"}), MODEL),
}


@pytest.mark.parametrize("case", PUBLISHED)
def test_golden(case: str) -> None:
    publication = World().publish(*PUBLISHED[case])
    assert_golden(GOLDEN / f"{case}.yaml", created(publication))


def test_it_is_published_only_when_the_workspace_answers_with_it() -> None:
    world = World()
    first = world.publish(job())
    assert (first.done, first.revision) == (False, "support-0001")
    assert first.endpoint == "http://support.ml.svc/v1"
    world.carry_out(first)
    waiting = world.publish(job(revision="support-0001"))
    assert (waiting.done, created(waiting)) == (False, [])
    world.answers("support-0001")
    done = world.publish(job(revision="support-0001"))
    assert done.done
    assert done.reason is Reason.PUBLISHED
    assert "http://support.ml.svc/v1" in done.message


def test_a_repeat_after_a_crash_before_the_status_makes_no_second_revision() -> None:
    world = World()
    world.carry_out(world.publish(job()))
    again = world.publish(job())
    assert created(again) == []
    assert again.revision == "support-0001"


def test_a_crash_between_the_two_objects_makes_only_the_other_one() -> None:
    world = World()
    world.carry_out(world.publish(job()))
    world.workspaces.clear()
    assert [each["kind"] for each in created(world.publish(job()))] == ["InferenceWorkspace"]


def test_a_job_created_again_under_the_same_name_publishes_its_own_revision() -> None:
    world = World()
    world.carry_out(world.publish(job()))
    again = world.publish(job(uid="another"))
    assert [each["metadata"]["name"] for each in created(again)] == ["support-0002"]


def test_a_workspace_of_the_users_is_left_as_it_is() -> None:
    world = World()
    world.workspaces = [{"metadata": {"name": "support", "namespace": "ml"}, "spec": {}}]
    assert [each["kind"] for each in created(world.publish(job()))] == ["InferenceRevision"]


def test_a_number_that_traffic_still_names_is_not_given_again() -> None:
    world = World()
    target = {"revisionName": "support-0007", "percent": 100}
    world.workspaces = [{"metadata": {"name": "support"}, "spec": {"traffic": [target]}}]
    assert world.publish(job()).revision == "support-0008"


def test_revisions_of_other_workspaces_do_not_count() -> None:
    world = World()
    world.carry_out(world.publish(job({"type": "Workspace", "workspace": {"name": "sales"}})))
    world.workspaces.clear()
    assert world.publish(job(uid="another")).revision == "support-0001"


def test_a_revision_that_somebody_deleted_is_not_made_again() -> None:
    world = World()
    world.workspaces = [{"metadata": {"name": "support"}, "spec": {}}]
    publication = world.publish(job(revision="support-0001"))
    assert (publication.done, publication.stalled, created(publication)) == (False, True, [])
    assert "registry.example.com/adapters/phi3@sha256:" in publication.message


WAITING: dict[str, tuple[dict[str, dict[str, str]], Reason, str, bool]] = {
    "rolling out": (
        {"Ready": {"status": "False", "reason": "Unschedulable", "message": "no node"}},
        Reason.UNSCHEDULABLE,
        "no node",
        False,
    ),
    "another base model": (
        {
            "Ready": {"status": "True", "reason": "Serving", "message": ""},
            "RevisionsAccepted": {
                "status": "False",
                "reason": "OtherBaseModel",
                "message": "support-0001 is over hf://other",
            },
        },
        Reason.OTHER_BASE_MODEL,
        "support-0001 is over hf://other",
        True,
    ),
    "stalled for another reason": (
        {
            "Ready": {"status": "False", "reason": "NameTaken", "message": "Service support"},
            "Stalled": {"status": "True", "reason": "NameTaken", "message": ""},
        },
        Reason.NAME_TAKEN,
        "Service support",
        True,
    ),
    "switched off": (
        {
            "Ready": {"status": "True", "reason": "SwitchedOff", "message": ""},
            "Available": {"status": "False", "reason": "SwitchedOff", "message": "replicas is 0"},
        },
        Reason.SWITCHED_OFF,
        "replicas is 0",
        False,
    ),
    "not looked at yet": ({}, Reason.ROLLING_OUT, "does not answer", False),
}


@pytest.mark.parametrize("case", WAITING)
def test_waiting_is_explained_in_the_words_of_the_workspace(case: str) -> None:
    conditions, reason, told, stalled = WAITING[case]
    world = World()
    world.carry_out(world.publish(job()))
    world.answers(**conditions)
    publication = world.publish(job(revision="support-0001"))
    assert not publication.done
    assert publication.reason is reason
    assert told in publication.message
    assert publication.stalled is stalled


PINNED: dict[str, tuple[dict[str, Any], str, dict[str, str]]] = {
    "hub": (
        {"storageUri": "hf://a/b", "revision": "main"},
        COMMIT,
        {"storageUri": "hf://a/b", "revision": COMMIT},
    ),
    "registry with a port and a tag": (
        {"storageUri": "oci://registry.local:5000/models/phi:v1"},
        "sha256:" + "ef" * 32,
        {"storageUri": "oci://registry.local:5000/models/phi@sha256:" + "ef" * 32},
    ),
    "claim": (
        {"storageUri": "pvc://models/phi"},
        "sha256:" + "ef" * 32,
        {"storageUri": "pvc://models/phi"},
    ),
}


@pytest.mark.parametrize("case", PINNED)
def test_the_base_model_is_the_one_that_was_trained_on(case: str) -> None:
    model, revision, expected = PINNED[case]
    given = job(model=model)
    status = given.status.model_copy(
        update={
            "resolved": given.status.resolved
            and given.status.resolved.model_copy(update={"model_revision": revision})
        }
    )
    publication = World().publish(given.model_copy(update={"status": status}))
    assert created(publication)[0]["spec"]["model"] == expected
