"""A view beside each table, for people: live rows, and no bookkeeping but the place in a list.

Only for contracts that name a schema for them (`warehouse.views`). Its text is `ddl.py`'s; with the columns of its table
it is changed by `tables.py`.
"""

from collections.abc import Mapping

from ddb_assets.column_type import SqlType
from ddb_assets.table import WarehouseOptions
from ddb_assets.warehouse import ddl
from ddb_assets.warehouse.protocol import LoadError, Warehouse
from ddb_assets.warehouse.sql import Table


def view_of(table: Table, options: WarehouseOptions) -> Table | None:
    """The view that the contract wants of a table. Raises LoadError when the table itself has its name."""
    if options.views == table.schema:
        raise LoadError(f"views of {table} cannot be in its own schema: name another one in warehouse.views")
    return Table(options.views, table.name) if options.views else None


def show(warehouse: Warehouse, view: Table, table: Table, types: Mapping[str, SqlType]) -> None:
    """Makes the view of a table that had none when it was made, or one of other columns."""
    if not warehouse.is_view(view, ddl.shown(types)):
        with warehouse.transaction():
            for statement in ddl.create_view(view, table, types):
                warehouse.execute(statement)
