"""One record in DynamoDB JSON as a row: a line of an export, an item by itself, or a request to put or delete one.

Pure. Facts: DynamoDB Developer Guide, "DynamoDB table export output format" (`{"Item": …}`; incremental: Metadata, Keys and
images, a delete has no NewImage); API reference, Scan (bare items) and WriteRequest.
"""

from typing import Any

from ddb_assets.bulk.rows import BadRow, Row
from ddb_assets.dynamodb.attribute_value import AttributeValueError, check, split
from ddb_assets.flatten.record import IMAGES, full_change, incremental_change, load_line

INCREMENTAL = {"Metadata", "Keys"}
OF_EXPORTS = {"Item", "Metadata", *IMAGES}
REQUESTS = {"PutRequest": "Item", "DeleteRequest": "Key"}


def dynamodb_record(text: str, number: int, line: int) -> Row | BadRow:
    """Nothing of the record gets lost: one with members that are not known is a BadRow."""
    try:
        loaded = load_line(text)
        if loaded.keys() >= INCREMENTAL and not is_item(loaded):  # whose Metadata is no attribute
            change = incremental_change(loaded)
        elif is_request(loaded):
            return _requested(loaded, text, number, line)
        elif loaded.keys() != {"Item"} and (is_item(loaded) or not loaded.keys() & OF_EXPORTS):
            return _bare(loaded, text, number, line)
        else:
            change = full_change(loaded, 0)
        if unknown := loaded.keys() - OF_EXPORTS:
            return BadRow(number, line, text, f"unknown members: {', '.join(sorted(unknown))}")
        if change.image is None:
            return Row(number, line, change.keys or {}, text, deleted=True)
        return Row(number, line, change.image, text)
    except RecursionError:
        return BadRow(number, line, text, "nested too deeply")
    except ValueError as error:
        return BadRow(number, line, text, str(error))


def is_request(loaded: dict[str, Any]) -> bool:
    """Whether it is an element of a request of BatchWriteItem."""
    return len(loaded) == 1 and loaded.keys() <= REQUESTS.keys() and not is_item(loaded)


def is_item(loaded: dict[str, Any]) -> bool:
    """Whether every member is an attribute, as far as can be told without looking into maps, lists and sets."""
    return bool(loaded) and not any(_no_attribute(name, value) for name, value in loaded.items())


def _requested(loaded: dict[str, Any], text: str, number: int, line: int) -> Row | BadRow:
    ((kind, request),) = loaded.items()
    member = REQUESTS[kind]
    if not isinstance(request, dict) or request.keys() != {member} or not isinstance(request[member], dict):
        return BadRow(number, line, text, f"expected {kind} with one object {member!r}")
    return Row(number, line, request[member], text, deleted=kind == "DeleteRequest")


def _bare(loaded: dict[str, Any], text: str, number: int, line: int) -> Row | BadRow:
    problem = next((why for name, value in loaded.items() if (why := _no_attribute(name, value))), "it is empty")
    if is_item(loaded):
        return Row(number, line, loaded, text)
    return BadRow(number, line, text, f"neither a line of an export nor an item in DynamoDB JSON: {problem}")


def _no_attribute(name: str, value: object) -> str:
    """Why not; empty for an attribute. Numbers, binary values and members are checked with the item, before it is sent."""
    try:
        descriptor, payload = split(value, (name,))
        if descriptor in {"N", "B", "SS", "NS", "BS"}:
            if not isinstance(payload, str if len(descriptor) == 1 else list):
                return f"{name}: {descriptor} cannot hold {type(payload).__name__}"
        else:
            check(descriptor, payload, (name,))
    except AttributeValueError as error:
        return str(error)
    return ""
