"""What a load does before its transaction: what it asks and refuses, and the DDL, of which every step commits.

`load.py` does the rest. `rehearsal.py` does the same with an engine that only notes the statements.
"""

from dataclasses import dataclass

from ddb_assets.contract.report import Report
from ddb_assets.warehouse.guards import check_report, check_restart, refuse
from ddb_assets.warehouse.history import History
from ddb_assets.warehouse.protocol import LoadOptions
from ddb_assets.warehouse.sql import cold, ledgers, statements, tables, versions
from ddb_assets.warehouse.sql.dropped import check_present
from ddb_assets.warehouse.sql.engine import SqlEngine
from ddb_assets.warehouse.sql.hiding import prepare_hiding
from ddb_assets.warehouse.sql.history_views import show_history
from ddb_assets.warehouse.sql.ownership import check_owned
from ddb_assets.warehouse.sql.read_history import read_history
from ddb_assets.warehouse.sql.statements import TableName
from ddb_assets.warehouse.sql.tables import Tables
from ddb_assets.warehouse.sql.tail import existing
from ddb_assets.warehouse.sql.versions import Versions
from ddb_assets.warehouse.sql.views import free, show


@dataclass(frozen=True)
class Ready:
    """The tables that are ready for the rows of an export, and what the ledger knew.

    `tail` and `kept` are those of a stream and of a history, if there are any. `again`: the export is loaded although it is
    applied already. `streamed`: the table has a tail that loads fill; `read_by_warehouse`: one that the warehouse reads.
    """

    known: History
    tables: Tables
    tail: Tables | None
    kept: Versions | None
    again: bool
    streamed: bool
    read_by_warehouse: bool


def prepare(engine: SqlEngine, report: Report, schema: str, how: LoadOptions) -> Ready | History:
    """Creates what is missing, and changes types and views. What is known of the table, if the export is applied already.

    Raises LoadError for an export that cannot be loaded.
    """
    chain = how.chain_of(report.name)
    # guard: a table starts over with all its items
    if how.restart:
        check_restart(report, chain)
    check_report(report)
    ledgers.provide(engine, schema, report.root.name)
    with engine.reading():
        known = known_of(engine, schema, report, how)
        there = tables.look(engine, schema, report, known)
        lacking = not how.restart and check_present(engine, schema, report, known, there, chain)
        # guard: an export that the history lacks
        again = how.force or lacking or versions.lacks(engine, schema, report, there, how)
        if is_applied(report, known, again=again):
            return known
        check_owned(engine, schema, report, known, there)
    root = TableName(schema, report.root.name)
    read_by_warehouse = statements.settled(root).name in there
    streamed = not read_by_warehouse and not there.keys().isdisjoint(
        {statements.streams(root).name, statements.tail(root).name}
    )
    tailed = streamed or read_by_warehouse
    cold.check_alone(root, there, streamed=tailed, soft_delete=how.soft_delete)
    tier = cold.read(engine, root, there)
    if tier and not how.restart:
        cold.check_types(engine, tier, report, chain)
    history, whole = how.history is not None, tier is not None
    views = free(engine, schema, report.relations, how.tables, tail=tailed, history=history, cold=whole)
    made = tables.prepare(
        engine,
        schema,
        report,
        known,
        there,
        soft_delete=how.soft_delete,
        unreadable=tables.remembers_unread(report, known),
        options=how.tables,
    )
    prepare_hiding(engine, root, report, there)
    tail = existing(engine, made, report, there, how.tables) if streamed else None
    if not read_by_warehouse:  # else the views are made when the stream is read
        show(engine, views, made, tail, how.tables, tier)
    kept = versions.prepare(engine, made, report, there, how)
    show_history(engine, views, kept, made, how.tables)
    return Ready(known, made, tail, kept, again, streamed, read_by_warehouse)


def known_of(
    engine: SqlEngine, schema: str, report: Report, how: LoadOptions, before: History | None = None
) -> History:
    """What the ledger knows; `before`, if that is still so. Raises LoadError for an export that does not fit the tables."""
    known = read_history(engine, schema, report, before)
    if known is before:
        return known
    if how.restart:
        known = known.started_over()
    refuse(report, known, how.chain_of(report.name))
    return known


def is_applied(report: Report, known: History, *, again: bool) -> bool:
    """Whether there is nothing to do for the export."""
    # guard: digest
    # guard: an export is applied once
    return known.applied is not None and known.digest == report.digest and not again
