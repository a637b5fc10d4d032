"""How a kind is known to the API server, beside its schema."""

from dataclasses import dataclass
from typing import ClassVar

from finetune_operator.api.base import ApiModel
from finetune_operator.api.cel import Rule
from finetune_operator.api.object_meta import ObjectMeta
from finetune_operator.api.text import DNS_LABEL_PATTERN


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


def name_rule(limit: int, reason: str) -> Rule:
    """A DNS-1035 label of at most `limit` characters, and what it is needed for."""
    return Rule(
        f"size(self.metadata.name) <= {limit}"
        f" && self.metadata.name.matches(r'{DNS_LABEL_PATTERN}')",
        f"must have at most {limit} characters, start with a letter and consist of lower-case"
        f" letters, digits and '-': {reason}",
        field=".metadata.name",
    )


class Kind(ApiModel):
    """An object that has a CustomResourceDefinition of its own."""

    resource: ClassVar[Resource]

    metadata: ObjectMeta
