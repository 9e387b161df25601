"""What is in PostgreSQL's catalog: schemas, tables, views with what they read and the rights on them, columns."""
# ruff: noqa: S608  -- the names in queries are those of this module

from collections.abc import Collection, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

from ddb_assets.contract.column_type import MAX_VARBYTE, MAX_VARCHAR, SqlType
from ddb_assets.contract.report import Relation
from ddb_assets.warehouse.sql.engine import Layout, Standing
from ddb_assets.warehouse.sql.plain_engine import PlainEngine
from ddb_assets.warehouse.sql.statements import TableName

_TYPES = {
    "text": f"VARCHAR({MAX_VARCHAR})",
    "bytea": f"VARBYTE({MAX_VARBYTE})",
    "json": "SUPER",
    "timestamp without time zone": "TIMESTAMP",
    "timestamp with time zone": "TIMESTAMPTZ",
}


def _known(kind: str) -> str:
    return _TYPES.get(kind, kind.replace("numeric", "DECIMAL").upper())


_CLASS = "pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace"
_READS = (
    "SELECT DISTINCT format('%s.%s', places.nspname, read.relname) FROM pg_rewrite JOIN pg_depend ON objid = pg_rewrite.oid "
    "JOIN pg_class AS read ON read.oid = refobjid JOIN pg_namespace AS places ON places.oid = read.relnamespace "
    "WHERE ev_class = pg_class.oid"
)
_BOUND = (
    f"SELECT DISTINCT nspname, relname, pg_get_userbyid(relowner), pg_has_role(relowner, 'USAGE') FROM {_CLASS} "
    "JOIN pg_rewrite ON ev_class = pg_class.oid JOIN pg_depend ON objid = pg_rewrite.oid "
    "JOIN pg_attribute ON attrelid = refobjid AND attnum = refobjsubid "
    "WHERE refobjid = $1::regclass AND attname = $2 AND pg_class.oid <> refobjid ORDER BY 1, 2"
)


class PostgresCatalog(PlainEngine):
    """Answers from the catalog. Texts and bytes have no length, so they have the largest."""

    def ask(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Runs a statement of PostgreSQL's own, with its values."""
        raise NotImplementedError

    def has_schema(self, schema: str) -> bool:
        """Whether the database has this schema."""
        return bool(self.ask("SELECT 1 FROM pg_namespace WHERE nspname = $1", schema))

    def tables(self, schema: str, prefix: str) -> list[str]:
        """The schema's tables whose names begin with the prefix."""
        query = (
            f"SELECT relname FROM {_CLASS} WHERE nspname = $1 AND relkind IN ('r', 'p') AND starts_with(relname, $2)"
        )
        return sorted(str(name) for (name,) in self.ask(query, schema, prefix))

    def standing(self, name: TableName) -> Standing | None:
        """What the name stands for. A view's text ends with the names of what it reads, as it has these without a schema."""
        query = (
            f"SELECT relkind, pg_get_userbyid(relowner), pg_has_role(relowner, 'USAGE'), pg_get_viewdef(pg_class.oid), "
            f"ARRAY({_READS}) FROM {_CLASS} WHERE nspname = $1 AND relname = $2"
        )
        for kind, owner, ours, text, reads in self.ask(query, name.schema or self.default_schema, name.name):
            is_view = kind in {"v", "m"}
            return Standing("view" if is_view else "table", owner, " ".join([text, *reads]) if is_view else "", ours)
        return None

    def layouts(self, schema: str, names: Collection[str]) -> dict[str, Layout]:
        """The columns of these tables and views."""
        query = (
            f"SELECT relname, attname, format_type(atttypid, atttypmod) FROM {_CLASS} "
            "JOIN pg_attribute ON attrelid = pg_class.oid WHERE nspname = $1 AND relname = ANY($2) AND attnum > 0 "
            "AND NOT attisdropped AND relkind IN ('r', 'p', 'v') ORDER BY relname, attnum"
        )
        found = groupby(self.ask(query, schema, list(names)), itemgetter(0))
        return {table: Layout.of([(name, _known(kind)) for _, name, kind in columns]) for table, columns in found}

    def bound(self, table: str, column: str) -> list[tuple[TableName, str, bool]]:
        """The views that read a column, each with its owner and whether that is us."""
        return [(TableName(place, name), owner, ours) for place, name, owner, ours in self.ask(_BOUND, table, column)]

    def views_of(self, table: TableName, column: str) -> list[tuple[TableName, str]]:
        """Those of other users, which we cannot create again."""
        return [(view, owner) for view, owner, ours in self.bound(str(table), column) if not ours]

    def is_view(self, view: TableName, columns: Mapping[str, SqlType]) -> bool:
        """Whether the view shows these columns in these types."""
        return self.catalog(view) == {name: self.catalog_type(kind) for name, kind in columns.items()}

    def leftovers(self, relations: Sequence[Relation]) -> list[str]:  # noqa: ARG002 -- the session has them all
        """Temporary tables, which a load drops."""
        found = self.ask("SELECT relname FROM pg_class WHERE relnamespace = pg_my_temp_schema()")
        return [str(name) for (name,) in found]

    def granted(self, view: str) -> list[str]:
        """The statements that give the rights on a view to those who have them, besides the owner."""
        query = (
            "SELECT format('GRANT %s ON %s TO %s%s', privilege_type, $1::text, CASE grantee WHEN 0 THEN 'PUBLIC' ELSE "
            "quote_ident(pg_get_userbyid(grantee)) END, CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END) "
            "FROM pg_class, aclexplode(relacl) WHERE oid = to_regclass($1) AND grantee <> relowner"
        )
        return [str(statement) for (statement,) in self.ask(query, view)]
