"""What all parts of a contract share: they cannot be changed, and a key that they do not know is an error that lists those
that they do.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import InitErrorDetails


def _name_keys(schema: dict[str, Any]) -> None:
    """Lists the keys for JSON schema validators, whose own message only says that one is not allowed."""
    schema["propertyNames"] = {"enum": list(schema["properties"])}


class ContractModel(BaseModel):
    """A frozen model that refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra=_name_keys)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, data: object) -> object:
        """Refuses unknown keys before pydantic does, because its own message does not say which ones there are."""
        unknown = [key for key in data if key not in cls.model_fields] if isinstance(data, dict) else []
        if unknown:
            allowed = ValueError(f"unknown key; allowed here: {', '.join(cls.model_fields)}")
            raise ValidationError.from_exception_data(
                cls.__name__,
                [
                    InitErrorDetails(type="value_error", loc=(key,), input=data, ctx={"error": allowed})
                    for key in unknown
                ],
            )
        return data
