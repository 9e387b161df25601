"""The tables of a history: what every loaded export says about items, kept for ever and never changed.

`_ddb_versions__<relation>` has the columns of the relation's table. A row is what one export says of one key: `put` and
`delete` are the last write of a window, `observed` is an item of a full export, and `unread` an item that was there and
could not be read. `_ddb_history__<root>` lists the exports, by the time that each covers. An export that is loaded again
replaces its own rows and no others, in the transaction of the load. So the tables are the same for every order of the
loads, and `timeline.py` finds versions in them; `history_views.py` shows those.

Versions of lists are rows of their own, with the key and version of their item.
"""
# ruff: noqa: S608  -- names come from quoted(), values are bound

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import cast

from ddb_assets.contract.column_type import SqlType
from ddb_assets.contract.report import Report
from ddb_assets.flatten.schema import HASH, HASH_TYPE, OLD_HASH
from ddb_assets.microseconds import from_micros
from ddb_assets.warehouse.bookkeeping import BEGUN, ENDED, KIND
from ddb_assets.warehouse.errors import InterruptedLoadError, LoadError
from ddb_assets.warehouse.protocol import LoadOptions
from ddb_assets.warehouse.sql import ddl, retype, statements
from ddb_assets.warehouse.sql.engine import NOTHING, Layout, SqlEngine, number
from ddb_assets.warehouse.sql.statements import MAX_NAME, LoadTarget, Statement, TableName, quoted
from ddb_assets.warehouse.sql.tables import Tables, evolve, hidden_columns
from ddb_assets.warehouse.sql.tail import MARKS
from ddb_assets.warehouse.sql.timeline import DELETE, OBSERVED, PUT, UNREAD
from ddb_assets.warehouse.times import end, start

SOURCES = {
    "from_us": SqlType("BIGINT"),
    "to_us": SqlType("BIGINT"),
    "export_id": SqlType("VARCHAR", 256),
    "digest": SqlType("VARCHAR", 256),
    "table_id": SqlType("VARCHAR", 64),
    "blind": SqlType("BOOLEAN"),
    "old_images": SqlType("BOOLEAN"),
    "forgotten_us": SqlType("BIGINT"),
}
"""The columns of the table of exports. Both times of a full export are its own. `blind`: not all of its keys could be read.
`forgotten_us`: versions that ended before this time have been deleted (`version_retention.py`). The latest counts."""
MARK = "old_images"
_OF_EXPORT = {BEGUN: SqlType("BIGINT"), ENDED: SqlType("BIGINT")}
_OF_ITEM = {KIND: SqlType("VARCHAR", 8), HASH: SqlType.parse(HASH_TYPE), OLD_HASH: SqlType.parse(HASH_TYPE)}


BOOKKEEPING = frozenset({*_OF_EXPORT, *_OF_ITEM})
"""The columns of a table of versions that its view does not show."""


@dataclass(frozen=True)
class Versions:
    """The tables of versions, and that of the exports that they come from.

    `undeclared` are those of child tables that the contract no longer has.
    """

    root: LoadTarget
    children: tuple[LoadTarget, ...]
    undeclared: tuple[tuple[TableName, Mapping[str, SqlType]], ...]
    sources: TableName

    @property
    def relations(self) -> tuple[LoadTarget, ...]:
        """The tables that get rows."""
        return (self.root, *self.children)

    @property
    def all(self) -> Iterator[tuple[TableName, Mapping[str, SqlType]]]:
        """Every table of versions with its columns."""
        yield from ((target.table, target.types) for target in self.relations)
        yield from self.undeclared


def _check_names(schema: str, report: Report) -> None:
    """Raises LoadError when a name of the history would be too long, before anything is created."""
    for relation in report.relations:
        table = TableName(schema, relation.name)
        for name in (statements.versions(table).name, statements.history(table).name):
            if len(name.encode()) > MAX_NAME:
                raise LoadError(
                    f"{report.table} cannot have a history: it would have {name!r}, and names have at most {MAX_NAME} bytes: "
                    "give the table a shorter `name` in its contract"
                )


