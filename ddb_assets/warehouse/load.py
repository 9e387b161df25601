"""One export into the warehouse: the order of the steps, the guards, and the counts that must add up.

Statements are `sql.py`, DDL is `evolution.py`, the record of loads is `ledger.py`; connections are the adapters'.

The tables hold, for every key, the newest thing known: each row and each tombstone carries its version, the time of
the write, and a newer version always wins. A full export of time T0 says of every key, present or absent, what held at
T0; a window says of each key it names what its last write was. Taking the newest of both gives the same tables whatever
the order and however often exports are loaded. A write in the very microsecond T0 is the window's that starts at T0.

    ledger ─► DDL (commits) ─► BEGIN ─► stage ─► check ─► drop stale ─► delete ─► insert ─► ledger row ─► COMMIT
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import cast

from ddb_assets.column_type import SqlType
from ddb_assets.parquet.report import Relation, Report
from ddb_assets.warehouse import evolution, sql
from ddb_assets.warehouse.guards import check_report, refuse, start
from ddb_assets.warehouse.ledger import TYPES, History, LoadResult, history, ledger, micros, record
from ddb_assets.warehouse.protocol import LoadError, Warehouse
from ddb_assets.warehouse.sql import Statement, Table, Target

TOMBSTONE_RETENTION = timedelta(days=35)  # as far back as point-in-time recovery, and so a window, can reach


@dataclass(frozen=True)
class _Tables:
    """What one load reads and writes.

    `former` are child tables that the export's contract no longer has, but an earlier load filled.
    """

    root: Target
    children: tuple[Target, ...]
    former: tuple[tuple[Table, Mapping[str, SqlType]], ...]
    tombstones: Table
    tombstone_types: Mapping[str, SqlType]

    @property
    def relations(self) -> tuple[Target, ...]:
        return (self.root, *self.children)

    @property
    def all(self) -> tuple[tuple[Table, Mapping[str, SqlType]], ...]:
        return (*((t.table, t.types) for t in self.relations), *self.former)


def load(
    warehouse: Warehouse,
    report: Report,
    *,
    schema: str | None = None,
    force: bool = False,
    tombstone_retention: timedelta = TOMBSTONE_RETENTION,
) -> LoadResult:
    """Brings an export's rows into the tables of `schema`, or does nothing when the ledger says they are there.

    A full export replaces what is older than it, an incremental one changes the rows it names. All in one transaction,
    after tables and columns that are missing were made. `force` loads an export again although the ledger has it.
    Tombstones older than `tombstone_retention` before the window's end are forgotten.

    Raises LoadError, with the warehouse as it was, for a window without a baseline, an export of another table, or
    numbers that do not add up.
    """
    started = time.monotonic()
    schema = schema or warehouse.default_schema
    check_report(report)
    warehouse.execute(sql.create_schema(schema))
    _evolve(warehouse, ledger(schema), TYPES)
    known = history(warehouse, schema, report)
    refuse(report, known)
    _check_present(warehouse, Table(schema, report.root.name), known)
    if _is_applied(report, known, force):
        return _unchanged(warehouse, schema, report, known)
    tables = _prepare(warehouse, schema, report, known)
    with warehouse.transaction():
        known = history(warehouse, schema, report)  # again: another load may have come first while DDL ran
        refuse(report, known)
        if _is_applied(report, known, force):
            return _unchanged(warehouse, schema, report, known)
        for target in tables.relations:
            _stage(warehouse, target)
        _check_items(warehouse, tables, report)
        _drop_stale(warehouse, tables, report, known)
        result = _apply(warehouse, tables, report, known)
        forgotten = _forget_deletes(warehouse, tables, report, tombstone_retention)
        result = replace(result, loaded_at=datetime.now(UTC), seconds=time.monotonic() - started)
        warehouse.execute(record(schema, report, result, forgotten))
        for target in tables.relations:
            warehouse.execute(sql.drop(target.stage))
    return result


def _check_present(warehouse: Warehouse, root: Table, known: History) -> None:
    if known.sequence and not warehouse.catalog(root):
        raise LoadError(
            f"{root} is gone, but the ledger says that it was loaded {known.sequence} times: delete the rows of relation "
            f"{root.name!r} from {ledger(root.schema or '')}, load a full export, then every window after it"
        )


def _is_applied(report: Report, known: History, force: bool) -> bool:
    return known.applied is not None and known.digest == report.digest and not force


def _unchanged(warehouse: Warehouse, schema: str, report: Report, known: History) -> LoadResult:
    rows = {r.name: _number(warehouse, sql.count(Table(schema, r.name))) for r in report.relations}
    return replace(cast("LoadResult", known.applied), table_rows=rows)


def _prepare(warehouse: Warehouse, schema: str, report: Report, known: History) -> _Tables:
    """Makes tables and columns that are missing; every statement commits."""

    def target(relation: Relation, number: int) -> Target:
        table = Table(schema, relation.name)
        types = _evolve(warehouse, table, evolution.wanted(relation))
        return Target(table, types, relation, Table(None, f"_ddb_stage_{warehouse.session}_{number}"))

    targets = [target(relation, number) for number, relation in enumerate(report.relations)]
    root = targets[0]
    keys = {c.name: SqlType.parse(c.type) for c in root.relation.keys}
    stones = sql.tombstones(root.table)
    version = root.relation.column("version")
    stone_types = _evolve(warehouse, stones, {**keys, version.name: SqlType.parse(version.type)})
    others = (Table(schema, name) for name in sorted(known.relations - {r.name for r in report.relations}))
    former = tuple((table, _evolve(warehouse, table, keys)) for table in others if warehouse.catalog(table))
    return _Tables(root, tuple(targets[1:]), former, stones, stone_types)


def _evolve(warehouse: Warehouse, table: Table, columns: Mapping[str, SqlType]) -> dict[str, SqlType]:
    for step in evolution.steps(table, columns, warehouse.catalog(table)):
        if step.atomic:
            with warehouse.transaction():
                for statement in step.statements:
                    warehouse.execute(statement)
        else:
            for statement in step.statements:
                warehouse.execute(statement)
    return warehouse.catalog(table)


def _stage(warehouse: Warehouse, target: Target) -> None:
    relation, stage = target.relation, target.stage
    warehouse.execute(sql.create_stage(relation, stage))
    warehouse.copy(relation, stage)
    staged = _number(warehouse, sql.count(stage))
    if staged != relation.rows:
        raise LoadError(
            f"{staged} rows of {relation.name!r} were staged, the report has {relation.rows}: flatten again"
        )
    needed = [c for c in relation.columns if c.role in {"key", "index", "version", "deleted"}]
    if nulls := _number(warehouse, sql.count_nulls(stage, needed)):
        raise LoadError(
            f"{nulls} rows of {relation.name!r} lack a value in {', '.join(c.name for c in needed)}: flatten again"
        )
    if twice := warehouse.fetch(sql.duplicate(stage, relation.identity)):
        key = ", ".join(f"{c.name}={v!r}" for c, v in zip(relation.identity, twice[0], strict=True))
        raise LoadError(
            f"{relation.name!r} has more than one row with {key}: an export has one per key; check its files"
        )


def _check_items(warehouse: Warehouse, tables: _Tables, report: Report) -> None:
    """Staged rows of all relations against each other and against the export's time."""
    root = tables.root
    if report.export_type == "FULL_EXPORT":
        version = root.relation.column("version")
        if other := _number(warehouse, sql.count_other_versions(root.stage, version, start(report))):
            raise LoadError(
                f"{other} rows of {root.relation.name!r} have another {version.name} than the export's time"
            )
    else:
        deletes = _number(warehouse, sql.count_deletes(root))
        if deletes != report.deletes:
            raise LoadError(f"{deletes} deletes of {root.relation.name!r} were staged, the report has {report.deletes}")
    for child in tables.children:
        if orphans := _number(warehouse, sql.count_orphans(child, root)):
            raise LoadError(
                f"{orphans} rows of {child.relation.name!r} have no item of {root.relation.name!r} at their version: "
                f"flatten the export again"
            )


