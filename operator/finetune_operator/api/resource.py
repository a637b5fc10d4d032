"""How a kind is known to the API server, beside its schema."""

from dataclasses import dataclass
from typing import ClassVar

from finetune_operator.api.base import ApiModel
from finetune_operator.api.object_meta import ObjectMeta


@dataclass(frozen=True)
class PrinterColumn:
    """A column of `kubectl get`; `wide` ones are shown by `-o wide` only."""

    name: str
    json_path: str
    type: str = "string"
    wide: bool = False


@dataclass(frozen=True)
class Resource:
    """Names, scope and columns of a kind."""

    plural: str
    short_names: tuple[str, ...]
    columns: tuple[PrinterColumn, ...]
    namespaced: bool = True


class Kind(ApiModel):
    """An object that has a CustomResourceDefinition of its own."""

    resource: ClassVar[Resource]

    metadata: ObjectMeta
