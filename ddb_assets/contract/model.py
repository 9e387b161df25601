"""The base of all contract models: frozen, and an unknown key is an error that lists the allowed keys."""

from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import InitErrorDetails


def _name_keys(schema: dict[str, Any]) -> None:
    """Adds the list of allowed keys to the JSON schema; a validator's own message would not name them."""
    schema["propertyNames"] = {"enum": list(schema["properties"])}


def first_problem(error: ValidationError) -> str:
    """`place: what is wrong` of the first mistake in a document, without the document's values."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ".".join(map(str, first["loc"])) or "the document"
    return f"{place}: {first['msg'].removeprefix('Value error, ')}"


class ContractModel(BaseModel):
    """A frozen model that refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra=_name_keys, serialize_by_alias=True)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, data: object) -> object:
        """Refuses unknown keys before pydantic does, because pydantic's message does not list the allowed ones."""
        known = [field.alias or name for name, field in cls.model_fields.items()]
        unknown = [key for key in data if key not in known] if isinstance(data, dict) else []
        if unknown:
            allowed = ValueError(f"unknown key; allowed here: {', '.join(known)}")
            raise ValidationError.from_exception_data(
                cls.__name__,
                [
                    InitErrorDetails(type="value_error", loc=(key,), input=data, ctx={"error": allowed})
                    for key in unknown
                ],
            )
        return data
