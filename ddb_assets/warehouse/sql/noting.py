"""An engine that runs nothing: it notes the statements of a load, and shows tables as these statements would leave them.

Queries are answered by another engine. One about a table that a statement would create, extend or empty is asked as if that
had been done: a new column is NULL, and a new or emptied table has no rows. Rows that other statements would change are as
they are now.
"""
# ruff: noqa: S608  -- names come from quoted(), types from SqlType

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from types import TracebackType
from typing import Self

import sqlglot
from sqlglot import exp

from ddb_assets.contract.column_type import SqlType
from ddb_assets.contract.report import Relation
from ddb_assets.warehouse.errors import WarehouseError
from ddb_assets.warehouse.sql.engine import NOTHING, Keys, Layout, SqlEngine, Standing, count_by_query
from ddb_assets.warehouse.sql.statements import LoadTarget, Statement, TableName, quoted

DIALECT = "redshift"


class NotingEngine:
    """Implements `SqlEngine` over one that is open. `noted` has the statements, in order."""

    def __init__(self, engine: SqlEngine) -> None:
        self._engine = engine
        self.noted: list[Statement] = []
        self._layouts: dict[TableName, Layout] = {}
        self._emptied: set[TableName] = set()
        self._keys: dict[TableName, Keys] = {}
        self._views: dict[TableName, Standing | None] = {}
        self._schemas: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def another(self) -> None:
        """None: nothing is run side by side."""

    @property
    def default_schema(self) -> str:
        """That of the other engine."""
        return self._engine.default_schema

    @property
    def session(self) -> str:
        """That of the other engine."""
        return self._engine.session

    def transaction(self, lock: TableName | None = None) -> AbstractContextManager[None]:  # noqa: ARG002 -- no rows change
        """Nothing to commit, and nobody is kept waiting."""
        return nullcontext()

    def reading(self) -> AbstractContextManager[None]:
        """That of the other engine."""
        return self._engine.reading()

    def limited(self, seconds: float) -> AbstractContextManager[None]:
        """That of the other engine."""
        return self._engine.limited(seconds)

    # what is noted

    def execute(self, statement: Statement) -> None:
        """Notes the statement, and what it would do to tables and views."""
        self.noted.append(statement)
        tree = sqlglot.parse_one(statement.text, read=DIALECT)
        kind = str(tree.args.get("kind")).upper()
        found = tree.find(exp.Table)
        if found is None:
            return
        name = TableName(found.db or None, found.name)
        match tree:
            case exp.Create() if kind == "SCHEMA":
                self._schemas.add(found.db or found.name)
            case exp.Create() if kind == "VIEW":
                self._views[name] = Standing("view", "", statement.text)
            case exp.Create() if not self.layout(name).types:
                made = {column.name: _kind(column.kind) for column in tree.find_all(exp.ColumnDef)}
                self._layouts[name] = Layout(self._shown(made))
            case exp.Drop() if kind == "VIEW":
                self._views[name] = None
            case exp.Alter():
                for action in tree.args["actions"]:
                    self._alter(name, action)
            case exp.Delete() if not tree.args.get("where"):
                self._emptied.add(name)

    def _alter(self, name: TableName, action: exp.Expression) -> None:
        if isinstance(action, exp.AlterDistStyle | exp.AlterSortKey):
            self._keys[name] = self._with_keys(name, action)
            return
        have = self.layout(name)
        types = dict(have.types)
        match action:
            case exp.ColumnDef():
                types |= self._shown({action.name: _kind(action.kind)})
            case exp.AlterColumn():
                types |= self._shown({action.name: _kind(action.args["dtype"])})
            case exp.Drop():
                for column in action.find_all(exp.Column):
                    types.pop(column.name, None)
            case exp.RenameColumn():
                old, new = action.this.name, action.args["to"].name
                types = {new if column == old else column: kind for column, kind in types.items()}
            case _:
                raise WarehouseError(f"what a load would do to {name} is not known: {action.sql(dialect=DIALECT)}")
        self._layouts[name] = replace(have, types=types)

    def _with_keys(self, name: TableName, action: exp.Expression) -> Keys:
        """The keys without the one that is released; any other change restores what the table has."""
        have, real = self.keys(name), self._engine.keys(name)
        setting = action.this.name.upper() if isinstance(action.this, exp.Var) else ""
        if isinstance(action, exp.AlterDistStyle):
            if setting == "EVEN":
                return replace(have, style="EVEN", distkey="")
            return replace(have, style=real.style, distkey=real.distkey)
        if setting == "NONE":
            return replace(have, sortkey=(), automatic=False, interleaved=False)
        return replace(have, sortkey=real.sortkey, automatic=real.automatic)

    def _shown(self, types: Mapping[str, SqlType]) -> dict[str, SqlType]:
        return {name: self.catalog_type(kind) for name, kind in types.items()}

    # what is asked

    def fetch(self, statement: Statement) -> list[tuple[object, ...]]:
        """The answer of the other engine, to a query that sees tables as they would be."""
        if not self._layouts and not self._emptied:
            return self._engine.fetch(statement)
        tree = sqlglot.parse_one(statement.text, read=DIALECT)
        instead = [(table, rows) for table in tree.find_all(exp.Table) if (rows := self._instead(table))]
        if not instead:
            return self._engine.fetch(statement)
        for table, rows in instead:
            alias = table.alias or table.name
            derived = sqlglot.parse_one(rows, read=DIALECT)
            table.replace(exp.Subquery(this=derived, alias=exp.TableAlias(this=exp.to_identifier(alias, quoted=True))))
        return self._engine.fetch(Statement(tree.sql(dialect=DIALECT), statement.values))

    def _instead(self, table: exp.Table) -> str:
        """The query that takes the place of a table; empty for a table that stays as it is."""
        name = TableName(table.db or None, table.name)
        now, emptied = self._engine.layout(name).types, name in self._emptied
        if name not in self._layouts and not emptied:
            return ""
        then = self._layouts.get(name, Layout(now)).types
        if not emptied and then.keys() <= now.keys():
            return ""
        columns = ", ".join(
            quoted(column) if column in now else f"CAST(NULL AS {kind}) AS {quoted(column)}"
            for column, kind in then.items()
        )
        return f"SELECT {columns}{f' FROM {name}' if now else ''}{'' if now and not emptied else ' WHERE FALSE'}"

    def has_schema(self, schema: str) -> bool:
        """Whether it is there, or would be."""
        return schema in self._schemas or self._engine.has_schema(schema)

    def tables(self, schema: str, prefix: str) -> list[str]:
        """Those that are there, or would be."""
        made = {name.name for name in self._layouts if name.schema == schema and name.name.startswith(prefix)}
        return sorted({*self._engine.tables(schema, prefix), *made})

    def standing(self, name: TableName) -> Standing | None:
        """What the name stands for, or would."""
        if name in self._views:
            return self._views[name]
        return self._engine.standing(name) or (Standing("table") if name in self._layouts else None)

    def layouts(self, schema: str, names: Collection[str]) -> dict[str, Layout]:
        """The columns that these tables would have."""
        found = self._engine.layouts(schema, names)
        made = {
            name: self._layouts[TableName(schema, name)] for name in names if TableName(schema, name) in self._layouts
        }
        return {**found, **made}

    def layout(self, table: TableName) -> Layout:
        """The columns that the table would have."""
        return self.layouts(table.schema or self.default_schema, [table.name]).get(table.name, NOTHING)

    def catalog(self, table: TableName) -> dict[str, SqlType]:
        """Those of its columns that a load can fill."""
        return dict(self.layout(table).types)

    def catalog_type(self, kind: SqlType) -> SqlType:
        """That of the other engine."""
        return self._engine.catalog_type(kind)

    def keys(self, table: TableName) -> Keys:
        """How the table would be distributed and sorted."""
        return self._keys.get(table) or self._engine.keys(table)

    def views_of(self, table: TableName, column: str) -> list[tuple[TableName, str]]:
        """That of the other engine."""
        return self._engine.views_of(table, column)

    def is_view(self, view: TableName, columns: Mapping[str, SqlType]) -> bool:
        """Whether the view, as it is now, shows just these columns."""
        return view not in self._views and self._engine.is_view(view, columns)

    def counted(self, tables: Sequence[TableName]) -> dict[str, int]:
        """Counts them in one query."""
        return count_by_query(self.fetch, tables)

    def expect(
        self,
        staged: LoadTarget,
        tables: Sequence[tuple[TableName, Mapping[str, SqlType]]],
        newer_than: int | None,
    ) -> None:
        """Nothing: no rows are merged."""

    def analyze(self, table: TableName) -> None:
        """Nothing."""

    def leftovers(self, relations: Sequence[Relation]) -> list[str]:  # noqa: ARG002 -- nothing is staged
        """None."""
        return []

    def copy(self, relation: Relation, stage: TableName) -> int | None:
        """Nothing is staged where nothing is run."""
        raise WarehouseError(f"rows of {relation.name} cannot be copied to {stage} where statements are only noted")


def _kind(written: exp.Expression | None) -> SqlType:
    text = written.sql(dialect=DIALECT) if written else ""
    return SqlType.parse(text.replace(" WITH TIME ZONE", "TZ"))
