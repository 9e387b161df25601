"""A view of each table for people: live rows, and no bookkeeping columns except the place in a list.

Only for contracts that name a schema for views (`warehouse.views`). `ddl.py` has the text. Columns are never dropped, so
a view stays valid when its table changes, and is updated afterwards.
"""

import re
from collections.abc import Mapping

from ddb_assets.contract.column_type import SqlType
from ddb_assets.contract.table import WarehouseOptions
from ddb_assets.warehouse.bookkeeping import DELETED_AT
from ddb_assets.warehouse.errors import InterruptedLoadError, LoadError, WarehouseError
from ddb_assets.warehouse.sql import ddl
from ddb_assets.warehouse.sql.engine import SqlEngine, Standing
from ddb_assets.warehouse.sql.statements import Statement, TableName


def view_of(table: TableName, options: WarehouseOptions) -> TableName | None:
    """The view that the contract wants of a table. Raises LoadError when the table itself has its name."""
    if options.views == table.schema:
        raise LoadError(f"views of {table} cannot be in its own schema: name another one in warehouse.views")
    return TableName(options.views, table.name) if options.views else None


def check_free(engine: SqlEngine, view: TableName, table: TableName) -> Standing | None:
    """Our view, if it exists. Raises LoadError if the name belongs to somebody else's table or view."""
    found = engine.standing(view)
    # guard: views of others
    if found and not (found.kind == "view" and reads(found.definition, table)):
        whose = f" of {found.owner}" if found.owner else ""
        raise LoadError(
            f"{view} must be the view of {table}, but there is another {found.kind}{whose} of that name: rename it, or "
            f"name another schema in warehouse.views"
        )
    return found


def show(
    engine: SqlEngine, view: TableName, table: TableName, types: Mapping[str, SqlType], found: Standing | None
) -> None:
    """Creates the view, or replaces one that shows other columns or rows."""
    same = found and (DELETED_AT in found.definition) == (DELETED_AT in types)
    if not same or not engine.is_view(view, ddl.shown(types)):
        replace_view(engine, view, ddl.create_view(view, table, types))


def replace_view(engine: SqlEngine, view: TableName, made: Statement) -> None:
    """Replaces the view; if that is refused, drops and creates it in one transaction."""
    try:
        engine.execute(made)
    except InterruptedLoadError:
        raise
    except WarehouseError:
        if engine.standing(view) is None:
            raise
        with engine.transaction():
            engine.execute(ddl.drop_view(view))
            engine.execute(made)


def reads(definition: str, table: TableName) -> bool:
    """Whether a view's text selects from the table. Catalogs keep the text with other quotes and letter case."""
    name = re.escape(f"{table.schema}.{table.name}".replace('"', "").lower())
    return bool(re.search(rf"(?<![\w$]){name}(?![\w$])", definition.replace('"', "").lower()))
