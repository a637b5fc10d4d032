"""serve.json: which models answer, under which names, and who gets the workspace's own name."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from finetune_trainer.errors import ConfigurationError
from finetune_trainer.recipe import Precision

Name = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)]
"""A DNS label: also a name PEFT can give to an adapter."""


class _Frozen(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel, validate_by_name=True, extra="forbid", frozen=True
    )


class BaseModelSource(_Frozen):
    """The model that all adapters stand on."""

    name: Name
    path: Path


class RevisionSource(_Frozen):
    """One revision."""

    name: Name
    path: Path | None = None
    """A folder with an adapter or with a whole model; None when it is the base model itself."""


class Route(_Frozen):
    """A share of the requests for the workspace's name."""

    revision: Name
    percent: int = Field(ge=0, le=100)


class ServeConfig(_Frozen):
    """Everything the server is told."""

    name: Name
    """Of the InferenceWorkspace."""
    base_model: BaseModelSource
    revisions: list[RevisionSource] = []
    traffic: list[Route] = []
    """Percentages that sum to 100; empty: the base model answers for the workspace."""
    upstream: str | None = None
    """Base URL of an OpenAI-compatible server that has the models; None: they are loaded here."""
    host: str | None = None
    """Interface to listen on; None: all."""
    port: int = 8000
    precision: Precision = Precision.AUTO
    queue_limit: int = Field(default=32, ge=1)
    """Requests that may wait for the one that is answered; more get 429."""
    request_seconds: int = Field(default=600, ge=1)
    """Bound of one answer, its waiting included."""
    linger_seconds: int = Field(default=5, ge=0)
    """After SIGTERM requests are answered for so long, and their clients sent elsewhere."""
    drain_seconds: int = Field(default=50, ge=0)
    """Answers being written after that have so long to end."""

    @property
    def models(self) -> list[str]:
        """Names of what answers, but for the workspace's own."""
        return [revision.name for revision in self.revisions] + [self.base_model.name]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [*self.models, self.name]
        repeated = {name for name in names if names.count(name) > 1}
        if repeated:
            raise ValueError(f"names must differ: {', '.join(sorted(repeated))}")
        unknown = {route.revision for route in self.traffic} - set(self.models)
        if unknown:
            raise ValueError(f"traffic names unknown revisions: {', '.join(sorted(unknown))}")
        if self.traffic and sum(route.percent for route in self.traffic) != 100:
            raise ValueError("the percentages of traffic must sum to 100")
        return self


def read_config(path: Path) -> ServeConfig:
    """Raises ConfigurationError naming each field that is wrong."""
    try:
        return ServeConfig.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from error
    except ValidationError as error:
        details = "; ".join(
            f"{'.'.join(map(str, item['loc'])) or 'config'}: {item['msg']}"
            for item in error.errors(include_url=False)
        )
        raise ConfigurationError(f"{path.name}: {details}") from error
