"""DDL of tables and views: columns, distribution and sort keys, and comments.

Pure text in Redshift's dialect, like `statements.py`, which has the statements on rows. `evolution.py` decides which columns a
table gets and when, `views.py` when a view is created. No PRIMARY KEY: Redshift relies on it without enforcing it.
Facts: Redshift Database Developer Guide, CREATE TABLE, CREATE VIEW, ALTER TABLE, COMMENT; "Creating a temporary staging
table": joins are local when both tables are distributed by the same key.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ddb_assets.contract.column_type import SqlType
from ddb_assets.contract.report import Column, Relation
from ddb_assets.contract.warehouse_options import WarehouseOptions
from ddb_assets.dynamodb.attribute_value import format_path
from ddb_assets.warehouse.bookkeeping import DELETED_AT, STALE_SINCE
from ddb_assets.warehouse.sql.conversion import staged
from ddb_assets.warehouse.sql.engine import Keys
from ddb_assets.warehouse.sql.statements import Statement, TableName, literal, quoted

MAX_COMMENT = 1000  # characters; an attribute's name can be 64 KB long
_HIDDEN = {"_ddb_version", "_ddb_extra", DELETED_AT, STALE_SINCE}
_BOOKKEEPING = {
    "version": "when the item was last written, in microseconds since 1970 UTC",
    "extra": "values that fitted no column, as JSON by path",
    "index": "place in the list, from 0",
}
_DISTRIBUTES = {
    "BIGINT",
    "DECIMAL",
    "VARCHAR",
}  # key types whose values spread rows; the guide does not mention VARBYTE


@dataclass(frozen=True)
class Design:
    """A table's distribution and sort keys, compression and comments; only Redshift and people use them.

    `diststyle` is KEY, EVEN, ALL or AUTO, `distkey` the column for KEY. `encode` and `comments` are by column and may name
    columns that the table does not have yet.
    """

    diststyle: str = "AUTO"
    distkey: str = ""
    sortkey: tuple[str, ...] = ()
    encode: Mapping[str, str] = field(default_factory=dict)
    comments: Mapping[str, str] = field(default_factory=dict)
    about: str = ""


def design(
    keys: Sequence[Column],
    columns: Collection[str],
    options: WarehouseOptions,
    comments: Mapping[str, str],
    about: str,
) -> Design:
    """The design of a table with these columns. All rows of an item are on one slice, in every table."""
    by_key = bool(options.diststyle == "key" and keys and SqlType.parse(keys[0].type).name in _DISTRIBUTES)
    return Design(
        diststyle="KEY" if by_key else "AUTO" if options.diststyle == "key" else options.diststyle.upper(),
        distkey=keys[0].name if by_key else "",
        sortkey=tuple(name for name in options.sortkey if name in columns),
        encode=options.encode,
        comments=comments,
        about=about,
    )


def comments(relation: Relation) -> dict[str, str]:
    """What each column of a relation's table holds: the path in DynamoDB, of a child's own columns from the item on."""
    found = {
        DELETED_AT: "when the item was deleted, UTC; NULL while it is there",
        STALE_SINCE: "since when the row may be older than the item, which could not be read, UTC; NULL for other rows",
    }
    for column in relation.columns:
        within = (*relation.path, None) if relation.path and column.role == "value" else ()
        found[column.name] = _BOOKKEEPING.get(column.role) or format_path((*within, *column.path))
    return found


def create_schema(schema: str) -> Statement:
    """Creates the schema. Needs CREATE on the database even if the schema exists, so check that first."""
    return Statement(f"CREATE SCHEMA IF NOT EXISTS {quoted(schema)}")


def create_table(table: TableName, types: Mapping[str, SqlType], design: Design) -> list[Statement]:
    """Creates the table, if it does not exist, with its comments.

    Every column is nullable, because Redshift cannot drop NOT NULL.
    """
    columns = ", ".join(column(name, kind, design) for name, kind in types.items())
    sorted_by = f" COMPOUND SORTKEY ({', '.join(map(quoted, design.sortkey))})" if design.sortkey else ""
    made = Statement(f"CREATE TABLE IF NOT EXISTS {table} ({columns}) {_distribution(design)}{sorted_by}")
    about = [Statement(f"COMMENT ON TABLE {table} IS {_text(design.about)}")] if design.about else []
    return [made, *about, *describe(table, types, design)]


def describe(table: TableName, columns: Collection[str], design: Design) -> list[Statement]:
    """The comments on these columns."""
    return [
        Statement(f"COMMENT ON COLUMN {table}.{quoted(name)} IS {_text(design.comments[name])}")
        for name in columns
        if name in design.comments
    ]


def column(name: str, kind: SqlType, design: Design) -> str:
    """A column's definition."""
    encoding = f" ENCODE {design.encode[name]}" if name in design.encode else ""
    return f"{quoted(name)} {kind}{encoding}"


