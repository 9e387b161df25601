"""What the schema holds of one table, and how all of it is dropped. For a table that no contract declares any more.

The table's ledger lists the relations that its loads have filled, so it says what is ours. Every table must also have the
column that loads give to it, and none may be another table's by now. What is dropped is looked at again under the lock
that loads take.
"""

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress

from ddb_assets.warehouse.bookkeeping import BEGUN, EXPORT_ID, MOVE, cold_name
from ddb_assets.warehouse.errors import LoadError, WarehouseError
from ddb_assets.warehouse.protocol import nothing
from ddb_assets.warehouse.results import Holdings
from ddb_assets.warehouse.sql import cold, ddl, key_changes, ledgers, settled, statements, streams, tail, versions
from ddb_assets.warehouse.sql.engine import Layout, SqlEngine
from ddb_assets.warehouse.sql.ledger import LEDGER, PREFIX, check_version, ledger
from ddb_assets.warehouse.sql.read_history import filled
from ddb_assets.warehouse.sql.statements import Statement, TableName
from ddb_assets.warehouse.sql.tables import GONE_SINCE
from ddb_assets.warehouse.sql.views import check_free, of_history

VERSION = "_ddb_version"


def holdings(engine: SqlEngine, schema: str, root: str, views: str = "") -> Holdings:
    """The tables and views of a root relation, with their rows; nothing without a ledger.

    `views` is the schema that the contract named for views. Raises LoadError for what may not be dropped.
    """
    own = ledger(schema, root)
    found = engine.standing(TableName(schema, LEDGER))
    if found and found.kind == "table":
        raise LoadError(
            f"{TableName(schema, LEDGER)} is the ledger of an earlier version, which all tables shared: load any table once, "
            "which gives each its own"
        )
    known = engine.layouts(schema, [own.name])
    if own.name not in known:
        return Holdings()
    # guard: a newer ledger may list more
    check_version(engine, own, known[own.name].types)
    table = TableName(schema, root)
    itself = bool(engine.layouts(schema, [statements.settled(table).name]))
    streamed = bool(engine.layouts(schema, [statements.streams(table).name]))
    relations = {root, *filled(engine, own, root), *(streams.read(engine, table).relations if streamed else ())}
    marks = _marks(schema, root, relations, itself=itself)
    there = engine.layouts(
        schema, [*marks, *(statements.tombstones(TableName(schema, name)).name for name in relations)]
    )
    _check_ours(schema, root, relations, marks, there)
    _check_no_others(engine, schema, root, relations)
    rows = engine.counted([TableName(schema, name) for name in marks if name in there])
    if rows.get(root) and root not in filled(engine, own, root):
        raise LoadError(f"{TableName(schema, root)} has rows, but its ledger has no load of it: drop it yourself")
    shown = tuple(str(view) for view in _views(engine, schema, root, relations, views))
    return Holdings(tables=rows, views=shown, cold=_cold(engine, table, relations, there))


def _cold(engine: SqlEngine, root: TableName, relations: set[str], there: Collection[str]) -> dict[str, str]:
    """The Iceberg tables of cold rows with their owner; none if no move has begun."""
    moves = statements.moves(root)
    owner = engine.fetch(Statement(f"SELECT MAX(owner) FROM {moves}"))[0][0] if moves.name in there else None  # noqa: S608
    names = [root.name, *sorted(relations - {root.name})]
    return {cold_name(name): f"{owner} {TableName(root.schema, name)}" for name in names} if owner else {}


