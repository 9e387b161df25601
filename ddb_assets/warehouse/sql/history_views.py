"""The views of a history: `<relation>_history`, with every version of a relation's rows and how long it was valid.

`timeline.py` has the query that finds that. The view of a list has the versions of its items, with their rows. Where the
contract names a schema for views, the same views are there without bookkeeping.
"""
# ruff: noqa: S608  -- names come from quoted(), types from SqlType

from collections.abc import Iterator, Mapping

from ddb_assets.contract.column_type import SqlType
from ddb_assets.contract.warehouse_options import WarehouseOptions
from ddb_assets.flatten.schema import VERSION
from ddb_assets.warehouse.bookkeeping import BEGUN, ENDED, KIND
from ddb_assets.warehouse.sql import ddl, statements
from ddb_assets.warehouse.sql.engine import SqlEngine, Standing
from ddb_assets.warehouse.sql.statements import Statement, TableName, quoted, timestamp
from ddb_assets.warehouse.sql.tables import Tables
from ddb_assets.warehouse.sql.timeline import OBSERVED, Queries, intervals, with_
from ddb_assets.warehouse.sql.versions import BOOKKEEPING, Versions
from ddb_assets.warehouse.sql.views import View, replace_view

PERIOD: Mapping[str, SqlType] = {
    "valid_from": SqlType("TIMESTAMP"),
    "valid_to": SqlType("TIMESTAMP"),
    "_record_is_active": SqlType("BOOLEAN"),
    "_record_create_time": SqlType("TIMESTAMP"),
    "_record_delete_time": SqlType("TIMESTAMP"),
    "_version_us": SqlType("BIGINT"),
    "_resolution": SqlType("BIGINT"),
    "_kind": SqlType("VARCHAR", 8),
    "_ended_by": SqlType("VARCHAR", 8),
}
"""The columns of a view besides those of the items. The three names with `_record_` are those of Redshift's zero-ETL."""


def show_history(
    engine: SqlEngine,
    found: Mapping[TableName, Standing | None],
    versions: Versions | None,
    tables: Tables,
    options: WarehouseOptions,
) -> None:
    """Creates the views, and replaces those that show other columns. `found` is the result of `views.free`.

    An export without items does not say what the keys are: then views stay as they are.
    """
    if versions is None or not tables.root.relation.keys:
        return
    for view in _wanted(versions, tables, options):
        if found[view.name] is None or not engine.is_view(view.name, view.columns):
            replace_view(engine, view.name, view.made, tables.tombstones)


def _wanted(versions: Versions, tables: Tables, options: WarehouseOptions) -> Iterator[View]:
    keys = [key.name for key in tables.root.relation.keys]
    periods = intervals(versions.root.table, versions.sources, keys)
    for target, kept in zip(tables.relations, versions.relations, strict=True):
        own = {name: kind for name, kind in kept.types.items() if name not in BOOKKEEPING}
        yield _view(statements.history(target.table), kept.table, own, keys, periods)
        if options.views:
            yield _view(statements.history(target.table, options.views), kept.table, ddl.shown(own), keys, periods)


def _view(name: TableName, table: TableName, own: Mapping[str, SqlType], keys: list[str], periods: Queries) -> View:
    shown = {column: shown_as(column, own) for column in own if column != VERSION}
    same = " AND ".join(f"{table.column(key)} = periods.{quoted(key)}" for key in (*keys, VERSION, BEGUN, ENDED))
    columns = ", ".join(f"{table.column(column)} AS {quoted(as_)}" for column, as_ in shown.items())
    query = f"{with_(periods)} SELECT {columns}, {_period()} FROM {table} INNER JOIN periods ON {same}"
    made = Statement(f"CREATE OR REPLACE VIEW {name} AS {query} WITH NO SCHEMA BINDING")
    return View(name, {as_: own[column] for column, as_ in shown.items()} | dict(PERIOD), made)


def _period() -> str:
    version, until = f"periods.{quoted(VERSION)}", "periods.until_us"
    begin, end = timestamp(version), timestamp(until)
    observed = f"periods.{quoted(KIND)} = '{OBSERVED}'"
    found = {
        "valid_from": begin,
        "valid_to": end,
        "_record_is_active": f"{until} IS NULL",
        "_record_create_time": begin,
        "_record_delete_time": end,
        "_version_us": version,
        # a full export does not say when the item was written
        "_resolution": f"CASE WHEN NOT {observed} THEN (periods.{quoted(ENDED)} - periods.{quoted(BEGUN)}) / 1000000 END",
        "_kind": f"CASE WHEN {observed} THEN 'observed' ELSE 'written' END",
        "_ended_by": "periods.ended_by",
    }
    return ", ".join(f"CAST({found[name]} AS {kind}) AS {quoted(name)}" for name, kind in PERIOD.items())


def shown_as(column: str, own: Mapping[str, SqlType]) -> str:
    """The name of an item's column in the view: with `_` at its end if the view needs the name for itself."""
    name = column
    while name in PERIOD or (name != column and name in own):
        name += "_"
    return name
