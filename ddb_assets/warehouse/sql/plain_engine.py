"""What most engines do in the same way: an engine inherits it, and writes itself what it does otherwise."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext

from ddb_assets.contract.column_type import MAX_VARBYTE, MAX_VARCHAR, SqlType
from ddb_assets.warehouse.sql.engine import NOTHING, Keys, Layout, count_by_query
from ddb_assets.warehouse.sql.statements import LoadTarget, Statement, TableName


class PlainEngine(ABC):
    """For an engine that needs no preparation to change rows, distributes none, and keeps no length of texts and bytes."""

    @property
    @abstractmethod
    def default_schema(self) -> str:
        """See `SqlEngine`."""

    @abstractmethod
    def fetch(self, statement: Statement) -> list[tuple[object, ...]]:
        """See `SqlEngine`."""

    @abstractmethod
    def layouts(self, schema: str, names: Collection[str]) -> dict[str, Layout]:
        """See `SqlEngine`."""

    def reading(self) -> AbstractContextManager[None]:
        """Every query sees what is committed when it begins."""
        return nullcontext()

    def layout(self, table: TableName) -> Layout:
        """The table's columns."""
        return self.layouts(table.schema or self.default_schema, [table.name]).get(table.name, NOTHING)

    def catalog(self, table: TableName) -> dict[str, SqlType]:
        """The table's columns of types that loads make."""
        return dict(self.layout(table).types)

    def catalog_type(self, kind: SqlType) -> SqlType:
        """The same, with the largest size for texts and bytes."""
        sizes = {"VARCHAR": MAX_VARCHAR, "VARBYTE": MAX_VARBYTE}
        return SqlType(kind.name, sizes[kind.name]) if kind.name in sizes else kind

    def keys(self, table: TableName) -> Keys:  # noqa: ARG002 -- rows lie as they come
        """No keys."""
        return Keys()

    def is_view(self, view: TableName, columns: Mapping[str, SqlType]) -> bool:
        """Whether the view shows these columns in these types."""
        return self.catalog(view) == {name: self.catalog_type(kind) for name, kind in columns.items()}

    def counted(self, tables: Sequence[TableName]) -> dict[str, int]:
        """Counts them in one query."""
        return count_by_query(self.fetch, tables)

    def expect(  # noqa: B027 -- to do nothing is what most engines do
        self, staged: LoadTarget, tables: Sequence[tuple[TableName, Mapping[str, SqlType]]], newer_than: int | None
    ) -> None:
        """Nothing: statements find all rows."""
