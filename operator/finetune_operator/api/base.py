"""The manner of every model of the API: camelCase on the wire, snake_case in Python, frozen."""

from typing import Any, Self

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class ApiModel(BaseModel):
    """A part of an object. The docstring under each field becomes its description in the CRD."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
    )

    @classmethod
    def from_stored(cls, stored: Any) -> Self:
        """Read what the API server holds; a newer version may have written fields unknown here.

        Raises:
            pydantic.ValidationError: a field that is known here has an impossible value.
        """
        return cls.model_validate(stored, extra="ignore")

    def to_dict(self) -> dict[str, Any]:
        """The object as the API server takes it: JSON values, nothing for what is absent."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)