def lacks(engine: SqlEngine, schema: str, report: Report, there: Collection[str], how: LoadOptions) -> bool:
    """Whether there is to be a history and it does not have this export yet. `there` has the tables that exist."""
    if how.history is None:
        return False
    table = statements.history_sources(TableName(schema, report.root.name))
    if table.name not in there:
        return True
    if end(report) <= forgotten(engine, table):
        return False
    same = f"SELECT COUNT(*) FROM {table} WHERE from_us = ? AND to_us = ? AND digest = ?"
    return not number(engine, Statement(same, (start(report), end(report), report.digest)))


def forgotten(engine: SqlEngine, sources: TableName) -> int:
    """The time before which the history has forgotten what ended, in microseconds since 1970; 0 if it has not."""
    return number(engine, Statement(f"SELECT COALESCE(MAX(forgotten_us), 0) FROM {sources}"))


def spans(engine: SqlEngine, schema: str, root: str) -> tuple[tuple[datetime, datetime], ...]:
    """The times of the exports in a table's history, oldest first; none without one."""
    table = statements.history_sources(TableName(schema, root))
    if not engine.catalog(table):
        return ()
    found = engine.fetch(Statement(f"SELECT from_us, to_us FROM {table} ORDER BY from_us, to_us"))
    return tuple((from_micros(cast("int", begin)), from_micros(cast("int", until))) for begin, until in found)


def prepare(
    engine: SqlEngine, tables: Tables, report: Report, there: Mapping[str, Layout], how: LoadOptions
) -> Versions | None:
    """Creates missing tables and columns, as those of the relations are; every step commits. None without a history.

    `there` is the result of `look`. Raises LoadError when versions were dropped, and when the export was flattened
    without what a history needs.
    """
    if how.history is None:
        return None
    _check_names(str(tables.root.table.schema), report)
    if not any(column.role == "hash" for column in report.root.columns):
        raise LoadError(
            f"export {report.export_id} was flattened before {report.table} had a `history`, so its rows have no hashes: "
            "flatten it again"
        )
    keys, sources = report.root.keys, statements.history_sources(tables.root.table)
    lock = tables.tombstones

    def evolved(of: TableName, columns: Mapping[str, SqlType], target: LoadTarget | None) -> dict[str, SqlType]:
        table = statements.versions(of)
        return evolve(
            engine,
            table,
            columns,
            mark=BEGUN,
            design=ddl.design(keys, columns, how.tables, {}, f"versions of {of.name}, see its view"),
            lock=lock,
            hidden=hidden_columns(report, target.relation) if target else frozenset(),
            declared=retype.declared(target.relation) if target else {},
            seen=there.get(table.name, NOTHING),
        )

    def target(of: LoadTarget, more: Mapping[str, SqlType]) -> LoadTarget:
        columns = {name: kind for name, kind in of.types.items() if name not in MARKS} | dict(more)
        return replace(of, table=statements.versions(of.table), types=evolved(of.table, columns, of))

    _check_there(engine, tables.root.table, there)
    about = ddl.Design(about=f"the exports that the versions of {tables.root.table.name} come from")
    evolve(engine, sources, SOURCES, mark=MARK, design=about, lock=lock, seen=there.get(sources.name, NOTHING))
    key_types = {key.name: tables.root.types[key.name] for key in keys}
    return Versions(
        target(tables.root, {**_OF_EXPORT, **_OF_ITEM}),
        tuple(target(child, _OF_EXPORT) for child in tables.children),
        tuple(
            (statements.versions(table), evolved(table, {**key_types, **_OF_EXPORT}, None))
            for table, _ in tables.undeclared
            if statements.versions(table).name in there
        ),
        sources,
    )


def _check_unchanged(engine: SqlEngine, versions: Versions) -> None:
    """Raises InterruptedLoadError when another load has changed the tables since `prepare`."""
    planned = {table.name: types for table, types in versions.all}
    now = engine.layouts(str(versions.sources.schema), planned)
    for name, types in planned.items():
        # guard: versions have the columns that they were looked at with
        if now.get(name, NOTHING).types != types:
            raise InterruptedLoadError(f"another load is changing the columns of {name}")


