"""Puts an export's rows into staging tables, and counts and checks them before anything is decided.

A staging table has the columns and the order of the table that its rows go to, as ClickHouse hands over whole parts of a
table only between tables that are alike. It is a plain MergeTree, which keeps rows that occur twice.
"""
# ruff: noqa: S608  -- names come from quoted(), values from literal()

from collections.abc import Sequence
from dataclasses import dataclass

from ddb_assets.aws.storage import Storage
from ddb_assets.contract.column_type import SqlType
from ddb_assets.contract.report import Column, Report
from ddb_assets.warehouse.bookkeeping import DELETED_AT
from ddb_assets.warehouse.clickhouse import parts
from ddb_assets.warehouse.clickhouse.server import Server
from ddb_assets.warehouse.clickhouse.sql import GONE, LOAD, RECORDED, ROWS, STAGE, literal, names, once, quoted, table
from ddb_assets.warehouse.clickhouse.tables import Target
from ddb_assets.warehouse.clickhouse.types import converted, number
from ddb_assets.warehouse.errors import LoadError
from ddb_assets.warehouse.sql.staged_values import check_measured, differences, misread
from ddb_assets.warehouse.times import start

COLUMNS_AT_ONCE = 200
_JOIN = "SETTINGS join_algorithm = 'full_sorting_merge,grace_hash,hash'"


@dataclass(frozen=True)
class Staged:
    """A target with the name of its staging table."""

    target: Target
    name: str

    @property
    def table(self) -> str:
        """The quoted name."""
        return table(STAGE, self.name)

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column of the table and of the staging table."""
        types = self.target.types
        return (
            *types,
            LOAD,
            *([] if self.target.relation.path else [GONE, *([RECORDED] if DELETED_AT in types else [])]),
        )


def stage(
    server: Server, storage: Storage, report: Report, targets: Sequence[Target], load_id: str
) -> tuple[Staged, ...]:
    """Creates and fills the staging tables, the root's first.

    Raises LoadError for rows that lack a value, occur twice or contradict each other.
    """
    server.begin_staging(targets)
    staged = tuple(Staged(target, f"{load_id}_{place}") for place, target in enumerate(targets))
    for one in staged:
        _fill(server, storage, report, one, int(load_id, 16))
        check_rows(server, one)
    check_items(server, report, staged)
    return staged


def create(server: Server, name: str, prefix: str, like: str, root: str) -> None:
    """Creates the empty staging table of this name, with the columns and the order of another table."""
    order = server.value(
        f"SELECT sorting_key FROM system.tables WHERE database = currentDatabase() AND name = {literal(prefix + like)}"
    )
    server.execute(
        f"CREATE TABLE {table(STAGE, name)} AS {table(prefix, like)} ENGINE = MergeTree ORDER BY ({order}) "
        f"SETTINGS non_replicated_deduplication_window = 10000 COMMENT {literal(root)}"
    )


def _fill(server: Server, storage: Storage, report: Report, staged: Staged, load: int) -> None:
    create(server, staged.name, ROWS, staged.target.relation.name, report.root.name)
    insert(server, storage, staged, staged.table, load)


def insert(server: Server, storage: Storage, staged: Staged, place: str, load: int) -> None:
    """Inserts all parts of a relation into the table `place`, of which `staged` shows these rows only."""
    target, relation = staged.target, staged.target.relation
    columns = [column for column in relation.columns if column.is_stored]
    select = [value(column, target) for column in columns]
    into, select = [column.name for column in columns] + [LOAD], [*select, str(load)]
    if not relation.path:
        flags = [quoted(column.name) for column in relation.columns if column.role == "deleted"]
        into, select = [*into, GONE], [*select, f"CAST({flags[0]} AS UInt8)" if flags else "0"]
    insert_values(server, storage, staged, place, into, select)


def insert_values(
    server: Server, storage: Storage, staged: Staged, place: str, into: Sequence[str], select: Sequence[str]
) -> None:
    """As `insert`; `select` are the values of the columns `into`."""
    relation, before = staged.target.relation, 0
    for nth, part in enumerate(relation.parts):
        where = f"{place} ({names(into)}) {once(f'{staged.name} {nth}')}"
        parts.insert(server, storage, relation, part, where, select)
        there = server.value(f"SELECT count() FROM {staged.table}")
        # guard: ClickHouse: part's rows
        if there - before != part.rows:
            raise LoadError(f"part {part.uri} has {there - before} rows, the report says {part.rows}: flatten again")
        before = there


def value(column: Column, target: Target) -> str:
    """The value of a column in a part, of the type that the target's column has."""
    needed = column.role in {"key", "index", "version"}
    kind = target.types[column.name]
    if column.empty and not needed:
        return "NULL"
    return converted(quoted(column.name), SqlType.parse(column.type), kind, nullable=not needed)


