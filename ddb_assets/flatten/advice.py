"""Advice for the contract when values fit no column: one stray text can turn a column of numbers into a text column."""

from typing import TYPE_CHECKING

from ddb_assets.contract.column_type import numeric
from ddb_assets.dynamodb.attribute_value import format_path
from ddb_assets.flatten.profile import Seen

if TYPE_CHECKING:
    from ddb_assets.flatten.flatten import Flattened

MOST = 20


def advice(flattened: "Flattened") -> list[str]:
    """For every text column whose path also has numbers, which are in `_ddb_extra`: what happened, and the YAML to add.

    At most `MOST` entries.
    """
    seen = dict(flattened.profile.walk())
    found = []
    for path, _, node in flattened.schema.columns():
        name, here = format_path(path), seen.get(path, Seen())
        numbers = flattened.report.misfits.get("extra", {}).get(name, 0) if here.counts["N"] else 0
        if numbers and node.kind == "value" and (node.type or "").startswith("VARCHAR"):
            type_ = numeric(here.integer_digits, here.scale, fits_bigint=here.fits_bigint)
            found.append(
                f"{name}: {numbers:,} values are in _ddb_extra, not in the column {node.name} {node.type}, and some of them "
                f"are numbers. If the column should hold numbers, add this under `columns`:  {name}: {{type: {type_}}}"
            )
    return found[:MOST]
