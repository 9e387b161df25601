"""Late-binding views (WITH NO SCHEMA BINDING): a statement that reads such a view gets its query in place of the view.

PostgreSQL has an empty view of this name, so that name clashes, DROP and ROLLBACK work as usual. The query is stored as
Redshift's text, so that the view survives when its tables are dropped, changed or created again.
Facts: Redshift Database Developer Guide, "CREATE VIEW"; the error for names without a schema is quoted in issues of dbt.
"""

from collections.abc import Callable, Collection, Mapping

import sqlglot
from sqlglot import exp

from ddb_assets.sandbox.redshift.backend import Backend, literal
from ddb_assets.sandbox.redshift.names import fold
from ddb_assets.sandbox.redshift.wire import ServerError


class LateViews:
    """The late-binding views for one session. `known` has the names of all that were ever made, which avoids most look-ups.

    `catalogs` has the database of every external schema: such views may read external tables, which no other view can.
    `seen` has the queries that were looked up, by the names in PostgreSQL, until somebody clears it.
    """

    def __init__(self, backend: Backend, known: set[str], catalogs: Mapping[str, str]) -> None:
        self._backend = backend
        self._known = known
        self.catalogs = catalogs
        self.seen: dict[str, str | None] = {}

    @property
    def count(self) -> int:
        """How many names of late-binding views are known. It never decreases."""
        return len(self._known)

    @property
    def visible(self) -> bool:
        """Whether queries can be looked up: not in a transaction that has failed."""
        return self._backend.status != b"E"

    def among(self, names: frozenset[str]) -> bool:
        """Whether one of these folded names is or was that of a late-binding view."""
        return not self._known.isdisjoint(names)

    def created(self, create: exp.Create, view: str) -> str:
        """The PostgreSQL statements that create the view; `view` is its name in PostgreSQL.

        Raises ServerError for a query in which a table has no schema.
        """
        if isinstance(create.this, exp.Schema):
            raise ServerError("the emulator knows no column list for a view WITH NO SCHEMA BINDING", "0A000")
        query = create.expression
        own = {fold(cte.alias) for cte in query.find_all(exp.CTE)}
        for table in query.find_all(exp.Table):
            if not table.db and fold(table.name) not in own:
                raise ServerError(
                    "All the relation names inside should be qualified when creating VIEW WITH NO SCHEMA BINDING.",
                    "0A000",
                )
        self._known.add(fold(create.this.name))
        replace = " OR REPLACE" if create.args.get("replace") else ""
        return (
            f"CREATE{replace} VIEW {view} AS SELECT NULL AS late_binding; "
            f"SELECT redshift.bind_late({literal(view)}, {literal(query.sql(dialect='redshift'))})"
        )

    def expanded(self, tree: exp.Expr, text: Callable[[exp.Table], str]) -> exp.Expr:
        """The syntax tree with every late-binding view replaced by its query, to any depth."""
        own = {fold(cte.alias) for cte in tree.find_all(exp.CTE)}
        for table in list(tree.find_all(exp.Table)) if self._known else ():
            query = None if not table.db and fold(table.name) in own else self._query(table, text)
            if query is None:
                continue
            name = (fold(table.db), fold(table.name))
            for column in tree.find_all(exp.Column):
                if column.args.get("db") and (fold(column.text("db")), fold(column.table)) == name:
                    column.set("db", None)
            parsed = self.expanded(sqlglot.parse_one(query, read="redshift"), text)
            alias = exp.TableAlias(this=exp.to_identifier(table.alias_or_name, quoted=True))
            table.replace(exp.Subquery(this=parsed, alias=alias))
        return tree

    def _query(self, table: exp.Table, text: Callable[[exp.Table], str]) -> str | None:
        if fold(table.name) not in self._known or not self.visible:
            return None
        bare = exp.Table(
            this=table.this.copy(), **{k: table.args[k].copy() for k in ("db", "catalog") if table.args.get(k)}
        )
        view = text(bare)
        self.seen |= self.queries([view])
        return self.seen[view]

    def queries(self, views: Collection[str]) -> dict[str, str | None]:
        """The queries of views by their names in PostgreSQL; None for what is no late-binding view."""
        if not views:
            return {}
        named = ", ".join(f"({literal(view)})" for view in views)
        asked = f"FROM (VALUES {named}) AS asked(name) LEFT JOIN redshift.late_views ON view = to_regclass(name)"
        found = self._backend.query(f"SELECT name, query {asked}")
        return {str(name): query for name, query in found}