def forget(
    engine: SqlEngine,
    schema: str,
    root: str,
    views: str,
    expected: Holdings,
    patience: float,
    before_commit: Callable[[], None] = nothing,
) -> None:
    """Drops what was found, in one transaction; nothing if it is no longer the same.

    `before_commit` is called at its end; an exception from it undoes the transaction.
    Raises WarehouseError when a load of the table runs for longer than `patience` seconds.
    """
    own = ledger(schema, root)
    stones = statements.tombstones(TableName(schema, root))
    ledgers.show(engine, schema, without=own.name)  # before: the view must never read a ledger that is gone
    try:
        with engine.limited(patience), engine.transaction(stones if stones.name in expected.tables else own):
            if holdings(engine, schema, root, views) != expected:
                raise LoadError(f"{root} has been loaded in between: nothing was dropped, look again")
            for view in _views(engine, schema, root, expected.tables, views) if expected.views else ():
                if str(view) in expected.views:
                    engine.execute(ddl.drop_view(view))
            if engine.layouts(schema, [key_changes.CHANGES]):
                for name in expected.tables:
                    key_changes.forget(engine, TableName(schema, name))
            for name in expected.tables:
                engine.execute(statements.drop(TableName(schema, name)))
            before_commit()
    except BaseException:
        with suppress(WarehouseError):
            ledgers.show(engine, schema)
        raise


def _views(engine: SqlEngine, schema: str, root: str, relations: Collection[str], views: str) -> list[TableName]:
    """The views that there are of these relations. Raises LoadError for one of somebody else."""
    tables = [TableName(schema, name) for name in sorted(relations)]
    named = [(TableName(views, table.name), table) for table in tables] if views else []
    named += [(view, table) for table in tables for view in (statements.live(table), statements.whole(table))]
    named += [one for table in tables for one in of_history(table, views)]
    found = [view for view, table in named if check_free(engine, view, table) is not None]
    if engine.layouts(schema, [statements.settled(TableName(schema, root)).name]):
        beside = [TableName(schema, name) for name in tail.names(schema, root, relations)]
        found += [view for view in beside if engine.standing(view)]
    return found


def _marks(schema: str, root: str, relations: set[str], *, itself: bool) -> dict[str, str]:
    """Every table that there may be, with the column that loads have given to it; the ledger comes last.

    `itself`: the warehouse reads the table's stream, so its tail is made of views.
    """
    table = TableName(schema, root)
    beside = {statements.settled(table).name: settled.MARK} if itself else {}
    return {
        **dict.fromkeys(sorted(relations), VERSION),
        **(beside or dict.fromkeys(tail.names(schema, root, relations), VERSION)),
        **{statements.versions(TableName(schema, name)).name: BEGUN for name in sorted(relations)},
        statements.history_sources(table).name: versions.MARK,
        statements.streams(table).name: streams.MARK,
        statements.tombstones(table).name: VERSION,
        statements.unread(table).name: EXPORT_ID,
        statements.hidden_paths(table).name: "path",
        statements.cold(table).name: MOVE,
        statements.moves(table).name: "begun_at",
        statements.cold_fields(table).name: cold.FIELDS_MARK,
        statements.cold_gone(table).name: GONE_SINCE,
        ledger(schema, root).name: "sequence",
    }


def _check_ours(
    schema: str, root: str, relations: set[str], marks: Mapping[str, str], there: Mapping[str, Layout]
) -> None:
    for name, mark in marks.items():
        if name in there and mark not in there[name].types:
            raise LoadError(
                f"{TableName(schema, name)} has no column {mark}, so no load has created it: rename it, or drop it yourself"
            )
    for name in relations - {root}:
        if statements.tombstones(TableName(schema, name)).name in there:
            raise LoadError(
                f"{TableName(schema, name)} was a list of {root}, but is a table of items by now: forget it first"
            )


def _check_no_others(engine: SqlEngine, schema: str, root: str, relations: set[str]) -> None:
    """Raises LoadError when the ledger of another table lists one of these relations too."""
    for name in engine.tables(schema, PREFIX):
        other = name.removeprefix(PREFIX)
        if other != root and (shared := relations & {*filled(engine, TableName(schema, name), other)}):
            raise LoadError(
                f"{TableName(schema, sorted(shared)[0])} is in the ledgers of {root} and of {other}, so nobody can say "
                f"whose rows it has: forget {other} first, or drop it yourself"
            )
