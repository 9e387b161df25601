"""Values that `contract: freeze` would refuse if the next export has what the newest profile has. Pure.

Only types and names are compared. Whether a value fits its column is seen when it is flattened.
"""

from collections.abc import Iterator

from ddb_assets.contract.table import Table
from ddb_assets.dynamodb.attribute_value import Step, format_path
from ddb_assets.flatten.profile import Seen
from ddb_assets.flatten.schema import Node, Schema

NAMED = 5


def doubt(schema: Schema, profile: Seen, table: Table) -> str:
    """Why such an export would not be loaded; empty if nothing speaks against it."""
    found = list(dict.fromkeys(map(format_path, _unknown(schema.root, profile, table, ()))))
    if not found:
        return ""
    more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
    return (
        f"the frozen contract of {table.table} does not know what the newest profile has at {', '.join(found[:NAMED])}{more}: "
        "add it to the contract (`contract: evolve` for the path)"
    )


def _unknown(node: Node | None, seen: Seen, table: Table, path: tuple[Step, ...]) -> Iterator[tuple[Step, ...]]:
    """The paths of values that have no place, as far as the contract freezes them."""
    policy = table.policy(path)
    shown = {descriptor for descriptor, count in seen.counts.items() if count and policy.of(descriptor) is policy}
    if policy.exclude or policy.mask or not shown - {"NULL"}:
        return
    places = [one for one in (node, node and node.former) if one]
    anything = any(one.kind == "json" for one in places)
    known = {"NULL", *(descriptor for one in places for descriptor in one.accepts)}
    if policy.contract == "freeze" and not anything and shown - known:
        yield path
        return
    if node is None or node.kind == "json":
        return
    for name, below in seen.fields.items():
        yield from _unknown(node.fields.get(name), below, table, (*path, name))
    if seen.element and node.kind == "list":
        yield from _unknown(node.element, seen.element, table, (*path, None))
