"""Who the operator is to Azure: the workload identity of its pod. No secret is kept anywhere."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential
    from azure.mgmt.containerservice.aio import ContainerServiceClient

CONNECT_SECONDS = 10.0
READ_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Session:
    """With ARM, about one subscription."""

    client: "ContainerServiceClient"
    credential: "AsyncTokenCredential"

    async def close(self) -> None:
        """Ends its connections."""
        await self.client.close()
        await self.credential.close()


def by_workload_identity(subscription_id: str) -> Session:
    """As the webhook of workload identity has set up the pod: AZURE_CLIENT_ID, AZURE_TENANT_ID,
    AZURE_FEDERATED_TOKEN_FILE, AZURE_AUTHORITY_HOST. AZURE_SDK_CLOUD_CONF names another cloud than
    the public one.

    Blocks for a quarter of a second, the first time.

    Raises:
        ValueError: the pod has no workload identity.
    """
    # The SDK takes 23 MB of memory, which only those pay who use it.
    from azure.identity.aio import WorkloadIdentityCredential  # noqa: PLC0415
    from azure.mgmt.containerservice.aio import ContainerServiceClient  # noqa: PLC0415

    credential = WorkloadIdentityCredential()
    client = ContainerServiceClient(
        credential,
        subscription_id,
        retry_total=0,
        connection_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
    )
    return Session(client, credential)
