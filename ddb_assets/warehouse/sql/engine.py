"""What a database must be able to do for the loads of this room, which are SQL statements in one transaction.

The load (`load.py`) is a sequence of statements in Redshift's dialect; a `SqlEngine` runs them. The engines (`duckdb/`,
`redshift/`) know which dialect the server speaks, how it reads Parquet and how two loads are kept apart.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal, Protocol, Self, cast

from ddb_assets.contract.column_type import SqlType
from ddb_assets.contract.report import Relation
from ddb_assets.warehouse.sql.statements import LoadTarget, Statement, TableName, count_each

NONE: Mapping[str, str] = {}


@dataclass(frozen=True)
class Keys:
    """How the rows of a table are distributed and sorted, as the catalog says; nothing for DuckDB.

    `style` is KEY, EVEN, ALL or AUTO, which may have a `distkey` too. `automatic`: Redshift may change the sort key.
    """

    style: str = "AUTO"
    distkey: str = ""
    sortkey: tuple[str, ...] = ()
    interleaved: bool = False
    automatic: bool = False

    def __contains__(self, column: object) -> bool:
        return column == self.distkey or column in self.sortkey


@dataclass(frozen=True)
class Layout:
    """The columns of a table as the catalog has them, in order.

    `types` are those that a load can fill; `foreign` are the others, which somebody else has added, with their type as the
    catalog names it. `encodings` has the compression by column, `defaults` the columns with a default.
    """

    types: Mapping[str, SqlType]
    foreign: Mapping[str, str] = field(default_factory=dict)
    encodings: Mapping[str, str] = field(default_factory=dict)
    defaults: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls,
        columns: Iterable[tuple[str, str]],
        encodings: Mapping[str, str] = NONE,
        defaults: frozenset[str] = frozenset(),
    ) -> Self:
        """Of columns with name and type as loads write it; a type that none of them uses is foreign."""
        types: dict[str, SqlType] = {}
        foreign: dict[str, str] = {}
        for name, kind in columns:
            try:
                types[name] = SqlType.parse(kind)
            except ValueError:
                foreign[name] = kind
        return cls(types, foreign, encodings, defaults)


NOTHING = Layout({})


@dataclass(frozen=True)
class Standing:
    """What a name in a schema stands for: a table or a view, its owner, whether that is us, and a view's text."""

    kind: Literal["table", "view"]
    owner: str = ""
    definition: str = ""
    ours: bool = True


class SqlEngine(Protocol):
    """A connection to one database, open while it is entered as a context manager, and used by one load at a time.

    Outside `transaction()` every statement commits by itself, because some DDL cannot run in a transaction.
    """

    def __enter__(self) -> Self:
        """Connects."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes the connection."""
        ...

    def another(self) -> "SqlEngine | None":
        """A second connection to the same database, to be entered; None where there can be only one."""
        ...

    @property
    def default_schema(self) -> str:
        """The schema that tables go to when none is named."""
        ...

    @property
    def session(self) -> str:
        """A short name for staging tables and folders, unique among connections that could see the same ones."""
        ...

    def transaction(self, lock: TableName | None = None) -> AbstractContextManager[None]:
        """Commits when its block ends, rolls back when it raises.

        Only one load at a time is within a transaction with the same `lock`, and sees what the one before committed. Raises
        InterruptedLoadError, also from the block, when the whole transaction must be repeated.
        """
        ...

    def reading(self) -> AbstractContextManager[None]:
        """Within its block, queries need not see what others commit meanwhile. Nothing is changed in it."""
        ...

    def limited(self, seconds: float) -> AbstractContextManager[None]:
        """Within its block, a statement that takes longer, as when it waits for a lock, is a WarehouseError."""
        ...

    def execute(self, statement: Statement) -> None:
        """Runs one statement."""
        ...

    def fetch(self, statement: Statement) -> list[tuple[object, ...]]:
        """Runs one query and returns its rows."""
        ...

    def has_schema(self, schema: str) -> bool:
        """Whether there is a schema of this name, even if we have no rights in it."""
        ...

    def tables(self, schema: str, prefix: str) -> list[str]:
        """The names of the schema's tables that begin like this."""
        ...

    def standing(self, name: TableName) -> Standing | None:
        """What the name stands for, even if we may not read it; None if it is free."""
        ...

    def layouts(self, schema: str, names: Collection[str]) -> dict[str, Layout]:
        """The columns of the tables with these names; only of those that exist."""
        ...

    def layout(self, table: TableName) -> Layout:
        """The table's columns, none when there is no such table."""
        ...

    def catalog(self, table: TableName) -> dict[str, SqlType]:
        """Those of its columns that a load can fill, in order."""
        ...

    def catalog_type(self, kind: SqlType) -> SqlType:
        """What the catalog will say of a column that is created with this type."""
        ...

    def keys(self, table: TableName) -> Keys:
        """How the table is distributed and sorted."""
        ...

    def views_of(self, table: TableName, column: str) -> list[tuple[TableName, str]]:
        """The views that are bound to a column, with their owners: as long as they exist it cannot be changed."""
        ...

    def is_view(self, view: TableName, columns: Mapping[str, SqlType]) -> bool:
        """Whether there is a view of this name that shows just these columns."""
        ...

    def counted(self, tables: Sequence[TableName]) -> dict[str, int]:
        """How many rows each table has, by its name, in the order of `tables`."""
        ...

    def expect(
        self,
        staged: LoadTarget,
        tables: Sequence[tuple[TableName, Mapping[str, SqlType]]],
        newer_than: int | None,
    ) -> None:
        """Says which rows of these tables the statements concern that follow in this transaction.

        Only rows with a staged key; with `newer_than` only rows of a later version, and all others are deleted. An engine
        that has all rows at hand does nothing.
        """
        ...

    def analyze(self, table: TableName) -> None:
        """Updates the planner's statistics of a table, if the warehouse needs that and enough has changed."""
        ...

    def leftovers(self, relations: Sequence[Relation]) -> list[str]:
        """What loading the relations has left behind; nothing when all went well."""
        ...

    def copy(self, relation: Relation, stage: TableName) -> int | None:
        """Fills a staging table, created by `ddl.create_stage`, with every part of the relation.

        Returns the query's number in the warehouse, if there is one. Raises LoadError when a part is
        missing, broken, or its columns are not those of the relation in name, order and type.
        """
        ...


def number(engine: SqlEngine, statement: Statement) -> int:
    """The one number that a query returns."""
    return cast("int", engine.fetch(statement)[0][0])


def count_by_query(
    fetch: Callable[[Statement], list[tuple[object, ...]]], tables: Sequence[TableName]
) -> dict[str, int]:
    """How many rows each table has, by its name, in the order of `tables`: UNION ALL gives its rows in any order."""
    found = cast("list[tuple[int, int]]", fetch(count_each(tables)) if tables else [])
    return {tables[place].name: rows for place, rows in sorted(found)}
