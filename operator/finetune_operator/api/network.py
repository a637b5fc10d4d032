"""How pods that speak to anybody outside the cluster reach them."""

from typing import Annotated

from pydantic import ConfigDict, Field

from finetune_operator.api.base import ApiModel
from finetune_operator.api.cel import Matches, Rule, rules
from finetune_operator.api.text import Name

ProxyUrl = Annotated[
    str,
    Field(min_length=1, max_length=253),
    Matches(
        r"^https?://[a-zA-Z0-9][-a-zA-Z0-9.]*:[0-9]{1,5}/?$",
        "must be a URL with its port, such as http://proxy.example.com:3128; whoever may read the"
        " class reads it, so it cannot hold a password",
    ),
]

Unproxied = Annotated[
    str,
    Field(min_length=1, max_length=253),
    Matches(
        r"^[.]?[a-zA-Z0-9][-a-zA-Z0-9.]*(:[0-9]{1,5})?$",
        "must be a host such as registry.example.com, or with a leading dot all hosts of a domain;"
        " ranges of addresses are not understood by all that has to obey them",
    ),
]

HubEndpoint = Annotated[
    str,
    Field(min_length=1, max_length=512),
    Matches(
        r"^https?://[a-zA-Z0-9][-a-zA-Z0-9.]*(:[0-9]{1,5})?(/[A-Za-z0-9._-]+)*$",
        "must be a URL such as https://hub.example.com/huggingface, without '/' at its end",
    ),
]


class Proxy(ApiModel):
    """The proxy that leads out of the cluster."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Rule(
                "has(self.http) || has(self.https)",
                "names no proxy: give https, and http where plain HTTP leaves the cluster too",
            ),
        )
    )

    http: ProxyUrl | None = None
    """Asked for http:// addresses. Absent: they are spoken to directly."""
    https: ProxyUrl | None = None
    """Asked for https:// addresses. Absent: they are spoken to directly."""
    no_proxy: Annotated[tuple[Unproxied, ...], Field(max_length=64)] = ()
    """Hosts, or with a leading dot domains, that are spoken to directly. Default: none."""


class CertificateAuthorities(ApiModel):
    """Authorities that are trusted besides those of the trainer image."""

    config_map_name: Name
    """ConfigMap in the namespace of the job or workspace, of which every key holds certificates as
    PEM, as trust-manager and OpenShift make one in each namespace."""


class Hub(ApiModel):
    """What stands in for huggingface.co."""

    endpoint: HubEndpoint
    """URL of a mirror that speaks the hub's API; hf:// is fetched from there."""


class Network(ApiModel):
    """Reaches the containers that fetch and publish, and no other: the others speak to nobody."""

    proxy: Proxy | None = None
    """The proxy that leads out of the cluster. Absent: none."""
    certificate_authorities: CertificateAuthorities | None = None
    """Who else is trusted. Absent: nobody."""
    hub: Hub | None = None
    """Where hf:// is fetched from. Absent: huggingface.co."""
