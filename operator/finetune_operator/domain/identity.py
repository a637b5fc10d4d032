"""The token by which a container that fetches proves whose pod it is in, and what it may act as.

Projected here and not by the clouds' webhooks, which give it to every container of a pod: what runs
model code must not hold it.
"""

from finetune_operator.api.identity import AWSIdentity, AzureIdentity, WorkloadIdentity
from finetune_operator.domain.actions import JsonObject

IDENTITY_PATH = "/var/run/secrets/finetune.dev/identity"
TOKEN_FILE = f"{IDENTITY_PATH}/token"
TOKEN_SECONDS = 3600
"""After 80 % of which the kubelet writes another one; the clients read it each time."""

AWS_AUDIENCE = "sts.amazonaws.com"
AZURE_AUDIENCE = "api://AzureADTokenExchange"

_AUTHORITIES = {
    "windows.net": "https://login.microsoftonline.com/",
    "chinacloudapi.cn": "https://login.chinacloudapi.cn/",
    "usgovcloudapi.net": "https://login.microsoftonline.us/",
}
"""Entra of each cloud, by the end of its storage accounts' names."""


def acting_as(
    identity: WorkloadIdentity, container: str, storage_uri: str
) -> tuple[dict[str, str], JsonObject, JsonObject]:
    """The environment of that container, and the volume that only it mounts, and how."""
    if identity.aws is not None:
        environment, audience = _of_aws(identity.aws), AWS_AUDIENCE
    elif identity.azure is not None:
        environment, audience = _of_azure(identity.azure, storage_uri), AZURE_AUDIENCE
    else:
        raise ValueError("workloadIdentity is neither aws nor azure, which the API server refuses")
    token = {"path": "token", "audience": audience, "expirationSeconds": TOKEN_SECONDS}
    name = f"{container}-identity"
    volume = {"name": name, "projected": {"sources": [{"serviceAccountToken": token}]}}
    return environment, volume, {"name": name, "mountPath": IDENTITY_PATH, "readOnly": True}


def _of_aws(identity: AWSIdentity) -> dict[str, str]:
    return {
        "AWS_ROLE_ARN": identity.role_arn,
        "AWS_REGION": identity.region,
        "AWS_WEB_IDENTITY_TOKEN_FILE": TOKEN_FILE,
    }


def _of_azure(identity: AzureIdentity, storage_uri: str) -> dict[str, str]:
    account = storage_uri.removeprefix("abfs://").partition("/")[0]
    authority = next(url for end, url in _AUTHORITIES.items() if account.endswith(f".{end}"))
    return {
        "AZURE_CLIENT_ID": identity.client_id,
        "AZURE_TENANT_ID": identity.tenant_id,
        "AZURE_AUTHORITY_HOST": authority,
        "AZURE_FEDERATED_TOKEN_FILE": TOKEN_FILE,
    }