def check_rows(server: Server, staged: Staged) -> None:
    """Raises LoadError when staged rows have other values than were written, or a key occurs twice."""
    target, relation = staged.target, staged.target.relation
    # guard: ClickHouse: staged = written values
    check_values(server, staged)
    keys = names([column.name for column in relation.identity])
    same = f"SELECT {keys} FROM {staged.table} GROUP BY {keys} HAVING count() > 1 LIMIT 1"
    twice = server.fetch(f"{same} SETTINGS optimize_aggregation_in_order = 1") if keys else []
    # guard: ClickHouse: one row per key
    if twice:
        key = ", ".join(f"{c.name}={v!r}" for c, v in zip(relation.identity, twice[0], strict=True))
        raise LoadError(
            f"{target.relation.name!r} has more than one row with {key}: an export has one per key; check its files"
        )


def check_values(server: Server, staged: Staged) -> None:
    """Raises LoadError if staged values are not those that were written, by their measures."""
    relation, types = staged.target.relation, staged.target.types
    if not relation.measures:
        return
    check_measured(relation)
    stored = [column for column in relation.columns if column.is_stored and not column.empty]
    for begin in range(0, len(stored), COLUMNS_AT_ONCE):
        columns = stored[begin : begin + COLUMNS_AT_ONCE]
        found = []
        for column in columns:
            kind, own = SqlType.parse(column.type), quoted(column.name)
            value = number(own, kind, types[column.name])
            total = f"sum({value})" if kind.name == "DOUBLE PRECISION" else f"sum({_wide(value, kind)})"
            found += [f"count({own})", f"minOrNull({value})", f"maxOrNull({value})", f"toString({total})"]
        measured = server.numbers(f"SELECT {', '.join(found)} FROM {staged.table}")
        for place, column in enumerate(columns):
            said = measured[4 * place : 4 * place + 4]
            if wrong := differences(column, relation.measures[column.name], said):
                raise misread(relation, column, wrong)


def _wide(value: str, kind: SqlType) -> str:
    return f"toDecimal256({value}, {kind.scale})"


def check_items(server: Server, report: Report, staged: Sequence[Staged]) -> None:
    """Checks the staged rows of all relations against each other and against the export's time."""
    root, *children = staged
    version = quoted(root.target.version)
    if report.is_full:
        other = server.value(f"SELECT countIf({version} != {start(report)}) FROM {root.table}")
        # guard: ClickHouse: versions = the full export's time
        if other:
            raise LoadError(
                f"{other} rows of {report.root.name!r} have another {root.target.version} than the export's time"
            )
    else:
        deletes = server.value(f"SELECT countIf({quoted(GONE)} = 1) FROM {root.table}")
        # guard: ClickHouse: deletes = reported
        if deletes != report.deletes:
            raise LoadError(f"{deletes} deletes of {report.root.name!r} were staged, the report has {report.deletes}")
    item = (*root.target.keys, root.target.version)
    for child in children:
        if not child.target.relation.rows:
            continue
        met = server.value(
            f"SELECT count() FROM {child.table} AS list INNER JOIN (SELECT {names(item)} FROM {root.table} "
            f"WHERE {quoted(GONE)} = 0) AS item USING ({names(item)}) {_JOIN}"
        )
        # guard: ClickHouse: children have items
        if orphans := child.target.relation.rows - met:
            raise LoadError(
                f"{orphans} rows of {child.target.relation.name!r} have no item of {report.root.name!r} at their version: "
                "flatten the export again"
            )