def released(table: TableName, column: str, keys: Keys) -> list[Statement]:
    """Removes the keys that a column belongs to, because Redshift cannot drop the column of a key.

    EVEN, as AUTO keeps the key of a table that has one (Redshift, "Enabling automatic table optimization").
    """
    found = []
    if column == keys.distkey:
        found.append(Statement(f"ALTER TABLE {table} ALTER DISTSTYLE EVEN"))
    if column in keys.sortkey:
        found.append(Statement(f"ALTER TABLE {table} ALTER SORTKEY NONE"))
    return found


def restored(table: TableName, keys: Keys, now: Keys) -> list[Statement]:
    """Restores the keys of a table that now has `now`. AUTO comes last, as it keeps the keys."""
    found = []
    if keys.distkey != now.distkey and keys.distkey:
        found.append(Statement(f"ALTER TABLE {table} ALTER DISTSTYLE KEY DISTKEY {quoted(keys.distkey)}"))
    if keys.style == "AUTO" and (found or now.style != "AUTO"):
        found.append(Statement(f"ALTER TABLE {table} ALTER DISTSTYLE AUTO"))
    if keys.sortkey != now.sortkey and keys.sortkey:
        names = ", ".join(map(quoted, keys.sortkey))
        found.append(Statement(f"ALTER TABLE {table} ALTER COMPOUND SORTKEY ({names})"))
        if keys.automatic:
            found.append(Statement(f"ALTER TABLE {table} ALTER SORTKEY AUTO"))
    return found


def create_stage(relation: Relation, stage: TableName, as_bytes: Mapping[str, int] | None = None) -> Statement:
    """A temporary table with the relation's columns in the order and types of its Parquet files.

    JSON is text there, or VARBYTE of that size in the columns of `as_bytes`; JSON_PARSE takes both. The rows are distributed
    like those of the tables.
    """
    types = {c.name: staged(SqlType.parse(c.type)) for c in relation.columns}
    types |= {name: SqlType("VARBYTE", size) for name, size in (as_bytes or {}).items()}
    columns = ", ".join(f"{quoted(name)} {kind}" for name, kind in types.items())
    placement = _distribution(design(relation.keys, types, WarehouseOptions(), {}, ""))
    return Statement(f"CREATE TEMP TABLE {stage} ({columns}) {placement}")


def shown(types: Mapping[str, SqlType]) -> dict[str, SqlType]:
    """The columns of a table that its view shows: no bookkeeping columns except the place in a list."""
    return {name: kind for name, kind in types.items() if name not in _HIDDEN}


@dataclass(frozen=True)
class Rows:
    """Where the rows of a view are: a table, and the condition that it shows a row; all rows without one."""

    table: TableName
    conditions: tuple[str, ...] = ()

    def select(self, columns: Collection[str]) -> str:
        """The query for these columns."""
        where = f" WHERE {' AND '.join(self.conditions)}" if self.conditions else ""
        names = ", ".join(map(self.table.column, columns))
        return f"SELECT {names} FROM {self.table}{where}"  # noqa: S608


@dataclass(frozen=True)
class Known:
    """What is known of every key: the root's rows and its deletes."""

    root: TableName
    tombstones: TableName

    def says_otherwise(self, table: TableName, keys: Sequence[str], version: str, than: str) -> tuple[str, ...]:
        """The conditions that neither has a version `than` (> or >=) that of a row."""
        # guard: deletes hide rows
        known = (self.root, self.tombstones)
        return tuple(
            f"NOT EXISTS (SELECT 1 FROM {other} WHERE "  # noqa: S608
            + " AND ".join(f"{other.column(key)} = {table.column(key)}" for key in keys)
            + f" AND {other.column(version)} {than} {table.column(version)})"
            for other in known
        )


class Selected(Protocol):
    """Rows of a view."""

    def select(self, columns: Collection[str]) -> str:
        """The query for these columns."""
        ...


def live(types: Mapping[str, SqlType], table: TableName) -> Rows:
    """The rows of a table whose items are not deleted."""
    return Rows(table, (f"{table.column(DELETED_AT)} IS NULL",) if DELETED_AT in types else ())


def create_view(view: TableName, columns: Collection[str], rows: Sequence[Selected]) -> Statement:
    """Creates or replaces the view of these rows.

    Late-binding, so that the tables can still be changed. Replaced, not dropped and created, so that the view always exists
    and readers keep their rights on it.
    """
    selects = " UNION ALL ".join(one.select(columns) for one in rows)
    return Statement(f"CREATE OR REPLACE VIEW {view} AS {selects} WITH NO SCHEMA BINDING")


def create_bound_view(view: TableName, query: str) -> Statement:
    """Creates or replaces a view of a query that is read now, and never again by the settings of another session."""
    return Statement(f"CREATE OR REPLACE VIEW {view} AS {query}")


def drop_view(view: TableName) -> Statement:
    """For a view that cannot be replaced."""
    return Statement(f"DROP VIEW IF EXISTS {view}")


def _distribution(design: Design) -> str:
    return f"DISTSTYLE {design.diststyle}" + (f" DISTKEY ({quoted(design.distkey)})" if design.distkey else "")


def _text(comment: str) -> str:
    # guard: comments of 1,000 characters
    return literal(comment[:MAX_COMMENT])
