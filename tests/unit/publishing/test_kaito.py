"""Publishing as a KAITO Workspace, and what KAITO says about it."""

from pathlib import Path
from typing import Any

import pytest

from finetune_operator.api.fine_tune_job import FineTuneJob
from finetune_operator.api.method import Method, published_rank
from finetune_operator.api.reason import Reason
from finetune_operator.domain.actions import Apply, JsonObject
from finetune_operator.domain.publication import Publication
from finetune_operator.publishing.kaito import KAITOPublisher
from tests.unit.golden import assert_golden
from tests.unit.publishing.builders import ADAPTER, job

GOLDEN = Path(__file__).parent / "golden"
PUBLISH = {"type": "KAITO", "kaito": {"labelSelector": {"matchLabels": {"apps": "phi3"}}}}
GATED = {"storageUri": "hf://meta-llama/Llama-3.1-8B-Instruct"} | {
    "credentialsSecretRef": {"name": "hub"}
}
PUSH = {"storageUri": "oci://registry.example.com/adapters/phi3:v1"} | {
    "credentialsSecretRef": {"name": "registry"}
}
PROVISIONED = {
    "type": "KAITO",
    "kaito": PUBLISH["kaito"] | {"instanceType": "Standard_NC24ads_A100_v4"},  # type: ignore[operator]
}


def publish(
    of: FineTuneJob,
    workspaces: tuple[JsonObject, ...] | None = (),
    configs: tuple[JsonObject, ...] = (),
) -> Publication:
    publisher = KAITOPublisher()
    workspace, config = publisher.reads(of)
    return publisher.publish(of, ADAPTER, {workspace: workspaces, config: configs})


def applied(publication: Publication) -> list[JsonObject]:
    return [dict(each.manifest) for each in publication.actions if isinstance(each, Apply)]


def live(of: FineTuneJob, *conditions: dict[str, Any]) -> JsonObject:
    """The Workspace as it is after it was applied."""
    made = applied(publish(of))[-1]
    metadata = {**made["metadata"], "uid": "kaito-uid", "generation": 1}
    return {**made, "metadata": metadata, "status": {"conditions": list(conditions)}}


def said(kind: str, status: str, message: str = "", **more: Any) -> dict[str, Any]:
    return {"type": kind, "status": status, "reason": f"{kind}Reason", "message": message} | more


CASES = {
    "kaito": job(PUBLISH),
    "kaito-provisioned-gated-rank-48": job(
        PROVISIONED, model=GATED, output=PUSH, method={"type": "LoRA", "lora": {"rank": 48}}
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_golden(case: str) -> None:
    assert_golden(GOLDEN / f"{case}.yaml", applied(publish(CASES[case])))


def test_the_cluster_has_no_kaito() -> None:
    publication = publish(job(PUBLISH), workspaces=None)
    assert publication.reason is Reason.KAITO_MISSING
    assert "install KAITO" in publication.message
    assert (publication.done, publication.stalled, publication.actions) == (False, True, [])


def test_a_repeat_applies_nothing() -> None:
    of = job(PUBLISH)
    publication = publish(of, (live(of),))
    assert publication.actions == []
    assert "its controller runs" in publication.message


def test_the_config_map_goes_with_the_workspace() -> None:
    of = CASES["kaito-provisioned-gated-rank-48"]
    config, workspace = applied(publish(of))
    assert workspace["inference"]["config"] == config["metadata"]["name"]
    assert "ownerReferences" not in config["metadata"]  # there is no owner yet
    (owned,) = applied(publish(of, (live(of),), (config,)))
    assert owned["metadata"]["ownerReferences"][0]["uid"] == "kaito-uid"
    assert applied(publish(of, (live(of),), (owned,))) == []


def test_the_conditions_are_mirrored_first_obstacle_first() -> None:
    of = job(PUBLISH)
    conditions = (
        said("InferenceReady", "False", "no pods"),
        said("ResourceReady", "False", "0 of 1 nodes"),
    )
    publication = publish(of, (live(of, *conditions),))
    assert not publication.done
    assert publication.message.index("0 of 1 nodes") < publication.message.index("no pods")


def test_it_is_published_when_kaito_is_ready_for_this_adapter() -> None:
    of = job(PUBLISH)
    ready = live(of, said("InferenceReady", "True", observedGeneration=1))
    publication = publish(of, (ready,))
    assert publication.done
    assert publication.endpoint == "http://phi3.ml.svc/v1"
    assert publication.revision == "phi3"
    stale = {**ready, "metadata": {**ready["metadata"], "generation": 2}}
    assert not publish(of, (stale,)).done


def test_a_job_created_again_changes_the_adapter_of_its_workspace() -> None:
    before = live(job(PUBLISH))
    changed = applied(publish(job(PUBLISH, uid="another"), (before,)))
    assert [each["metadata"]["labels"]["finetune.dev/job-uid"] for each in changed] == ["another"]


def test_a_workspace_of_somebody_else_is_left_alone() -> None:
    foreign = {"metadata": {"name": "phi3", "uid": "x", "labels": {}}}
    publication = publish(job(PUBLISH), (foreign,))
    assert publication.reason is Reason.NAME_TAKEN
    assert (publication.stalled, publication.actions) == (True, [])


@pytest.mark.parametrize(
    ("method", "rank"),
    [
        ({}, 16),
        ({"lora": {"rank": 8}}, 8),
        ({"lora": {"rank": 8, "initialization": "PiSSA"}}, 16),
        ({"lora": {"rank": 8, "initialization": "LoftQ"}}, 16),
        ({"type": "DoRA", "dora": {"rank": 8}}, None),
    ],
)
def test_the_rank_is_that_of_what_is_published(method: dict[str, Any], rank: int | None) -> None:
    assert published_rank(Method.model_validate(method)) == rank
