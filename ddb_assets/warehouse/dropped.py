"""Tables and columns that earlier loads filled and that somebody dropped since.

A load makes what is missing, so a dropped column would come back with NULL in every row that the load does not touch, and
a dropped table without those rows. The ledger keeps the columns of each load, and this compares them with the catalog.
"""
# ruff: noqa: S608  -- names come from quoted(), values are bound

import json
from datetime import UTC, datetime
from typing import cast

from ddb_assets.column_type import MAX_VARCHAR
from ddb_assets.parquet.identity import RESTART
from ddb_assets.parquet.report import Report
from ddb_assets.warehouse.protocol import LoadError, Warehouse
from ddb_assets.warehouse.sql import Statement, Table, tombstones

LISTED = 5


def said_columns(report: Report) -> str | None:
    """What the ledger keeps of a load: the columns of each relation.

    None when that is too long for the ledger's column: then nobody misses what was dropped.
    """
    said = {r.name: [c.name for c in r.columns if c.role != "deleted"] for r in report.relations}
    text = json.dumps(said, ensure_ascii=False, separators=(",", ":"))
    return text if len(text.encode()) <= MAX_VARCHAR else None


def refuse_dropped(warehouse: Warehouse, ledger: Table, report: Report) -> None:
    """Raises LoadError when a table or column of the report is gone, unless the report brings all of its values again.

    That is a full export which is newer than all that is loaded and of which every item could be read: it replaces every
    row, but for those of deleted items that soft delete keeps. It needs the rows' keys and versions to do so.
    """
    gone, useless = _gone(warehouse, ledger, report)
    if not gone or (not useless and _replaces_all(warehouse, ledger, report)):
        return
    what = ", ".join(gone[:LISTED]) + (f" and {len(gone) - LISTED} more" if len(gone) > LISTED else "")
    press = f"materialize snapshots/{report.name}, baseline/{report.name} and warehouse_baseline/{report.name}"
    if useless:
        todo = (
            f"rows cannot be matched without it. Put it back from a backup, or drop {', '.join(useless)} and start the table "
            f"over with a full export: {RESTART}"
        )
    else:
        todo = (
            "making it anew would leave it empty for every row that this export does not bring. Load a full export that "
            f"is newer than all that is loaded and has no item that cannot be read ({press}), or put it back from a backup"
        )
    raise LoadError(f"earlier loads filled {what}, and somebody dropped it: {todo}")


def _gone(warehouse: Warehouse, ledger: Table, report: Report) -> tuple[list[str], list[str]]:
    """What is gone, as text, and the tables whose rows can no longer be matched without it."""
    known = _known_columns(warehouse, ledger, report.root.name)
    gone: list[str] = []
    useless: list[str] = []
    for relation in report.relations:
        table, columns = Table(ledger.schema, relation.name), known.get(relation.name, frozenset())
        there = warehouse.catalog(table)
        if columns and not there:
            gone.append(f"table {table}")
            continue
        lost = [c for c in relation.columns if c.name in columns and c.name not in there]
        gone += [f"column {c.name!r} of {table}" for c in lost]
        useless += [str(table)] if any(c.role in {"key", "version"} for c in lost) else []
    deletes = tombstones(Table(ledger.schema, report.root.name))
    if known and not warehouse.catalog(deletes):
        gone.append(f"table {deletes}")
    return gone, useless


def _known_columns(warehouse: Warehouse, ledger: Table, relation: str) -> dict[str, frozenset[str]]:
    """The columns that any load gave each relation; loads of former times do not say."""
    said = warehouse.fetch(Statement(f"SELECT DISTINCT relation_columns FROM {ledger} WHERE relation = ?", (relation,)))
    found: dict[str, frozenset[str]] = {}
    for (text,) in said:
        for name, columns in json.loads(str(text)).items() if text is not None else ():
            found[name] = found.get(name, frozenset()) | frozenset(columns)
    return found


def _replaces_all(warehouse: Warehouse, ledger: Table, report: Report) -> bool:
    if report.export_type != "FULL_EXPORT" or report.export_time is None or report.missed:
        return False
    newest = warehouse.fetch(
        Statement(f"SELECT MAX(COALESCE(to_time, export_time)) FROM {ledger} WHERE relation = ?", (report.root.name,))
    )[0][0]
    return newest is None or report.export_time >= cast("datetime", newest).replace(tzinfo=UTC)
