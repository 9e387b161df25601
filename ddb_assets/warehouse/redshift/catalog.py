"""Reads Redshift's catalog: schemas, tables, views, columns, keys, and which view is bound to which column.

SVV_REDSHIFT_COLUMNS shows a user only what it has a right on, PG_CLASS shows everything; so columns are read from the first,
and whether a name is taken from the second. SVV_TABLE_INFO is for superusers. Only it says that Redshift chose a sort key
itself; for users who may not read it, such a key becomes an ordinary one.
Facts: Redshift Database Developer Guide, SVV_REDSHIFT_COLUMNS, PG_CLASS_INFO, SVV_TABLE_INFO, "System catalog tables".
"""
# ruff: noqa: S608  -- only question marks are put into a statement

import re
from collections.abc import Collection, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Protocol

from ddb_assets.warehouse.redshift.errors import RefusedError
from ddb_assets.warehouse.sql.engine import Keys, Layout, Standing
from ddb_assets.warehouse.sql.statements import Statement, TableName

_CATALOG_TYPES = {
    "character varying": "VARCHAR",
    "numeric": "DECIMAL",
    "binary varying": "VARBYTE",
    "timestamp without time zone": "TIMESTAMP",
    "timestamp with time zone": "TIMESTAMPTZ",
}
_SIZED = re.compile(r"([a-z ]+?)\s*(\(.*\))?")
_STYLES = {0: "EVEN", 1: "KEY", 8: "ALL"}  # releffectivediststyle; 10 to 12 are AUTO


class Asked(Protocol):
    """A connection that answers queries."""

    def fetch(self, statement: Statement) -> list[tuple[object, ...]]:
        """The rows of a query."""
        ...


def has_schema(ask: Asked, schema: str) -> bool:
    """See `SqlEngine.has_schema`."""
    return bool(ask.fetch(Statement("SELECT 1 FROM pg_namespace WHERE nspname = ?", (schema.lower(),))))


def tables(ask: Asked, schema: str, prefix: str) -> list[str]:
    """See `SqlEngine.tables`."""
    found = ask.fetch(
        Statement(
            "SELECT relname FROM pg_class INNER JOIN pg_namespace ON pg_namespace.oid = pg_class.relnamespace "
            "WHERE nspname = ? AND relkind = 'r' AND LEFT(relname, ?) = ? ORDER BY relname",
            (schema.lower(), len(prefix), prefix),
        )
    )
    return [str(name) for (name,) in found]


def standing(ask: Asked, name: TableName, schema: str) -> Standing | None:
    """See `SqlEngine.standing`."""
    found = ask.fetch(
        Statement(
            "SELECT relkind, pg_get_userbyid(relowner), definition, pg_get_userbyid(relowner) = current_user FROM pg_class "
            "INNER JOIN pg_namespace ON pg_namespace.oid = pg_class.relnamespace "
            "LEFT JOIN pg_views ON pg_views.schemaname = pg_namespace.nspname AND pg_views.viewname = pg_class.relname "
            "WHERE nspname = ? AND relname = ?",
            (schema.lower(), name.name.lower()),
        )
    )
    if not found:
        return None
    (kind, owner, definition, ours), *_ = found
    return Standing("view" if kind in {"v", b"v"} else "table", str(owner), str(definition or ""), bool(ours))


def layouts(ask: Asked, schema: str, names: Collection[str]) -> dict[str, Layout]:
    """See `SqlEngine.layouts`."""
    named = {name.lower(): name for name in names}
    found = ask.fetch(
        Statement(
            "SELECT table_name, column_name, data_type, encoding, column_default FROM svv_redshift_columns "
            f"WHERE database_name = current_database() AND schema_name = ? AND table_name IN ({', '.join('?' * len(named))}) "
            "ORDER BY table_name, ordinal_position",
            (schema.lower(), *named),
        )
    )
    return {
        named[str(table)]: _layout([columns for _, *columns in rows]) for table, rows in groupby(found, itemgetter(0))
    }


def _layout(columns: Sequence[Sequence[object]]) -> Layout:
    """Of columns with name, type, encoding and default."""
    known = []
    for name, kind, *_ in columns:
        sized = _SIZED.fullmatch(str(kind))
        known.append((str(name), _CATALOG_TYPES.get(sized[1], sized[1]) + (sized[2] or "") if sized else str(kind)))
    encodings = {str(name): str(encoding) for name, _, encoding, _ in columns if encoding}
    return Layout.of(known, encodings, frozenset(str(name) for name, *_, default in columns if default))


def keys(ask: Asked, table: TableName, schema: str) -> Keys:
    """See `SqlEngine.keys`."""
    named = (schema.lower(), table.name.lower())
    columns = ask.fetch(
        Statement(
            "SELECT column_name, distkey, sortkey FROM svv_redshift_columns "
            "WHERE database_name = current_database() AND schema_name = ? AND table_name = ?",
            named,
        )
    )
    style = ask.fetch(
        Statement(
            "SELECT releffectivediststyle FROM pg_class_info "
            "INNER JOIN pg_namespace ON pg_namespace.oid = pg_class_info.relnamespace WHERE nspname = ? AND relname = ?",
            named,
        )
    )
    places = sorted((abs(int(str(place or 0))), str(name), int(str(place or 0)) < 0) for name, _, place in columns)
    sortkey = [(name, negative) for place, name, negative in places if place]
    return Keys(
        style=_STYLES.get(int(str(style[0][0])), "AUTO") if style else "AUTO",
        distkey=next((str(name) for name, key, _ in columns if str(key).lower() in {"true", "t", "1"}), ""),
        sortkey=tuple(name for name, _ in sortkey),
        interleaved=any(negative for _, negative in sortkey),
        automatic=bool(sortkey) and _sorted_by_redshift(ask, named),
    )


def _sorted_by_redshift(ask: Asked, named: tuple[str, str]) -> bool:
    try:
        said = ask.fetch(Statement('SELECT sortkey1 FROM svv_table_info WHERE "schema" = ? AND "table" = ?', named))
    except RefusedError:
        return False
    return bool(said) and str(said[0][0]).startswith("AUTO(")


def views_of(ask: Asked, table: TableName, column: str, schema: str) -> list[tuple[TableName, str]]:
    """See `SqlEngine.views_of`."""
    found = ask.fetch(
        Statement(
            "SELECT DISTINCT holders.nspname, views.relname, pg_get_userbyid(views.relowner) FROM pg_depend "
            "INNER JOIN pg_rewrite ON pg_rewrite.oid = pg_depend.objid "
            "INNER JOIN pg_class AS views ON views.oid = pg_rewrite.ev_class "
            "INNER JOIN pg_namespace AS holders ON holders.oid = views.relnamespace "
            "INNER JOIN pg_class AS tables ON tables.oid = pg_depend.refobjid "
            "INNER JOIN pg_namespace AS places ON places.oid = tables.relnamespace "
            "INNER JOIN pg_attribute AS columns ON columns.attrelid = tables.oid AND columns.attnum = pg_depend.refobjsubid "
            "WHERE places.nspname = ? AND tables.relname = ? AND columns.attname = ? AND views.oid <> tables.oid "
            "ORDER BY 1, 2",
            (schema.lower(), table.name.lower(), column),
        )
    )
    return [(TableName(str(place), str(name)), str(owner)) for place, name, owner in found]
