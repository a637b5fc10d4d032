"""`s3://bucket/path`: objects of Amazon S3, as a role that trusts the pod's ServiceAccount, or as
nobody where they are public."""

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import boto3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    IncompleteReadError,
    ResponseStreamingError,
    SSLError,
)

from finetune_trainer.errors import (
    ConfigurationError,
    CredentialsRefusedError,
    TrainerError,
    UnavailableError,
)
from finetune_trainer.fetch.objects import BrokenError, ChangedError, Item, fetch_objects
from finetune_trainer.fetch.source import Access, Source

ROLE, TOKEN_FILE, REGION = "AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_REGION"
_ANYWHERE = "us-east-1"
"""Where a public bucket is asked for; S3 says where it is."""
_CONNECT_SECONDS, _READ_SECONDS = 10, 30
_CHUNK = 1 << 20
_REFUSED = frozenset({"AccessDenied", "403", "ExpiredToken", "InvalidAccessKeyId", "InvalidToken"})


def fetch(source: Source, target: Path, access: Access) -> str:
    """Fetch into `target`, going on where a call for the same objects stopped; no revision."""
    del access  # who asks is in the environment: a role, or nobody
    match = re.fullmatch(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(.*))?", source.uri)
    if match is None:
        raise ConfigurationError(
            f"{source.field}: {source.uri!r} is not of the form s3://BUCKET/PATH"
        )
    bucket = _Bucket(source, match[1], _client())
    fetch_objects(source, bucket, match[2] or "", target)
    return ""


def _client() -> Any:
    # A node's own role is not the job's.
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
    known = bool(os.environ.get(TOKEN_FILE))
    config = Config(
        signature_version=None if known else UNSIGNED,
        connect_timeout=_CONNECT_SECONDS,
        read_timeout=_READ_SECONDS,
        retries={"mode": "standard", "total_max_attempts": 3},
    )
    return boto3.client("s3", region_name=os.environ.get(REGION, _ANYWHERE), config=config)


class _Bucket:
    """See objects.Store."""

    def __init__(self, source: Source, name: str, client: Any) -> None:
        self._source = source
        self._name = name
        self._client = client

    def items(self, prefix: str) -> Iterable[Item]:
        pages = self._client.get_paginator("list_objects_v2")
        try:
            for page in pages.paginate(Bucket=self._name, Prefix=prefix):
                for each in page.get("Contents", ()):
                    yield Item(each["Key"], each["ETag"], each["Size"])
        except (BotoCoreError, ClientError) as error:
            raise self._meaning(error) from error

    def read(self, item: Item, start: int) -> Iterator[bytes]:
        try:
            answer = self._client.get_object(
                Bucket=self._name, Key=item.key, IfMatch=item.etag, Range=f"bytes={start}-"
            )
            yield from answer["Body"].iter_chunks(_CHUNK)
        except (HTTPClientError, IncompleteReadError, ResponseStreamingError) as error:
            if isinstance(error, SSLError):
                raise self._meaning(error) from error
            raise BrokenError(str(error)) from error
        except ClientError as error:
            if _code(error) in ("PreconditionFailed", "412", "NoSuchKey", "404"):
                raise ChangedError(str(error)) from error
            raise self._meaning(error) from error
        except BotoCoreError as error:
            raise self._meaning(error) from error

    def _meaning(self, error: Exception) -> TrainerError:
        name = f"{self._source.field}: {self._source.uri}"
        if isinstance(error, ClientError):
            if error.operation_name == "AssumeRoleWithWebIdentity":
                return CredentialsRefusedError(
                    f"{name}: AWS does not give the role {os.environ.get(ROLE)} to this pod: its"
                    f" trust policy has to name the pod's ServiceAccount ({error})"
                )
            code = _code(error)
            if code in _REFUSED:
                return CredentialsRefusedError(
                    f"{name}: S3 refused: {self._who()} may not list and read it ({error})"
                )
            if code in ("NoSuchBucket", "404"):
                return ConfigurationError(f"{name}: there is no bucket {self._name}")
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            return ConfigurationError(
                f"{name}: S3's certificate is not trusted: name the authority that has signed it in"
                f" network.certificateAuthorities of the FineTuneClass ({error})"
            )
        return UnavailableError(f"{name}: S3 cannot be used now: {error}")

    def _who(self) -> str:
        return os.environ.get(ROLE) or "who gives no workloadIdentity"


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
