"""What is in PostgreSQL's catalog: schemas, tables, views with what they read and the rights on them, columns."""
# ruff: noqa: S608  -- the names in queries are those of this module

from abc import abstractmethod
from collections.abc import Collection, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

from ddb_assets.contract.column_type import MAX_VARBYTE, MAX_VARCHAR
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
    f"SELECT DISTINCT nspname, relname, pg_get_userbyid(relowner), "
    f"relkind = 'v' AND pg_get_userbyid(relowner) = current_user FROM {_CLASS} "
    "JOIN pg_rewrite ON ev_class = pg_class.oid JOIN pg_depend ON objid = pg_rewrite.oid "
    "JOIN pg_attribute ON attrelid = refobjid AND attnum = refobjsubid "
    "WHERE refobjid = $1::regclass AND attname = $2 AND pg_class.oid <> refobjid ORDER BY 1, 2"
)
_GIVEN = (
    "SELECT format('GRANT %s%s ON %s TO %s%s', privilege_type, {0}, $1::text, CASE grantee WHEN 0 THEN 'PUBLIC' ELSE "
    "quote_ident(pg_get_userbyid(grantee)) END, CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END) "
)
_SAID = (
    "SELECT format('ALTER VIEW %s SET (%s)', $1::text, array_to_string(reloptions, ', ')) FROM pg_class "
    "WHERE oid = to_regclass($1) AND reloptions IS NOT NULL UNION ALL "
    "SELECT format('COMMENT ON VIEW %s IS %L', $1::text, about) FROM obj_description(to_regclass($1), 'pg_class') AS about "
    f"WHERE about IS NOT NULL UNION ALL {_GIVEN.format(chr(39) * 2)} FROM pg_class, aclexplode(relacl) "
    "WHERE oid = to_regclass($1) AND grantee <> relowner UNION ALL "
    + _GIVEN.format("format(' (%I)', attname)")
    + "FROM pg_attribute, aclexplode(attacl) WHERE attrelid = to_regclass($1)"
)


class PostgresCatalog(PlainEngine):
    """Answers from the catalog. Texts and bytes have no length, so they have the largest."""

    @abstractmethod
    def ask(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Runs a statement of PostgreSQL's own, with its values."""

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
        """The views that read a column, each with its owner and whether we can create it again."""
        return [(TableName(place, name), owner, ours) for place, name, owner, ours in self.ask(_BOUND, table, column)]

    def views_of(self, table: TableName, column: str) -> list[tuple[TableName, str]]:
        """Those that we cannot create again: of other users, and materialized ones."""
        return [(view, owner) for view, owner, ours in self.bound(str(table), column) if not ours]

    def leftovers(self, relations: Sequence[Relation]) -> list[str]:  # noqa: ARG002 -- the session has them all
        """Temporary tables, which a load drops."""
        found = self.ask("SELECT relname FROM pg_class WHERE relnamespace = pg_my_temp_schema()")
        return [str(name) for (name,) in found]

    def kind_of(self, table: str, column: str) -> str:
        """The type of a column; empty if there is none."""
        query = (
            "SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = $1::regclass AND attname = $2"
        )
        return next((str(kind) for (kind,) in self.ask(query, table, column)), "")

    def made(self, view: str) -> str:
        """The statement that creates a view as it is; empty if there is none."""
        query = "SELECT pg_get_viewdef(oid) FROM pg_class WHERE oid = to_regclass($1) AND relkind = 'v'"
        return next((f"CREATE VIEW {view} AS {text}" for (text,) in self.ask(query, view)), "")

    def said_of(self, view: str) -> list[str]:
        """The statements for its options, its comment, and the rights on it and its columns, besides those of the owner."""
        return [str(statement) for (statement,) in self.ask(_SAID, view)]
