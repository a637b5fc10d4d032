"""The kinds of text that the API is made of, each with its bound and its refusal."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AwareDatetime, BeforeValidator, Field, PlainSerializer, WithJsonSchema

from finetune_operator.api.cel import Matches

URI_LENGTH = 512
"""Characters; the API server must know a bound to compute what a rule costs."""

Name = Annotated[
    str,
    Field(min_length=1, max_length=253),
    Matches(
        r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$",
        "must be the name of a Kubernetes object: lower-case letters, digits, '-' and '.'",
    ),
]

DNS_LABEL_PATTERN = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"
"""DNS-1035: a Service of the name can be made."""

WORKSPACE_NAME_LENGTH = 48
"""Characters; leaves room for "-0001" and the suffixes of children within 63."""

WorkspaceName = Annotated[
    str,
    Field(min_length=1, max_length=WORKSPACE_NAME_LENGTH),
    Matches(
        DNS_LABEL_PATTERN,
        "must start with a letter and consist of lower-case letters, digits and '-':"
        " a Service of this name is made",
    ),
]

ManagedBy = Annotated[
    str,
    Field(max_length=63),
    Matches(
        r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/[A-Za-z0-9]([-A-Za-z0-9._]*[A-Za-z0-9])?)?$",
        "must be a domain, '/' and a name, such as kueue.x-k8s.io/multikueue",
    ),
]

ImageReference = Annotated[
    str,
    Field(min_length=1, max_length=URI_LENGTH),
    Matches(
        r"^[a-zA-Z0-9][-a-zA-Z0-9._:/]*(@sha256:[0-9a-f]{64})?$",
        "must be an image reference such as registry.example.com/finetune-trainer@sha256:…",
    ),
]

ImageDigestReference = Annotated[
    str,
    Field(min_length=1, max_length=URI_LENGTH),
    Matches(
        r"^[a-zA-Z0-9][-a-zA-Z0-9._:/]*@sha256:[0-9a-f]{64}$",
        "must name an image by digest, such as registry.example.com/adapters/support@sha256:…:"
        " a tag could be moved, a revision never changes",
    ),
]

Digest = Annotated[
    str,
    Field(max_length=71),
    Matches(r"^sha256:[0-9a-f]{64}$", "must be sha256: and 64 hexadecimal digits"),
]

Host = Annotated[
    str,
    Field(min_length=1, max_length=253),
    Matches(
        r"^[a-zA-Z0-9][-a-zA-Z0-9.]*(:[0-9]{1,5})?$",
        "must be a host with an optional port, such as registry.example.com:5000,"
        " without scheme or path",
    ),
]

FRACTION_PATTERN = r"^0?\.[0-9]*[1-9][0-9]*$"

Fraction = Annotated[
    str,
    Field(max_length=16),
    Matches(
        FRACTION_PATTERN,
        'must be a fraction between 0 and 1 as a string, such as "0.05"',
    ),
]

LEARNING_RATE_PATTERN = r"^([0-9]+(\.[0-9]+)?|\.[0-9]+)([eE]-?[0-9]{1,2})?$"

LearningRate = Annotated[
    str,
    Field(max_length=16),
    Matches(
        LEARNING_RATE_PATTERN,
        'must be a positive number as a string, such as "2e-4" or "0.0002"',
    ),
]

POSITIVE_PATTERN = r"^([0-9]{1,9}(\.[0-9]{1,9})?|\.[0-9]{1,9})$"

PositiveDecimal = Annotated[
    str,
    Field(max_length=20),
    Matches(POSITIVE_PATTERN, 'must be a positive number as a string, such as "0.5"'),
]

Decimal = Annotated[str, Field(max_length=32)]
"""A number that is only shown; a string, because YAML readers disagree about floats."""

QUANTITY_PATTERN = r"^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti|P|Pi|E|Ei)?$"

Size = Annotated[
    str,
    Field(min_length=1, max_length=32),
    Matches(QUANTITY_PATTERN, 'must be an amount of bytes such as "20Gi"'),
]

Quantity = Annotated[
    str,
    BeforeValidator(lambda given: str(given) if isinstance(given, int) else given),
    Field(min_length=1, max_length=32, pattern=QUANTITY_PATTERN),
    WithJsonSchema(
        {
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "pattern": QUANTITY_PATTERN,
            "maxLength": 32,
            "x-kubernetes-int-or-string": True,
        }
    ),
]


def _seconds(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


Time = Annotated[AwareDatetime, PlainSerializer(_seconds, return_type=str, when_used="json")]
"""A moment, in whole seconds on the wire as everywhere in Kubernetes."""
