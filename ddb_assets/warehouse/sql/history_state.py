"""What a load has added to a history, and whether the windows around it follow each other without a break.

An export with old images shows each changed item as it was just before the window. That must be the version which the
history has of that time: else a window is missing, a write was skipped, or a value was read wrongly. Windows can only be
compared where the history knows the state of every item, which `timeline.sources` calls proven. A load looks at its own
window and the next one, which may have been loaded before.
"""
# ruff: noqa: S608  -- names come from quoted(), values are bound

from collections.abc import Sequence
from typing import cast

from ddb_assets.contract.report import Report
from ddb_assets.flatten.schema import VERSION
from ddb_assets.warehouse.bookkeeping import BEGUN, ENDED
from ddb_assets.warehouse.results import HistoryResult
from ddb_assets.warehouse.sql import timeline
from ddb_assets.warehouse.sql.engine import SqlEngine, number
from ddb_assets.warehouse.sql.statements import Statement, TableName, count, quoted
from ddb_assets.warehouse.sql.tables import Tables
from ddb_assets.warehouse.sql.versions import Versions, forgotten
from ddb_assets.warehouse.times import end, start

EXAMPLES = 5
Span = tuple[int, int]


def seen(engine: SqlEngine, versions: Versions | None, tables: Tables, report: Report) -> HistoryResult | None:
    """Within the load's transaction: what there is after the export was added; None without a history."""
    if versions is None:
        return None
    span = (start(report), end(report))
    old = span[1] <= forgotten(engine, versions.sources)
    known = {} if old else _sources(engine, versions.sources, span)
    broken = _broken(engine, versions, tables, list(known)) if known and tables.root.relation.keys else []
    masked = report.identity is not None and any(report.identity.key_masks)
    return HistoryResult(
        rows=number(engine, count(versions.root.table)),
        added=0 if old else report.root.rows,
        used=span in known,
        proven=known.get(span, False),
        resolution=None if report.is_full else (span[1] - span[0]) // 1_000_000,
        broken=len(broken) if len(broken) < EXAMPLES else _count(engine, versions, tables, list(known)),
        broken_keys=() if masked else tuple(broken),
    )


def _sources(engine: SqlEngine, table: TableName, span: Span) -> dict[Span, bool]:
    """This export and the window that begins at its end, as far as they count; whether each is proven."""
    found = engine.fetch(
        Statement(
            f"{timeline.with_(timeline.sources(table))} SELECT from_us, to_us, proven AND old_images FROM counted "
            "WHERE (from_us = ? AND to_us = ?) OR (from_us = ? AND to_us > from_us)",
            (*span, span[1]),
        )
    )
    return {(cast("int", begin), cast("int", until)): bool(proven) for begin, until, proven in found}


def _broken(engine: SqlEngine, versions: Versions, tables: Tables, spans: Sequence[Span]) -> list[str]:
    """The keys, as text, of the first items that were not as the history had them."""
    keys = [key.name for key in tables.root.relation.keys]
    names = ", ".join(map(quoted, keys))
    found = _query(versions, keys, spans, f"SELECT {names}", f" ORDER BY {names}, {quoted(VERSION)} LIMIT {EXAMPLES}")
    return [", ".join(map(str, row)) for row in engine.fetch(found)]


def _count(engine: SqlEngine, versions: Versions, tables: Tables, spans: Sequence[Span]) -> int:
    keys = [key.name for key in tables.root.relation.keys]
    return number(engine, _query(versions, keys, spans, "SELECT COUNT(*)", ""))


def _query(versions: Versions, keys: Sequence[str], spans: Sequence[Span], what: str, rest: str) -> Statement:
    """A query of the broken rows of these exports; only the keys that they name are looked at."""
    table = versions.root.table
    own = quoted("named")
    same = " AND ".join(f"{own}.{quoted(key)} = {table.column(key)}" for key in keys)
    of_spans = " OR ".join(f"({own}.{quoted(BEGUN)} = ? AND {own}.{quoted(ENDED)} = ?)" for _ in spans)
    among = f"EXISTS (SELECT 1 FROM {table} AS {own} WHERE {same} AND ({of_spans}))"
    here = " OR ".join(f"({quoted(BEGUN)} = ? AND {quoted(ENDED)} = ?)" for _ in spans)
    evidence = timeline.with_(timeline.evidence(table, versions.sources, keys, among))
    values = tuple(time for span in spans for time in span)
    return Statement(f"{evidence} {what} FROM evidence WHERE broken AND ({here}){rest}", (*values, *values))