def keep(engine: SqlEngine, versions: Versions | None, tables: Tables, report: Report) -> None:
    """Within the load's transaction, while everything is staged: replaces what this export said about items."""
    if versions is None:
        return
    _check_unchanged(engine, versions)
    horizon = forgotten(engine, versions.sources)
    # guard: what is forgotten stays forgotten
    if end(report) <= horizon:
        return
    span = (start(report), end(report))
    same = f"{quoted(BEGUN)} = ? AND {quoted(ENDED)} = ?"
    for table, _ in versions.all:
        # guard: an export replaces its own versions
        engine.execute(Statement(f"DELETE FROM {table} WHERE {same}", span))
    root = versions.root
    deleted = statements.is_deleted(root)
    kind = f"'{OBSERVED}'" if report.is_full else f"CASE WHEN {deleted} THEN '{DELETE}' ELSE '{PUT}' END"
    hashes = {c.name: root.stage.column(c.name) for c in root.relation.columns if c.role in {"hash", "old_hash"}}
    engine.execute(_insert(root, {KIND: kind, **hashes}, span))
    for child in versions.children:
        engine.execute(_insert(child, {}, span))
    if tables.unread and report.unread:
        unread = replace(tables.unread, table=root.table, types=root.types)
        known = (
            f" WHERE NOT EXISTS (SELECT 1 FROM {root.table} WHERE {unread.matches(root.table, root.types)} AND {same})"
        )
        # guard: what could not be read is not gone
        engine.execute(_insert(unread, {KIND: f"'{UNREAD}'"}, span, known))
    kept = number(
        engine, Statement(f"SELECT COUNT(*) FROM {root.table} WHERE {same} AND {quoted(KIND)} <> ?", (*span, UNREAD))
    )
    # guard: versions there = rows sent
    if kept != report.root.rows:
        raise LoadError(
            f"{report.root.rows} rows of {report.root.name!r} went to {root.table}, {kept} are there: load again"
        )
    engine.execute(Statement(f"DELETE FROM {versions.sources} WHERE from_us = ? AND to_us = ?", span))
    # guard: an export that is replaced leaves the horizon
    values = (
        *span,
        report.export_id,
        report.digest,
        report.table_id,
        report.is_full and report.unkeyed > 0,
        report.old_images,
        horizon,  # the row that is replaced may have been the only one that said it
    )
    names, marks = ", ".join(SOURCES), ", ".join("?" * len(values))
    # guard: a history knows its exports
    engine.execute(Statement(f"INSERT INTO {versions.sources} ({names}) VALUES ({marks})", values))


def existing(engine: SqlEngine, tables: Tables) -> list[tuple[TableName, Layout]]:
    """The tables of versions that a table has, whether or not its contract has a history now; not that of the exports."""
    named = {
        table.name: table for table in map(statements.versions, (tables.root.table, *(t for t, _ in tables.below)))
    }
    return [(named[name], found) for name, found in engine.layouts(str(tables.root.table.schema), named).items()]


def _check_there(engine: SqlEngine, root: TableName, there: Mapping[str, Layout]) -> None:
    table, sources = statements.versions(root), statements.history_sources(root)
    # guard: versions that somebody dropped
    if sources.name in there and table.name not in there and number(engine, statements.count(sources)):
        raise LoadError(
            f"{sources} lists exports whose versions were in {table}, which has been dropped since: restore it from a backup, "
            f"or drop {sources} too; then the history begins again, with a full export and the windows that are loaded again"
        )


def _insert(target: LoadTarget, more: Mapping[str, str], span: tuple[int, int], where: str = "") -> Statement:
    """Inserts all staged rows; `more` are expressions by column, `where` a condition with the two times of the export."""
    columns = [c for c in target.relation.columns if c.is_stored and c.name in target.types]
    names = ", ".join(map(quoted, (*(c.name for c in columns), *more, BEGUN, ENDED)))
    selected = ", ".join([*map(target.staged, columns), *more.values(), "CAST(? AS BIGINT)", "CAST(? AS BIGINT)"])
    values = span if not where else (*span, *span)
    return Statement(f"INSERT INTO {target.table} ({names}) SELECT {selected} FROM {target.stage}{where}", values)
