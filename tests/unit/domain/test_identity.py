"""A token of the pod reaches the one container that fetches with it, and nothing else does."""

from __future__ import annotations

from typing import Any

import pytest

from finetune_operator.api.identity import WorkloadIdentity
from finetune_operator.api.sources import DataSource
from finetune_operator.domain.identity import IDENTITY_PATH, acting_as
from finetune_operator.domain.manifests.prepare import prepare_job
from finetune_operator.domain.manifests.publish import publish_job
from finetune_operator.domain.manifests.train import train_job
from finetune_operator.domain.outside import DIRECTLY
from finetune_operator.domain.pods import fetching
from tests.unit.domain.test_manifests import SMALL, blueprint, containers

AWS = {"aws": {"roleArn": "arn:aws:iam::123456789012:role/data", "region": "eu-west-1"}}
GUID = "11111111-1111-1111-1111-111111111111"
AZURE = {"azure": {"clientId": GUID, "tenantId": GUID.replace("1", "2")}}
ACCOUNT = "abfs://data@account.dfs.core"
JOB = {
    **SMALL,
    "dataset": {
        "train": [
            {"storageUri": "s3://data/train", "workloadIdentity": AWS},
            {"storageUri": "s3://public/train"},
        ],
        "validation": [{"storageUri": f"{ACCOUNT}.windows.net/held", "workloadIdentity": AZURE}],
    },
    "compute": {"podTemplate": {"serviceAccountName": "reader"}},
}


def tokens(pod: dict[str, Any]) -> dict[str, str]:
    """Audience by the container that has the token."""
    audiences = {
        volume["name"]: volume["projected"]["sources"][0]["serviceAccountToken"]["audience"]
        for volume in pod["volumes"]
        if volume["name"].endswith("-identity")
    }
    return {
        each["name"]: audiences[mount["name"]]
        for each in containers(pod)
        for mount in each["volumeMounts"]
        if mount["mountPath"] == IDENTITY_PATH
    }


def test_only_the_container_that_fetches_gets_it() -> None:
    made = blueprint(JOB)
    prepare = prepare_job(made, 1)["spec"]["template"]["spec"]
    assert tokens(prepare) == {
        "fetch-train-0": "sts.amazonaws.com",
        "fetch-validation-0": "api://AzureADTokenExchange",
    }
    assert prepare["serviceAccountName"] == "reader"
    assert prepare["automountServiceAccountToken"] is False
    for build in (train_job, publish_job):
        assert tokens(build(made, 1)["spec"]["template"]["spec"]) == {}


def test_the_others_know_of_no_cloud() -> None:
    prepare = prepare_job(blueprint(JOB), 1)["spec"]["template"]["spec"]
    for each in containers(prepare):
        known = [item for item in each["env"] if item["name"].startswith(("AWS_", "AZURE_"))]
        assert bool(known) == (each["name"] in ("fetch-train-0", "fetch-validation-0"))


@pytest.mark.parametrize(
    ("cloud", "authority"),
    [
        ("windows.net", "https://login.microsoftonline.com/"),
        ("chinacloudapi.cn", "https://login.chinacloudapi.cn/"),
        ("usgovcloudapi.net", "https://login.microsoftonline.us/"),
    ],
)
def test_entra_is_that_of_the_accounts_cloud(cloud: str, authority: str) -> None:
    identity = WorkloadIdentity.model_validate(AZURE)
    environment, _, mount = acting_as(identity, "fetch-model", f"{ACCOUNT}.{cloud}/x")
    assert environment["AZURE_AUTHORITY_HOST"] == authority
    assert environment["AZURE_FEDERATED_TOKEN_FILE"] == f"{mount['mountPath']}/token"
    assert (environment["AZURE_CLIENT_ID"], environment["AZURE_TENANT_ID"]) == (
        GUID,
        GUID.replace("1", "2"),
    )


def test_a_role_is_asked_for_in_the_buckets_region() -> None:
    source = DataSource.model_validate({"storageUri": "s3://data/x", "workloadIdentity": AWS})
    container, volumes = fetching(
        "fetch-train-0",
        "image",
        source,
        destination="/d",
        mounts=[],
        outside=DIRECTLY,
        resources={},
    )
    environment = {each["name"]: each["value"] for each in container["env"]}
    assert environment["AWS_ROLE_ARN"] == AWS["aws"]["roleArn"]
    assert environment["AWS_REGION"] == "eu-west-1"
    assert environment["AWS_WEB_IDENTITY_TOKEN_FILE"] == f"{IDENTITY_PATH}/token"
    (volume,) = volumes
    assert volume["name"] == "fetch-train-0-identity"
