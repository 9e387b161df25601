"""Tables and columns that earlier loads filled and that have been dropped since.

A load creates what is missing, so a dropped column would come back with NULL in every row that the load does not touch, and
a dropped table without those rows. The ledger has the columns of each load; they are compared with the catalog.
"""
# ruff: noqa: S608  -- names come from quoted(), values are bound

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import cast

from ddb_assets.contract.report import Report
from ddb_assets.contract.stages import Chain, StreamChain
from ddb_assets.warehouse.errors import LoadError
from ddb_assets.warehouse.history import History
from ddb_assets.warehouse.sql.engine import NOTHING, Layout, SqlEngine
from ddb_assets.warehouse.sql.ledger import ledger
from ddb_assets.warehouse.sql.statements import Statement, TableName, tombstones

LISTED = 5


def check_present(
    engine: SqlEngine,
    schema: str,
    report: Report,
    known: History,
    there: Mapping[str, Layout],
    chain: Chain,
) -> bool:
    """Raises LoadError when the table, or what `refuse_dropped` looks for, is gone; returns what that returns."""
    root = TableName(schema, report.root.name)
    # guard: the table is gone
    if known.sequence and root.name not in there:
        raise LoadError(
            f"{root} is gone, but its ledger says that it was loaded {known.sequence} times: restore it from a backup, or "
            f"start the table over {chain.restart}"
        )
    # guard: what somebody dropped
    return refuse_dropped(engine, ledger(schema, root.name), report, known, there, chain)


def refuse_dropped(
    engine: SqlEngine,
    loads: TableName,
    report: Report,
    known: History,
    there: Mapping[str, Layout],
    chain: Chain,
) -> bool:
    """Raises LoadError when a table or column of the report is gone, unless the report brings all of its values again.

    Returns whether something is gone, so that the export is loaded again even if it is applied already.
    Only a full export does so that is newer than all loads and could read every item. It replaces every row, except those of
    deleted items that soft delete keeps, and needs the rows' keys and versions for it.
    """
    gone, useless = _gone(loads.schema, report, known, there)
    if not gone:
        return False
    if not useless and _replaces_all(engine, loads, report):
        return True
    what = ", ".join(gone[:LISTED]) + (f" and {len(gone) - LISTED} more" if len(gone) > LISTED else "")
    if useless:
        todo = (
            f"rows cannot be matched without it. Restore it from a backup, or drop {', '.join(useless)} and start the table "
            f"over {chain.restart}"
        )
    elif isinstance(chain, StreamChain):
        todo = f"restore it from a backup, or start the table over {chain.restart}"
    else:
        todo = (
            "creating it again would leave it empty for every row that this export does not bring. Load a full export that "
            f"is newer than all that is loaded and has no item that cannot be read (materialize {chain}), or restore it from "
            "a backup"
        )
    raise LoadError(f"earlier loads filled {what}, which has been dropped since: {todo}")


def _gone(
    schema: str | None, report: Report, known: History, there: Mapping[str, Layout]
) -> tuple[list[str], list[str]]:
    """What is missing, as text, and the tables whose rows can no longer be matched without it."""
    gone: list[str] = []
    useless: list[str] = []
    for relation in report.relations:
        table, columns = TableName(schema, relation.name), known.columns.get(relation.name, frozenset())
        if columns and table.name not in there:
            gone.append(f"table {table}")
            continue
        have = there.get(table.name, NOTHING).types
        lost = [c for c in relation.columns if c.name in columns and c.name not in have]
        gone += [f"column {c.name!r} of {table}" for c in lost]
        # guard: keys and versions are not created again
        useless += [str(table)] if any(c.role in {"key", "version"} for c in lost) else []
    deletes = tombstones(TableName(schema, report.root.name))
    if known.columns and deletes.name not in there:
        gone.append(f"table {deletes}")
    return gone, useless


def _replaces_all(engine: SqlEngine, loads: TableName, report: Report) -> bool:
    # guard: and a complete one
    if not report.is_full or report.export_time is None or report.missed:
        return False
    newest = engine.fetch(
        Statement(f"SELECT MAX(COALESCE(to_time, export_time)) FROM {loads} WHERE relation = ?", (report.root.name,))
    )[0][0]
    # guard: only a newer full export brings it back
    return newest is None or report.export_time >= cast("datetime", newest).replace(tzinfo=UTC)
