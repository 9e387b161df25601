"""A line of text Ion as a row: a line of an export in Ion, or what ImportTable takes.

Pure, but for the import of `amazon.ion`, which the extra `ion` installs. Facts: DynamoDB Developer Guide, "DynamoDB table
export output format" (`$ion_1_0 {Item: {…}}`, incremental `{Record: {Keys, Metadata, OldImage, NewImage}}`; N is a decimal,
B a blob, sets are lists with the annotation `$dynamodb_SS`, `$dynamodb_NS` or `$dynamodb_BS`).
"""

import base64
from collections.abc import Callable
from decimal import Decimal
from functools import cache
from typing import Any

from ddb_assets.bulk.rows import BadRow, Row, SourceError
from ddb_assets.dynamodb.attribute_value import AttributeValueError

SETS = {"$dynamodb_SS": "SS", "$dynamodb_NS": "NS", "$dynamodb_BS": "BS"}
RECORD = {"Keys", "Metadata", "OldImage", "NewImage"}


def ion_record(text: str, number: int, line: int) -> Row | BadRow:
    """One object. Raises SourceError when Ion cannot be read here."""
    loads = loader()
    try:
        members = _members(loads(text))
        if members.keys() == {"Record"}:
            return _change(_members(members["Record"]), text, number, line)
        if members.keys() != {"Item"}:
            return BadRow(number, line, text, f"expected one struct Item or Record, found {sorted(members)}")
        return Row(number, line, _image(members["Item"]), text)
    except RecursionError:
        return BadRow(number, line, text, "nested too deeply")
    except AttributeValueError as error:
        return BadRow(number, line, text, str(error))


def _change(members: dict[str, Any], text: str, number: int, line: int) -> Row | BadRow:
    if not {"Keys", "Metadata"} <= members.keys() <= RECORD:
        return BadRow(number, line, text, f"expected Keys, Metadata and images, found {sorted(members)}")
    if "NewImage" in members:
        return Row(number, line, _image(members["NewImage"]), text)
    return Row(number, line, _image(members["Keys"]), text, deleted=True)


@cache
def loader() -> Callable[[str], Any]:
    """Reads one Ion value. Raises AttributeValueError."""
    try:
        from amazon.ion import simpleion
        from amazon.ion.exceptions import IonException
    except ImportError:
        raise SourceError(
            "reading Ion needs a package that is not installed here: pip install 'ddb-assets[ion]'"
        ) from None

    def loads(text: str) -> Any:
        try:
            return simpleion.loads(text, single_value=True)
        except (IonException, ValueError, TypeError) as error:
            raise AttributeValueError(f"not Ion: {error}") from None

    return loads


def _image(value: Any) -> dict[str, Any]:
    return {name: _attribute(member, name) for name, member in _members(value).items()}


def _members(value: Any) -> dict[str, Any]:
    if _type(value) != "STRUCT":
        raise AttributeValueError(f"expected a struct, found {_type(value).lower()}")
    found = list(value.items())
    members = dict(found)
    if len(members) < len(found):
        raise AttributeValueError("a name stands twice in one struct")
    return members


def _type(value: Any) -> str:
    return str(value.ion_type.name) if hasattr(value, "ion_type") else type(value).__name__.upper()


def _attribute(value: Any, place: str) -> dict[str, Any]:
    """The value in DynamoDB JSON. Raises AttributeValueError for one that DynamoDB does not have."""
    kind = _type(value)
    if value is None or kind == "NULL" or type(value).__name__ == "IonPyNull":
        return {"NULL": True}
    match kind:
        case "BOOL":
            return {"BOOL": bool(value)}
        case "INT" | "DECIMAL":
            return {"N": str(Decimal(value) if kind == "DECIMAL" else int(value))}
        case "STRING":
            return {"S": str(value)}
        case "BLOB":
            return {"B": base64.b64encode(bytes(value)).decode()}
        case "STRUCT":
            return {"M": {name: _attribute(member, f"{place}.{name}") for name, member in _members(value).items()}}
        case "LIST":
            return _list(value, place)
    raise AttributeValueError(f"{place}: Ion's {kind.lower()} is no type of DynamoDB")


def _list(value: Any, place: str) -> dict[str, Any]:
    members = [_attribute(member, f"{place}[{number}]") for number, member in enumerate(value)]
    names = [annotation.text for annotation in value.ion_annotations]
    if not names:
        return {"L": members}
    set_ = SETS.get(names[0])
    if set_ is None or len(names) > 1 or any(set_[0] not in member for member in members):
        raise AttributeValueError(
            f"{place}: a list with the annotation {'::'.join(map(str, names))} is no type of DynamoDB"
        )
    return {set_: [member[set_[0]] for member in members]}
