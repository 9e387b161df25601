"""The answers of moto's DynamoDB as JSON, like moto writes them but several times faster.

moto looks for each member of each shape under five names or more, also in an attribute value, which has ten members of which
one is given. A scan of a page of a table took half a second.
"""

import base64
from typing import Any

from moto.core.serialize import AttributePickerContext, JSONSerializer


class DynamoDBAnswers(JSONSerializer):
    """Remembers which names moto looks for in a dict, and takes attribute values as they are."""

    _names: dict[tuple[Any, str, str], tuple[str, ...]] = {}  # noqa: RUF012 - the same for all answers

    def get_value(self, value: Any, key: str, shape: Any) -> Any:
        """The member `key` of the value, None if it has none."""
        if type(value) is not dict:
            return super().get_value(value, key, shape)
        if key in value:
            return value[key]
        parent = shape.parent.name
        names = self._names.get((parent, key, shape.name))
        if names is None:
            looked_up = AttributePickerContext(obj={}, key=key, shape=shape)
            names = self._names[parent, key, shape.name] = tuple(self._value_picker.get_possible_keys(looked_up))
        return next((value[name] for name in names if name in value), None)

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