def _drop_stale(warehouse: Warehouse, tables: _Tables, report: Report, known: History) -> None:
    """Leaves only those staged items that are news."""
    root, full = tables.root, report.export_type == "FULL_EXPORT"
    if known.baseline is not None:  # whatever is older, present or absent: the baseline says what held then
        warehouse.execute(sql.drop_stale_before(root, known.baseline))
    # a row of the very microsecond T0 is a window's and newer than the full export, unless a load of that wrote it
    first = full and not known.baseline_known
    warehouse.execute(sql.drop_stale(root, root.table, root.types, ties=first))
    warehouse.execute(sql.drop_stale(root, tables.tombstones, tables.tombstone_types, ties=full))


def _apply(warehouse: Warehouse, tables: _Tables, report: Report, known: History) -> LoadResult:
    """Deletes what is superseded, inserts what is staged, counts both."""
    root = tables.root
    version = root.relation.column("version").name
    deleted = 0
    if report.export_type == "FULL_EXPORT":
        time = start(report)
        for table, _ in tables.all:
            warehouse.execute(sql.delete_until(table, version, time if known.baseline_known else time - 1))
        warehouse.execute(sql.delete_until(tables.tombstones, version, time - 1))
    else:
        for table, types in (*tables.all, (tables.tombstones, tables.tombstone_types)):
            warehouse.execute(sql.delete_staged(root, table, types))
        warehouse.execute(sql.insert_tombstones(root, tables.tombstones, tables.tombstone_types))
        deleted = _number(warehouse, sql.count_deletes(root))
    upserted = _number(warehouse, sql.count(root.stage)) - deleted
    rows = {root.relation.name: upserted}
    warehouse.execute(sql.insert_root(root))
    for child in tables.children:
        rows[child.relation.name] = child.relation.rows - _number(warehouse, sql.count_orphans(child, root))
        warehouse.execute(sql.insert_children(child, root))
    loaded = _number(warehouse, sql.count_loaded(root))
    if loaded != upserted:
        raise LoadError(
            f"{upserted} rows went to {root.table}, {loaded} are there: its keys are not unique; load a full export"
        )
    return LoadResult(
        applied=True,
        sequence=known.sequence + 1,
        export_id=report.export_id,
        items=report.items_in_manifest,
        rows_in=root.relation.rows,
        upserted=upserted,
        deleted=deleted,
        stale=root.relation.rows - upserted - deleted,
        quarantined=report.quarantined,
        filtered=report.filtered,
        extra_values=report.extra_values,
        rows=rows,
        table_rows={t.relation.name: _number(warehouse, sql.count(t.table)) for t in tables.relations},
        loaded_at=datetime.now(UTC),
        seconds=0.0,
    )


def _forget_deletes(warehouse: Warehouse, tables: _Tables, report: Report, retention: timedelta) -> int | None:
    """Prunes tombstones; the time before which deletes are forgotten, or None when none was."""
    if report.export_type == "FULL_EXPORT":
        return None  # those older than it are gone already, and no longer needed
    horizon = micros(report.to_time, "to_time") - retention // timedelta(microseconds=1)
    version = tables.root.relation.column("version").name
    if not _number(warehouse, sql.count_until(tables.tombstones, version, horizon - 1)):
        return None
    warehouse.execute(sql.delete_until(tables.tombstones, version, horizon - 1))
    return horizon


def _number(warehouse: Warehouse, statement: Statement) -> int:
    return cast("int", warehouse.fetch(statement)[0][0])
