"""What an installation may set, from environment variables that the chart writes."""

import os
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator

from finetune_operator.nodes.prices import RETAIL_PRICES_URL

PREFIX = "FINETUNE_"


class Settings(BaseModel):
    """`FINETUNE_PROBE_PORT=8081` sets `probe_port`; an unknown FINETUNE_ variable is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    progress_url: str = ""
    """Where trainer pods reach this operator, `http://host:8090`; empty: no live progress."""

    progress_port: int = Field(default=8090, ge=0, le=65535)
    """The progress endpoint's port; 0 takes a free one."""

    metrics_port: int = Field(default=8080, ge=0, le=65535)
    """The metrics' port; 0 takes a free one."""

    probe_port: int = Field(default=8081, ge=0, le=65535)
    """The probes' port; 0 takes a free one."""

    lease: str = Field(default="", pattern="^([^/]+/[^/]+)?$")
    """`namespace/name` of the Lease by which replicas agree who works; empty: this is the only
    operator."""

    pod_name: str = ""
    """Its own, by which the Lease names it."""

    pod_ip: IPv4Address | IPv6Address | None = None
    """Its own, where the other replicas reach it."""

    watch_namespaces: str = Field(default="", pattern=r"^([a-z0-9-]+(,[a-z0-9-]+)*)?$")
    """Namespaces whose jobs it takes care of, `team-a,team-b`; it then reads nothing that is in no
    namespace. Empty: the whole cluster."""

    classes_file: Path | None = None
    """FineTuneClasses as YAML documents, for an operator that has namespaces only."""

    gpu_memory: str = Field(default="", pattern=r"^([0-9]+(\.[0-9]+)?[KMGT]i)?$")
    """Of the smallest NVIDIA GPU of the nodes, `80Gi`, for an operator that cannot read them;
    empty: they have none."""

    resync_seconds: float = Field(default=600.0, gt=0)
    """How often everything is looked at again, in case a change was not seen."""

    image_volumes: Literal["Auto", "Enabled", "Disabled"] = "Auto"
    """Whether adapters are mounted as OCI image volumes. Auto: from Kubernetes 1.36 on. Disabled:
    an init container fetches them."""

    retail_prices_url: str = Field(default=RETAIL_PRICES_URL, pattern=r"^(https?://\S+)?$")
    """Where Azure tells its prices, asked once a day for the classes that get nodes of its; empty:
    only the table that is shipped is used."""

    log_level: str = Field(default="INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$")

    @model_validator(mode="after")
    def _a_replica_can_be_named_and_reached(self) -> Self:
        if self.lease and not (self.pod_name and self.pod_ip):
            raise ValueError("FINETUNE_LEASE needs FINETUNE_POD_NAME and FINETUNE_POD_IP")
        return self

    @model_validator(mode="after")
    def _what_it_may_not_read_is_given(self) -> Self:
        if bool(self.watch_namespaces) != (self.classes_file is not None):
            raise ValueError("FINETUNE_WATCH_NAMESPACES and FINETUNE_CLASSES_FILE go together")
        if self.gpu_memory and not self.watch_namespaces:
            raise ValueError("FINETUNE_GPU_MEMORY is for an operator of FINETUNE_WATCH_NAMESPACES")
        return self

    @property
    def namespaces(self) -> tuple[str, ...]:
        """Those that are watched; none: all."""
        return tuple(self.watch_namespaces.split(",")) if self.watch_namespaces else ()

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """Reads the settings.

        Raises:
            pydantic.ValidationError: a value or a name is not understood.
        """
        given = {
            name.removeprefix(PREFIX).lower(): value
            for name, value in environment.items()
            if name.startswith(PREFIX)
        }
        return TypeAdapter(cls).validate_strings(given)
