"""Values that no attribute can hold, as cells: the row is rejected if it needs the cell, and keeps it for the reject file.

Pure. A refused value is `{"refused": [reason, value]}`, where DynamoDB JSON would have a type.
"""

from typing import Any, Literal

REFUSED = "refused"
NaN = Literal["reject", "null", "string"]


def refused(reason: str, value: object) -> dict[str, Any]:
    """`value` is what a person reads in the reject file."""
    return {REFUSED: [reason, value]}


def whole(cell: dict[str, Any]) -> dict[str, Any]:
    """The cell; refused as a whole, with the place in it, when a value in it is refused."""
    found = _first(cell, "")
    return cell if found is None or REFUSED in cell else refused(found, cell)


def _first(value: dict[str, Any], place: str) -> str | None:
    """Place and reason of the first refused value in it."""
    ((kind, payload),) = value.items()
    if kind == REFUSED:
        return f"{place}: {payload[0]}" if place else str(payload[0])
    members = payload.items() if kind == "M" else enumerate(payload) if kind == "L" else ()
    places = ((f"{place}.{step}" if kind == "M" else f"{place}[{step}]", member) for step, member in members)
    return next((found for inner, member in places if (found := _first(member, inner)) is not None), None)
