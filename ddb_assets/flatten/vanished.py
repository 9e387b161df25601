"""Attributes that have a column and that no item has any more: a rename leaves the old column, with NULL in every new row."""

from typing import TYPE_CHECKING

from ddb_assets.dynamodb.attribute_value import Step, format_path
from ddb_assets.flatten.profile import Seen

if TYPE_CHECKING:
    from ddb_assets.flatten.flatten import Flattened


def vanished(flattened: "Flattened") -> list[str]:
    """The paths of these attributes, sorted. Of an attribute and what is below it, only the attribute.

    Always empty for a window, which has only the items that changed.
    """
    if flattened.report.export_type != "FULL_EXPORT":
        return []
    columns = (path for path, _, node in flattened.schema.columns() if not node.is_empty)
    missing = {_missing(flattened.profile, path) for path in columns}
    return sorted(format_path(path) for path in missing if path)


def _missing(seen: Seen, path: tuple[Step, ...]) -> tuple[Step, ...]:
    """The shortest part of the path that no map has, though there are maps that could have it; () if there is none."""
    for place, step in enumerate(path):
        if step is None:
            if seen.element is None:
                return ()
            seen = seen.element
        else:
            below = seen.fields.get(step, Seen())
            if not below.total:
                hidden = seen.rest is not None or not seen.counts["M"]
                return () if hidden else path[: place + 1]
            seen = below
    return ()
