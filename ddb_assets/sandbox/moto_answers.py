"""The answers of moto's DynamoDB as JSON, like moto writes them but several times faster.

moto looks for all ten members of an attribute value, of which one is given: a page of a scan takes half a second.
"""

import base64
from typing import Any

from moto.core.serialize import JSONSerializer


class DynamoDBAnswers(JSONSerializer):
    """Takes attribute values as they are."""

    def _serialize_type_structure(self, serialized: Any, value: Any, shape: Any, key: str) -> None:
        if shape.name == "AttributeValue" and type(value) is dict:
            self._default_serialize(serialized, _attribute_value(value), shape, key)
        else:
            super()._serialize_type_structure(serialized, value, shape, key)


def _attribute_value(value: dict[str, Any]) -> dict[str, Any]:
    """An attribute value as DynamoDB sends it: with texts instead of bytes."""
    return {kind: _inner(kind, inner) for kind, inner in value.items()}


def _inner(kind: str, inner: Any) -> Any:
    match kind:
        case "M":
            return {name: _attribute_value(member) for name, member in inner.items()}
        case "L":
            return [_attribute_value(member) for member in inner]
        case "B":
            return _base64(inner)
        case "BS":
            return [_base64(member) for member in inner]
        case "S" | "N":
            return str(inner)
        case "SS" | "NS":
            return [str(member) for member in inner]
        case _:
            return inner


def _base64(value: str | bytes) -> str:
    return base64.b64encode(value.encode() if isinstance(value, str) else value).decode()
