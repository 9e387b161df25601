"""The views of a table: one for people where the contract names a schema for it, and one that shows table and tail as one.

The view for people (`warehouse.views`) has live rows, and no bookkeeping columns except the place in a list. A table with a
tail has the view `<relation>_live`; then the view for people shows the tail too. A table with a cold tier has the view
`<relation>_all`, and the view for people shows cold rows too. `ddl.py` has the text. Columns are never
dropped, so a view stays valid when its table changes, and is updated afterwards.
"""

import hashlib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ddb_assets.contract.column_type import SqlType
from ddb_assets.contract.report import Relation
from ddb_assets.contract.warehouse_options import WarehouseOptions
from ddb_assets.warehouse.bookkeeping import DELETED_AT, STALE_SINCE
from ddb_assets.warehouse.errors import InterruptedLoadError, LoadError, WarehouseError
from ddb_assets.warehouse.sql import ddl, statements
from ddb_assets.warehouse.sql.cold import ColdTier, record_views
from ddb_assets.warehouse.sql.cold_rows import ColdRows
from ddb_assets.warehouse.sql.ddl import Known, Rows
from ddb_assets.warehouse.sql.engine import SqlEngine, Standing
from ddb_assets.warehouse.sql.statements import COLD, TAIL, Statement, TableName
from ddb_assets.warehouse.sql.tables import Tables, provide_schema

_TELLING = (DELETED_AT, TAIL)
"""What a view's text has if it hides deleted rows, and if it shows a tail."""


@dataclass(frozen=True)
class View:
    """A view of a relation's table that is to be there; `made` creates or replaces it."""

    name: TableName
    columns: Mapping[str, SqlType]
    made: Statement


def free(
    engine: SqlEngine,
    schema: str,
    relations: Sequence[Relation],
    options: WarehouseOptions,
    *,
    tail: bool,
    history: bool = False,
    cold: bool = False,
) -> dict[TableName, Standing | None]:
    """The views that these relations get, and what they are now; provides the schema for views.

    Raises LoadError if a name belongs to somebody else's table or view.
    """
    tables = [TableName(schema, relation.name) for relation in relations]
    if options.views == schema:
        raise LoadError(f"views of {tables[0]} cannot be in its own schema: name another one in warehouse.views")
    if options.views:
        provide_schema(engine, options.views)
    named = [(view, table) for table in tables for view in _for_people(table, options)]
    named += [(statements.live(table), table) for table in tables if tail]
    named += [(statements.whole(table), table) for table in tables if cold]
    named += [(view, kept) for table in tables if history for view, kept in of_history(table, options.views)]
    return {view: check_free(engine, view, table) for view, table in named}


def of_history(table: TableName, views: str) -> list[tuple[TableName, TableName]]:
    """The views of a relation's history, also that in the schema for views, and the table that they show."""
    kept = statements.versions(table)
    return [(statements.history(table, schema), kept) for schema in ("", *([views] if views else []))]


def check_free(engine: SqlEngine, view: TableName, table: TableName) -> Standing | None:
    """Our view, if it exists. Raises LoadError if the name belongs to somebody else's table or view."""
    found = engine.standing(view)
    # guard: views of others
    if found and not (found.kind == "view" and reads(found.definition, table)):
        whose = f" of {found.owner}" if found.owner else ""
        other = ", or name another schema in warehouse.views" if view.schema != table.schema else ""
        raise LoadError(
            f"{view} must be the view of {table}, but there is another {found.kind}{whose} of that name: rename it{other}"
        )
    return found


def show(
    engine: SqlEngine,
    found: Mapping[TableName, Standing | None],
    tables: Tables,
    tail: Tables | None,
    options: WarehouseOptions,
    cold: ColdTier | None = None,
) -> None:
    """Creates the views, and replaces those that show other columns or rows. `found` is the result of `free`.

    An export without items does not say what the keys are, by which table and tail are compared: then views stay as they are.
    """
    if tail and not tables.root.relation.keys:
        return
    if cold and tables.cold and tables.root.relation.keys:
        keys = tuple(key.name for key in tables.root.relation.keys)
        places = {target.relation.name: (target.table, target.types) for target in tables.relations}
        wanted = whole_views(places, cold, keys, tables.version, tables.cold.types, options)
        show_whole(engine, tables.root.table, cold, wanted, tables.tombstones)
        return
    for view in _wanted(tables, tail, options):
        present = found[view.name]
        same = present and all((sign in present.definition) == (sign in view.made.text) for sign in _TELLING)
        if not same or not engine.is_view(view.name, view.columns):
            replace_view(engine, view.name, view.made, tables.tombstones)


