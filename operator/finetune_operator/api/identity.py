"""Who a container that fetches is to the store it fetches from: by a token of its pod."""

from typing import Annotated

from pydantic import ConfigDict, Field

from finetune_operator.api.base import ApiModel
from finetune_operator.api.cel import Matches, Rule, rules

Guid = Annotated[
    str,
    Field(min_length=36, max_length=36),
    Matches(
        r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$",
        "must be an id such as 00000000-0000-0000-0000-000000000000",
    ),
]


class AWSIdentity(ApiModel):
    """A role of AWS that trusts the cluster's issuer."""

    role_arn: Annotated[
        str,
        Field(min_length=20, max_length=512),
        Matches(
            r"^arn:aws[a-z-]*:iam::[0-9]{12}:role/[-A-Za-z0-9_+=,.@/]+$",
            "must be the ARN of a role, such as arn:aws:iam::123456789012:role/training-data",
        ),
    ]
    """ARN of the role; its trust policy names the ServiceAccount."""
    region: Annotated[
        str,
        Field(min_length=1, max_length=32),
        Matches(r"^[a-z]+(-[a-z]+)+-[0-9]$", "must be a region such as eu-west-1"),
    ]
    """Region of the bucket, whose STS gives the role."""


class AzureIdentity(ApiModel):
    """A managed identity or application of Entra that trusts the cluster's issuer."""

    client_id: Guid
    """Its client id; a federated credential of it names the ServiceAccount."""
    tenant_id: Guid
    """Its tenant."""


class WorkloadIdentity(ApiModel):
    """What the ServiceAccount of the pod may act as."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Rule(
                "has(self.aws) != has(self.azure)",
                "is one of aws, for s3://, and azure, for abfs://: give exactly that",
            ),
        )
    )

    aws: AWSIdentity | None = None
    """For s3://."""
    azure: AzureIdentity | None = None
    """For abfs://."""
