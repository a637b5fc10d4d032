"""`abfs://container@account.dfs.core.windows.net/path`: blobs of Azure Storage, as a managed
identity that trusts the pod's ServiceAccount, or as nobody where they are public."""

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from azure.core import MatchConditions
from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    ResourceModifiedError,
    ResourceNotFoundError,
    ServiceRequestError,
)
from azure.identity import WorkloadIdentityCredential
from azure.storage.blob import ContainerClient

from finetune_trainer.errors import (
    ConfigurationError,
    CredentialsRefusedError,
    TrainerError,
    UnavailableError,
)
from finetune_trainer.fetch.objects import BrokenError, ChangedError, Item, fetch_objects
from finetune_trainer.fetch.source import Access, Source

CLIENT, TOKEN_FILE = "AZURE_CLIENT_ID", "AZURE_FEDERATED_TOKEN_FILE"
_URI = re.compile(
    r"abfs://(?P<container>[a-z0-9$][a-z0-9-]{2,62})@"
    r"(?P<account>[a-z0-9]{3,24})\.(?:dfs|blob)\.(?P<cloud>core\.[a-z.]+)(?:/(?P<path>.*))?"
)
_CONNECT_SECONDS, _READ_SECONDS = 10, 30
_CHUNK = 16 << 20
"""Bytes of an answer: what is gone on with begins with one."""
_SCOPE = "https://storage.azure.com/.default"


def fetch(source: Source, target: Path, access: Access) -> str:
    """Fetch into `target`, going on where a call for the same blobs stopped; no revision."""
    del access  # who asks is in the environment: an identity, or nobody
    match = _URI.fullmatch(source.uri)
    if match is None:
        raise ConfigurationError(
            f"{source.field}: {source.uri!r} is not of the form"
            " abfs://CONTAINER@ACCOUNT.dfs.core.windows.net/PATH"
        )
    client = ContainerClient(
        f"https://{match['account']}.blob.{match['cloud']}",
        match["container"],
        credential=_credential(source) if os.environ.get(TOKEN_FILE) else None,
        connection_timeout=_CONNECT_SECONDS,
        read_timeout=_READ_SECONDS,
        retry_total=2,
        initial_backoff=1,
        max_single_get_size=_CHUNK,
        max_chunk_get_size=_CHUNK,
    )
    with client:
        fetch_objects(source, _Container(source, client), match["path"] or "", target)
    return ""


def _credential(source: Source) -> WorkloadIdentityCredential:
    credential = WorkloadIdentityCredential()
    try:
        credential.get_token(_SCOPE)  # which it keeps
    except ClientAuthenticationError as error:
        raise CredentialsRefusedError(
            f"{source.field}: {source.uri}: Entra does not give a token for the identity"
            f" {os.environ.get(CLIENT)} to this pod: a federated credential of it has to name the"
            f" pod's ServiceAccount ({_said(error)})"
        ) from error
    except AzureError as error:
        raise _meaning(source, error) from error
    return credential


class _Container:
    """See objects.Store."""

    def __init__(self, source: Source, client: ContainerClient) -> None:
        self._source = source
        self._client = client

    def items(self, prefix: str) -> Iterable[Item]:
        try:
            for each in self._client.list_blobs(name_starts_with=prefix or None):
                yield Item(each.name, each.etag or "", each.size or 0)
        except AzureError as error:
            raise _meaning(self._source, error) from error

    def read(self, item: Item, start: int) -> Iterator[bytes]:
        try:
            yield from self._client.download_blob(
                item.key,
                offset=start,
                length=item.size - start,
                etag=item.etag,
                match_condition=MatchConditions.IfNotModified,
            ).chunks()
        except (ResourceModifiedError, ResourceNotFoundError) as error:
            raise ChangedError(str(error)) from error
        except HttpResponseError as error:
            if error.status_code is None or error.status_code >= 500:
                raise BrokenError(_said(error)) from error
            raise _meaning(self._source, error) from error
        except AzureError as error:
            if isinstance(error, ServiceRequestError):
                raise _meaning(self._source, error) from error
            raise BrokenError(_said(error)) from error


def _meaning(source: Source, error: AzureError) -> TrainerError:
    name, said = f"{source.field}: {source.uri}", _said(error)
    status = error.status_code if isinstance(error, HttpResponseError) else None
    if isinstance(error, ResourceNotFoundError):
        return ConfigurationError(f"{name}: there is no such container in this account")
    if status in (401, 403):
        return CredentialsRefusedError(
            f"{name}: Azure Storage refused: {_who()} may not list and read it; the role Storage"
            f" Blob Data Reader lets it ({said})"
        )
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return ConfigurationError(
            f"{name}: the certificate is not trusted: name the authority that has signed it in"
            f" network.certificateAuthorities of the FineTuneClass ({said})"
        )
    return UnavailableError(f"{name}: Azure Storage cannot be used now: {said}")


def _who() -> str:
    identity = os.environ.get(CLIENT)
    return f"the identity {identity}" if identity else "who gives no workloadIdentity"


def _said(error: AzureError) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