def _wanted(tables: Tables, tail: Tables | None, options: WarehouseOptions) -> Iterator[View]:
    for place, target in enumerate(tables.relations):
        rows = [ddl.live(target.types, target.table)]
        if tail:
            beside = tail.relations[place]
            rows = _newest(rows[0], tables, tail, beside.table)
            name = statements.live(target.table)
            yield View(name, beside.types, ddl.create_view(name, beside.types, rows))
        for name in _for_people(target.table, options):
            columns = ddl.shown(target.types)
            yield View(name, columns, ddl.create_view(name, columns, rows))


def whole_views(
    places: Mapping[str, tuple[TableName, Mapping[str, SqlType]]],
    cold: ColdTier,
    keys: tuple[str, ...],
    version: str,
    key_types: Collection[str],
    options: WarehouseOptions,
) -> list[View]:
    """The views of hot and cold rows of these relations, each with its table and the table's columns.

    `key_types` are the columns of the table of cold keys.
    """
    views = []
    for relation, (table, types) in places.items():
        rows: list[ddl.Selected] = [ddl.live(types, table)]
        if relation in cold.tables:
            stale = STALE_SINCE in key_types
            rows.append(ColdRows(cold.tables[relation], cold.keys, keys, version, types, stale=stale))
        name = statements.whole(table)
        views.append(View(name, types, ddl.create_view(name, types, rows)))
        for people in _for_people(table, options):
            columns = ddl.shown(types)
            views.append(View(people, columns, ddl.create_view(people, columns, rows)))
    return views


def whole_names(table: TableName, options: WarehouseOptions) -> list[TableName]:
    """The names of the views of a relation's hot and cold rows."""
    return [statements.whole(table), *_for_people(table, options)]


def show_whole(engine: SqlEngine, root: TableName, cold: ColdTier, views: Sequence[View], lock: TableName) -> None:
    """Creates those of these views whose text is not the one that they were made of."""
    for view in views:
        made = hashlib.sha256(view.made.text.encode()).hexdigest()
        found = engine.standing(view.name) if cold.made.get(str(view.name)) == made else None
        # guard: views show cold rows as they are now
        if found is None or COLD not in found.definition:
            replace_view(engine, view.name, view.made, lock)
            with engine.transaction(lock):
                record_views(engine, root, {str(view.name): made})


def _newest(own: Rows, tables: Tables, tail: Tables, beside: TableName) -> list[Rows]:
    """The rows of a table and of its tail that the other does not know a newer write of.

    An equal version is the same write, or a write at the exact time of a full export, which that export does not have
    (`flatten/record.py`). So the tail's row is the right one.
    """
    keys = [key.name for key in tables.root.relation.keys]
    truth, said = Known(tables.root.table, tables.tombstones), Known(tail.root.table, tail.tombstones)
    return [
        Rows(own.table, (*own.conditions, *said.says_otherwise(own.table, keys, tables.version, ">="))),
        Rows(beside, truth.says_otherwise(beside, keys, tables.version, ">")),
    ]


def _for_people(table: TableName, options: WarehouseOptions) -> list[TableName]:
    return [TableName(options.views, table.name)] if options.views else []


def replace_view(engine: SqlEngine, view: TableName, made: Statement, lock: TableName | None = None) -> None:
    """Replaces the view; if that is refused, drops and creates it in one transaction. Two loads do not do so at once."""
    try:
        with engine.transaction(lock):
            engine.execute(made)
    except InterruptedLoadError:
        raise
    except WarehouseError:
        if engine.standing(view) is None:
            raise
        with engine.transaction(lock):
            engine.execute(ddl.drop_view(view))
            engine.execute(made)


def reads(definition: str, table: TableName) -> bool:
    """Whether a view's text selects from the table. Catalogs keep the text with other quotes and letter case."""
    name = re.escape(f"{table.schema}.{table.name}".replace('"', "").lower())
    return bool(re.search(rf"(?<![\w$]){name}(?![\w$])", definition.replace('"', "").lower()))
