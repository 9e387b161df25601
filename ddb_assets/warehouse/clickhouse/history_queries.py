"""The queries of a history: `sql/timeline.py` finds versions, from what the tables in ClickHouse say of exports and rows.

An export counts from the moment at which the table itself shows its load: when the ledger says that the load is done, or,
for one that was decided and is not done, when the root has rows of it. So the table and its history change in one step. A
load that changes no row of the root counts as soon as it is listed.
"""
# ruff: noqa: S608  -- names come from quoted(), values from literal()

from collections.abc import Sequence

from ddb_assets.flatten.schema import HASH, OLD_HASH, VERSION
from ddb_assets.warehouse.bookkeeping import BEGUN, ENDED, KIND
from ddb_assets.warehouse.clickhouse.sql import EXPORTS, LEDGER, LOAD, ROWS, VERSIONS, names, quoted, table
from ddb_assets.warehouse.sql import timeline
from ddb_assets.warehouse.sql.statements import TableName
from ddb_assets.warehouse.sql.timeline import Queries

_FACTS, _EXPORTS = TableName(None, "facts"), TableName(None, "exports")


def aliases(keys: Sequence[str]) -> list[str]:
    """What the key columns are called within the queries, whatever is in their names."""
    return [f"_ddb_key_{place}" for place, _ in enumerate(keys)]


def exports(root: str, finishing: int | None = None) -> Queries:
    """`seen`: the rows of the table of exports that count; `exports`: the newest load of each export.

    With the number of a load that is being finished, its rows count whether the root shows it or not.
    """
    place = table(EXPORTS, root)
    done = f"SELECT coalesce(load_id, '') AS load_id FROM {table(LEDGER, root)} WHERE state = 'done'"
    pending = f"SELECT load FROM {place} WHERE load_id NOT IN (SELECT load_id FROM done)"
    shown = (
        f"SELECT {quoted(LOAD)} FROM {table(ROWS, root)} WHERE (SELECT count() FROM pending) > 0 "
        f"AND {quoted(LOAD)} IN (SELECT load FROM pending)"
    )
    also = "" if finishing is None else f" OR load = {finishing}"
    # guard: ClickHouse: a history and its table change in one step
    visible = f"SELECT * FROM {place} WHERE load_id IN (SELECT load_id FROM done) OR load IN ({shown}) OR alone{also}"
    begun = "SELECT *, max(if(restarts, sequence, 0)) OVER () AS begun FROM visible"
    # guard: ClickHouse: a history starts over with its table
    seen = "SELECT * FROM since WHERE sequence >= begun"
    # guard: ClickHouse: an export replaces its own versions
    newest = "SELECT * FROM seen WHERE is_export ORDER BY sequence DESC LIMIT 1 BY from_us, to_us"
    return {"done": done, "pending": pending, "visible": visible, "since": begun, "seen": seen, "exports": newest}


def facts(root: str, keys: Sequence[str], version: str, finishing: int | None = None, among: str = "") -> Queries:
    """`facts`: what these exports say of items. `among` is a condition on the rows of the root's versions."""
    own = ", ".join(f"{quoted(key)} AS {alias}" for key, alias in zip(keys, aliases(keys), strict=True))
    columns = (
        f"{own}, toNullable({quoted(version)}) AS {VERSION}, toNullable({KIND}) AS {KIND}, {names((HASH, OLD_HASH))}, "
        f"{names((BEGUN, ENDED))}"
    )
    rows = f"SELECT {columns} FROM {table(VERSIONS, root)} FINAL WHERE {of_exports()}"
    return {**exports(root, finishing), "facts": rows + (f" AND {among}" if among else "")}


def of_exports(alias: str = "") -> str:
    """The condition that a row of a table of versions is of one of the exports."""
    return f"{names([LOAD], alias)} IN (SELECT load FROM exports)"


def counted(root: str, finishing: int | None = None) -> Queries:
    """`counted`: see `timeline.sources`."""
    return {**exports(root, finishing), **timeline.sources(_EXPORTS)}


def evidence(root: str, keys: Sequence[str], version: str, among: str = "") -> Queries:
    """`evidence`: see `timeline.evidence`."""
    return {**facts(root, keys, version, among=among), **timeline.evidence(_FACTS, _EXPORTS, aliases(keys))}


def periods(root: str, keys: Sequence[str], version: str, finishing: int | None = None) -> Queries:
    """`periods`: see `timeline.intervals`."""
    return {**facts(root, keys, version, finishing), **timeline.intervals(_FACTS, _EXPORTS, aliases(keys))}


def forgotten() -> str:
    """The time before which the history has forgotten what ended, in microseconds since 1970; after `exports`."""
    return "SELECT max(forgotten_us) FROM seen"
