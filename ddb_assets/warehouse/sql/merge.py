"""Applies an export's staged rows to the tables: the newest write of every key wins, and a deleted item is gone.

Tables that keep the rows of deleted items are merged by `soft_delete.py`. Both leave the rows that are new in staging, and
write the rows of the root; `load.py` then inserts the rows of child tables and counts.

DELETE and INSERT, not MERGE, on purpose. Staged rows are whole items, so a row is replaced as a whole, and the guide itself
calls deleting and inserting the fastest way to do that (Redshift, "Updating and inserting new data"). MERGE would save no
statement, as staged deletes need a DELETE in any case, and add one: its source is a table, not a query (Redshift, MERGE), so
the puts among the staged rows would need a table of their own. Its UPDATE, which Redshift also does as a delete and an
insert, keeps columns that it does not name, so columns that an older export does not have would keep values of another
version of the item. And its condition compares columns, where a widened key needs a CAST.
Measured on DuckDB, 1,000 staged rows into 1,000,000: 33 ms of CPU, and 135 ms with MERGE, for the same rows.
"""

from dataclasses import dataclass
from typing import cast

from ddb_assets.contract.report import Report
from ddb_assets.warehouse.bookkeeping import DELETED_AT
from ddb_assets.warehouse.errors import LoadError
from ddb_assets.warehouse.history import History
from ddb_assets.warehouse.sql import statements
from ddb_assets.warehouse.sql.engine import SqlEngine, number
from ddb_assets.warehouse.sql.tables import Tables
from ddb_assets.warehouse.sql.unread import delete_replaced, drop_older_than_initial_loads, remember
from ddb_assets.warehouse.times import start


def merge(engine: SqlEngine, tables: Tables, report: Report, known: History) -> None:
    """Removes stale rows from staging, deletes the rows that the others replace, and inserts them into the root."""
    if DELETED_AT in tables.root.types:  # the contract had soft_delete before
        engine.execute(statements.delete_kept(tables.root.table))
    _drop_stale(engine, tables, report, known)
    root = tables.root
    # guard: children go with their item
    all_tables = ((root.table, root.types), *tables.below, (tables.tombstones, tables.tombstone_types))
    if report.is_full:
        for table, types in all_tables:
            delete_replaced(engine, tables, report, table, types)
        if tables.unread and not report.missed:  # the export has read every item
            engine.execute(statements.delete_until(tables.unread.table, tables.version, start(report)))
    else:
        for table, types in all_tables:
            engine.execute(statements.delete_staged(root, table, types))
        # guard: tombstones are written
        engine.execute(statements.insert_tombstones(root, tables.tombstones, tables.tombstone_types))
    remember(engine, tables, report)
    engine.execute(statements.insert_root(root))


@dataclass(frozen=True)
class Merged:
    """How many items were written and deleted, and how many rows each relation got."""

    upserted: int
    deleted: int
    rows: dict[str, int]


def insert_rest(engine: SqlEngine, tables: Tables) -> Merged:
    """Inserts the rows of child tables and counts; staging holds what is new, the root has its rows."""
    root = tables.root
    staged, deleted = cast(
        "tuple[int, int]", engine.fetch(statements.count_staged(root.stage, statements.is_deleted(root)))[0]
    )
    upserted = staged - deleted
    rows = {root.relation.name: upserted}
    for child in tables.children:
        rows[child.relation.name] = child.relation.rows - number(engine, statements.count_orphans(child, root))
        engine.execute(statements.insert_children(child, root))
    loaded = number(engine, statements.count_loaded(root))
    # guard: rows there = rows sent
    if loaded != upserted:
        raise LoadError(
            f"{upserted} rows went to {root.table}, {loaded} are there: its keys are not unique; load a full export"
        )
    return Merged(upserted, deleted, rows)


def _drop_stale(engine: SqlEngine, tables: Tables, report: Report, known: History) -> None:
    """Leaves only the staged items that are new."""
    root = tables.root
    # guard: T0
    drop_older_than_initial_loads(engine, tables, report, known)
    # guard: version
    engine.execute(statements.drop_stale(root, root.table, root.types))
    # guard: tombstones hold
    engine.execute(statements.drop_stale(root, tables.tombstones, tables.tombstone_types))
    if tables.cold:
        # guard: version of cold items
        engine.execute(statements.drop_stale(root, tables.cold.table, tables.cold.types))
