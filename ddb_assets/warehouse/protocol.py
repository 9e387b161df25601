"""What a warehouse must be able to do for a load, and how it says no.

The load (`load.py`) is one sequence of statements in Redshift's dialect; a `Warehouse` runs them. Which dialect the
server really speaks, how it reads Parquet and how it keeps two loads apart is the adapter's business (`duckdb.py`), not
known here.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Protocol, cast

from ddb_assets.column_type import SqlType
from ddb_assets.errors import DdbAssetsError
from ddb_assets.parquet.report import Relation
from ddb_assets.warehouse.sql import Statement, Table


class WarehouseError(DdbAssetsError):
    """The warehouse cannot be reached, is held by somebody else, or was named wrongly."""


class InterruptedLoadError(WarehouseError):
    """The connection was lost or another transaction was in the way: the ledger knows what came of it, load again."""


class Warehouse(Protocol):
    """A connection to one database, held by one load at a time.

    Outside `transaction()` every statement commits by itself, as DDL that must not be in a transaction needs it.
    """

    @property
    def default_schema(self) -> str:
        """The schema that tables go to when none is named."""
        ...

    @property
    def session(self) -> str:
        """A short name no other connection has; staging tables carry it."""
        ...

    def transaction(self, lock: Table | None = None) -> AbstractContextManager[None]:
        """Commits when its block ends, rolls back when it raises.

        No other load is within a transaction with the same `lock`, and what it committed is seen. Raises
        InterruptedLoadError, also from the block, when the whole transaction has to be done again.
        """
        ...

    def execute(self, statement: Statement) -> None:
        """Runs one statement."""
        ...

    def fetch(self, statement: Statement) -> list[tuple[object, ...]]:
        """Runs one query and returns its rows."""
        ...

    def catalog(self, table: Table) -> dict[str, SqlType]:
        """The table's columns in order, empty when there is no such table."""
        ...

    def is_view(self, view: Table, columns: Mapping[str, SqlType]) -> bool:
        """Whether there is a view of this name that shows just these columns."""
        ...

    def analyze(self, table: Table) -> None:
        """Brings the planner's statistics of a table up to date, if that is for us to do and enough has changed."""
        ...

    def leftovers(self, relation: Relation) -> list[str]:
        """What loading the relation has left behind, which is nothing when all went well."""
        ...

    def copy(self, relation: Relation, stage: Table) -> int | None:
        """Fills a staging table, created by `ddl.create_stage`, with every part of the relation.

        Returns the number by which the warehouse knows the query, if it has such. Raises LoadError when a part is
        missing, broken, or its columns are not those of the relation in name, order and type.
        """
        ...


def number(warehouse: Warehouse, statement: Statement) -> int:
    """The one number that a query returns."""
    return cast("int", warehouse.fetch(statement)[0][0])


class LoadError(DdbAssetsError):
    """A load was refused or its numbers do not add up; nothing of it is in the warehouse."""
