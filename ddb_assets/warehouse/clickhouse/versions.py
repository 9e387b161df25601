"""The tables of a history. `sql/versions.py` says what their rows mean.

`_ddb_versions__<relation>` is a ReplacingMergeTree in which every row of every load has a place of its own: an insert that is
repeated changes nothing. `_ddb_history__<root>` lists the exports with their loads. Both get their rows as all tables do, as
parts that were staged (`version_staging.py`) and are handed over; `history_queries.py` says from when on they count.
"""
# ruff: noqa: S608  -- names come from quoted(), values from literal()

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from ddb_assets.contract.column_type import SqlType
from ddb_assets.contract.report import Relation, Report
from ddb_assets.flatten.schema import HASH, HASH_TYPE, OLD_HASH
from ddb_assets.warehouse.bookkeeping import BEGUN, ENDED, KIND, history_name
from ddb_assets.warehouse.clickhouse import catalog
from ddb_assets.warehouse.clickhouse.catalog import RowsTable
from ddb_assets.warehouse.clickhouse.fence import Fence
from ddb_assets.warehouse.clickhouse.hiding import hidden_columns
from ddb_assets.warehouse.clickhouse.history_state import Exports
from ddb_assets.warehouse.clickhouse.server import Server
from ddb_assets.warehouse.clickhouse.sql import (
    EXPORTS,
    LOAD,
    MAX_NAME,
    VERSIONS,
    literal,
    names,
    quoted,
    table,
)
from ddb_assets.warehouse.clickhouse.tables import Target, column, evolved
from ddb_assets.warehouse.errors import LoadError
from ddb_assets.warehouse.protocol import LoadOptions
from ddb_assets.warehouse.sql.tail import MARKS

_OF_EXPORT = {BEGUN: SqlType("BIGINT"), ENDED: SqlType("BIGINT")}
_OF_ITEM = {KIND: SqlType("VARCHAR", 8), HASH: SqlType.parse(HASH_TYPE), OLD_HASH: SqlType.parse(HASH_TYPE)}
_NEEDED = frozenset({BEGUN, ENDED, KIND})
LISTED = {
    "load": "UInt64",
    "load_id": "String",
    "sequence": "Int64",
    "from_us": "Int64",
    "to_us": "Int64",
    "export_id": "String",
    "digest": "String",
    "table_id": "String",
    "blind": "Bool",
    "old_images": "Bool",
    "rows": "Int64",
    "is_export": "Bool",
    "restarts": "Bool",
    "alone": "Bool",
    "forgotten_us": "Int64",
}
"""The columns of the table of exports. Both times of a full export are its own; `blind`: not all of its keys could be read.

A load that is `alone` changes no row of the root, so it counts as soon as it is listed. A row that is no export says from when
on rows count (`restarts`: those of this load and of later ones), or what is forgotten.
"""


@dataclass(frozen=True)
class Versions:
    """The tables of versions that get rows, the root's first, and all that there are, by relation.

    An export without items does not know the keys: then none gets rows.
    """

    targets: tuple[Target, ...]
    there: Mapping[str, RowsTable]


def check(report: Report) -> None:
    """Raises LoadError for an export that cannot be in a history, before anything is created."""
    for relation in report.relations:
        if len((name := history_name(relation.name)).encode()) > MAX_NAME:
            raise LoadError(
                f"{report.table} cannot have a history: it would have {name!r}, and names have at most {MAX_NAME} bytes: "
                "give the table a shorter `name` in its contract"
            )
    if not any(column.role == "hash" for column in report.root.columns):
        raise LoadError(
            f"export {report.export_id} was flattened before {report.table} had a `history`, so its rows have no hashes: "
            "flatten it again"
        )


def prepare(
    server: Server,
    fence: Fence,
    report: Report,
    targets: Sequence[Target],
    relations: Collection[str],
    exports: Exports | None,
    how: LoadOptions,
) -> Versions:
    """Creates and widens the tables, if the contract has a history; otherwise only says what there is.

    `relations` are all that the table has ever had, `exports` those that its history has. Raises LoadError for versions that
    somebody dropped, and for a table that is somebody else's.
    """
    if exports is None and how.history is None:
        return Versions((), {})
    there = catalog.tables(server, relations, VERSIONS)
    if how.history is None:
        return Versions((), there)
    if exports:
        _check_there(server, report.root.name, there)
    columns = ", ".join(f"{name} {kind}" for name, kind in LISTED.items())
    server.execute(
        f"CREATE TABLE IF NOT EXISTS {table(EXPORTS, report.root.name)} ({columns}) ENGINE = ReplacingMergeTree "
        f"ORDER BY (from_us, to_us, load, is_export) COMMENT {literal(report.table_arn)}"
    )
    if not report.root.keys:
        return Versions((), there)
    kept = {one.relation.name: _provided(server, fence, report, one, there.get(one.relation.name)) for one in targets}
    return Versions(tuple(replace(one, types=kept[one.relation.name].types) for one in targets), {**there, **kept})


def _provided(server: Server, fence: Fence, report: Report, target: Target, have: RowsTable | None) -> RowsTable:
    relation, place = target.relation, VERSIONS + target.relation.name
    own = {name: kind for name, kind in target.types.items() if name not in MARKS}
    wanted = own | _OF_EXPORT | ({} if relation.path else _OF_ITEM)
    order, comment = _sorted_by(relation), f"{report.table_arn} {report.root.name}"
    if have is None:
        needed = {c.name for c in relation.columns if c.role in {"key", "index", "version"}} | _NEEDED
        columns = [column(name, kind, nullable=name not in needed) for name, kind in wanted.items()]
        server.execute(
            f"CREATE TABLE {table(VERSIONS, relation.name)} ({', '.join(columns)}, {quoted(LOAD)} UInt64) "
            f"ENGINE = ReplacingMergeTree ORDER BY ({names(order)}) COMMENT {literal(comment)}"
        )
        return RowsTable(wanted, frozenset(order))
    # guard: ClickHouse: versions of somebody else
    if BEGUN not in have.types or have.sorted_by != set(order):
        raise LoadError(
            f"{place} must have the versions of {relation.name}, sorted by {', '.join(order)}, and what is there has other "
            "columns or is sorted otherwise: if its rows are not needed, drop the table with `ddb-assets forget`, then load a "
            "full export; if no load has made it, rename it"
        )
    hidden = hidden_columns(report, relation.name)
    return evolved(server, fence, VERSIONS, relation, have, wanted, comment, hidden=hidden)


def _sorted_by(relation: Relation) -> tuple[str, ...]:
    own = [c.name for c in relation.columns if c.role == "index"]
    return (*(c.name for c in relation.keys), relation.column("version").name, BEGUN, ENDED, LOAD, *own)


def _check_there(server: Server, root: str, there: Mapping[str, RowsTable]) -> None:
    # guard: ClickHouse: versions that somebody dropped
    if root not in there and server.value(f"SELECT count() FROM {table(EXPORTS, root)} WHERE is_export AND rows > 0"):
        raise LoadError(
            f"{EXPORTS}{root} lists exports whose versions were in {VERSIONS}{root}, which has been dropped since: restore it "
            f"from a backup, or drop {EXPORTS}{root} too; then the history begins again, with a full export and the windows "
            "that are loaded again"
        )
