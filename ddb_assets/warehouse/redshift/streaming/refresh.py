"""Lets Redshift read a stream, and shows what it says as the tails of its tables, by views.

    external schema, materialized view ─► REFRESH ─► limits ─► views of each table ─► forget ─► count

The views have the names of a drained tail's tables, so `<relation>_live` is made as ever (`sql/views.py`).
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from ddb_assets.contract.column_type import MAX_VARCHAR, SqlType
from ddb_assets.contract.report import Relation
from ddb_assets.flatten.schema import Schema
from ddb_assets.microseconds import from_micros
from ddb_assets.streams.calls import Stream
from ddb_assets.warehouse.errors import LoadError
from ddb_assets.warehouse.protocol import LiveTable
from ddb_assets.warehouse.redshift.connection import RedshiftEngine
from ddb_assets.warehouse.redshift.streaming import said
from ddb_assets.warehouse.redshift.streaming.records import StreamRecords
from ddb_assets.warehouse.redshift.streaming.said import Records
from ddb_assets.warehouse.results import Refreshed
from ddb_assets.warehouse.sql import ddl, settled, statements, tail, views
from ddb_assets.warehouse.sql.engine import NOTHING, number
from ddb_assets.warehouse.sql.ledgers import provide as provide_ledger
from ddb_assets.warehouse.sql.statements import SETTLED, LoadTarget, Statement, TableName
from ddb_assets.warehouse.sql.tables import Tables, provide_schema


@dataclass(frozen=True)
class _Shown:
    """What the views of a table show: the rows of each relation's tail. Without rows they wait for the first load."""

    rows: dict[str, int]
    unreadable: int = 0


def refresh(
    engine: RedshiftEngine,
    schema: str,
    stream: str,
    tables: Sequence[LiveTable],
    source: Stream,
    now: Callable[[], int],
) -> Refreshed:
    """See `Warehouse.refresh_stream`."""
    provide_schema(engine, schema)
    records = StreamRecords(engine, schema, stream)
    with records.exact_names():
        is_new = records.provide()
        before, began = records.count(), now()
        records.refresh()
        ended = now()
        read = records.count() - before
        shown = {live.table.name: _show(engine, schema, records, live, again=is_new) for live in tables}
        gaps = {
            live.table.name: settled.note_read(
                engine, TableName(schema, live.table.name), source, began, ended, sends=live.sends
            )
            for live in tables
        }
        by_table = records.by_table()
        unreadable = {name: one.unreadable for name, one in shown.items() if one.unreadable}
    limit = _least_limit(engine, schema, records.stream)
    newest, position = records.newest(), records.position()
    problems = tuple(records.problems(limit))
    if limit is not None:
        records.forget(limit)
    declared = {live.dynamodb_name for live in tables}
    return Refreshed(
        read=read,
        kept=records.count(),
        unparsed=by_table.pop(None, 0),
        unreadable=unreadable,
        undeclared={str(name): count for name, count in by_table.items() if name not in declared},
        rows={name: one.rows for name, one in shown.items()},
        waiting=tuple(name for name, one in shown.items() if not one.rows),
        newest=newest,
        settled_before=limit,
        position=position,
        problems=problems,
        gaps={name: gap for name, gap in gaps.items() if gap},
    )


def _least_limit(engine: RedshiftEngine, schema: str, stream: str) -> datetime | None:
    """The settled time of all tables of the stream; None while one has no export yet."""
    limits: list[int | None] = []
    for name in engine.tables(schema, SETTLED):
        found = settled.read(engine, TableName(schema, name.removeprefix(SETTLED)))
        if found and found.stream == stream:
            limits.append(found.limit)
    known = [limit for limit in limits if limit is not None]
    return from_micros(min(known)) if known and len(known) == len(limits) else None


def _show(engine: RedshiftEngine, schema: str, stream: StreamRecords, live: LiveTable, *, again: bool) -> _Shown:
    """Makes the views of a table as its columns are now, also `again`, as they go with a view of the records that is dropped.

    Without a load they wait: nobody knows the columns.
    """
    root = TableName(schema, live.table.name)
    provide_ledger(engine, schema, root.name)
    known = settled.provide(engine, root, stream.stream)
    tables = _loaded(engine, schema, live.schema) if live.schema else None
    if tables is None or live.schema is None:
        return _Shown({})
    _check_key(live.schema)
    records = Records(stream.view, live.dynamodb_name, statements.settled(root))
    beside, made = _tail(records, live, live.schema, tables)
    options = live.table.warehouse
    digest = hashlib.sha256("\n".join([options.views, *(one.text for one in made.values())]).encode()).hexdigest()
    if again or known.made != digest:
        relations = [target.relation for target in tables.relations]
        found = views.free(engine, schema, relations, options, tail=True)
        for name, statement in made.items():
            views.replace_view(engine, name, statement)
        views.show(engine, found, tables, beside, options)
        settled.note_made(engine, root, digest)
    count = said.count_unreadable(records, live.schema, tables.root.types)
    rows = engine.counted([target.table for target in beside.relations])
    return _Shown(
        {target.relation.name: rows[target.table.name] for target in beside.relations},
        number(engine, Statement(count)),
    )


def _loaded(engine: RedshiftEngine, schema: str, document: Schema) -> Tables | None:
    """The tables that loads have made for the relations of a schema document; None while one is missing."""
    relations = document.relations()
    there = engine.layouts(schema, [relation.name for relation in relations])
    if any(not there.get(relation.name, NOTHING).types for relation in relations) or not relations[0].keys:
        return None

    def target(relation: Relation) -> LoadTarget:
        table = TableName(schema, relation.name)
        return LoadTarget(table, there[relation.name].types, relation, table)

    root, *children = map(target, relations)
    stones = statements.tombstones(root.table)
    return Tables(root, tuple(children), (), stones, {})


def _tail(
    records: Records, live: LiveTable, document: Schema, tables: Tables
) -> tuple[Tables, dict[TableName, Statement]]:
    """The tail of these tables, and the statements that make its views.

    Texts may be longer than those of the table, as a load would lengthen the column; unless the contract declares types.
    """
    made: dict[TableName, Statement] = {}
    declares = any(options.type for options in live.table.columns.values())

    def longest(kind: SqlType) -> SqlType:
        return SqlType("VARCHAR", MAX_VARCHAR) if kind.name == "VARCHAR" and not declares else kind

    def target(of: LoadTarget) -> LoadTarget:
        types = {name: longest(kind) for name, kind in of.types.items() if name not in tail.MARKS}
        table = statements.tail(of.table)
        made[table] = ddl.create_bound_view(table, said.rows(records, document, tables.root.types, of.relation, types))
        return LoadTarget(table, types, of.relation, table)

    root, *children = map(target, tables.relations)
    stones = statements.tombstones(root.table)
    made[stones] = ddl.create_bound_view(stones, said.deletes(records, document, tables.root.types))
    return Tables(root, tuple(children), (), stones, {}), made


def _check_key(document: Schema) -> None:
    """Raises LoadError for a key of bytes, which SQL cannot read exactly."""
    for name in document.key:
        if document.root.fields[name].accepts == ("B",):
            raise LoadError(
                f"key attribute {name!r} of {document.table} is binary, and Redshift cannot read it exactly from a stream: "
                "take `tail: materialized_view` out of the contract"
            )
