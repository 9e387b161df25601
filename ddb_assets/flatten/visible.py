"""Removes what a contract hides from what was seen. Schemas and profiles get only the rest.

Below an excluded path, and in a value that is hidden as a whole, names are data too: the names of a map may be addresses.
"""

from collections import Counter
from dataclasses import replace

from ddb_assets.contract.table import Table
from ddb_assets.dynamodb.attribute_value import Descriptor, Step
from ddb_assets.flatten.profile import Seen

_ARRAYS: tuple[Descriptor, ...] = ("L", "SS", "NS", "BS")


def visible(seen: Seen, table: Table, path: tuple[Step, ...] = ()) -> Seen:
    """What was seen at a path and below it, without what the contract hides."""
    if not table.hides:
        return seen
    policy = table.policy(path)
    counts = Counter({d: count for d, count in seen.counts.items() if policy.of(d) is policy})
    shown = replace(seen, counts=counts, fields={}, element=None, rest=None, names=0)
    if policy.exclude or policy.mask:
        shown = replace(shown, forms=Counter(), max_bytes=0, integer_digits=0, scale=0, fits_bigint=True)
    if policy.exclude:
        return shown
    if counts["M"]:
        shown.fields = {name: visible(below, table, (*path, name)) for name, below in seen.fields.items()}
        shown.rest, shown.names = seen.rest, seen.names
    if seen.element and any(counts[d] for d in _ARRAYS):
        shown.element = visible(seen.element, table, (*path, None))
    return shown
