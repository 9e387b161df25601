"""All statements on rows in Redshift's dialect, except those of the ledger and of soft delete.

Pure: no connection, no order of steps (`load.py`), no DDL (`ddl.py`, `evolution.py`). Names go into a statement through
`quoted`, values as `?`; types are parsed before they are printed. Columns are qualified by the name of their table, never
by an alias, because Redshift takes no alias for the table of a DELETE. TRUNCATE is not used, as it commits.
"""
# ruff: noqa: S608  -- names come from quoted(), types from SqlType, values are bound

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ddb_assets.contract.column_type import SqlType
from ddb_assets.contract.report import Column, Relation
from ddb_assets.errors import DdbAssetsError
from ddb_assets.warehouse.bookkeeping import DELETED_AT, history_name, live_name, whole_name
from ddb_assets.warehouse.sql.conversion import converted, staged

TAIL = "_ddb_tail__"
VERSIONS = "_ddb_versions__"
COLD = "_ddb_cold__"
SETTLED = "_ddb_settled__"
MAX_NAME = 127  # bytes; Redshift cuts longer names silently (Redshift, "Names and identifiers")


class IdentifierError(DdbAssetsError):
    """A name cannot be the name of a table or column."""


def quoted(name: str) -> str:
    """The name as a quoted identifier. Raises IdentifierError when it is empty, over 127 bytes or holds a NUL."""
    # guard: names of 127 bytes
    if not name or "\0" in name or len(name.encode()) > MAX_NAME:
        raise IdentifierError(f"{name!r} cannot name a table or column: 1 to {MAX_NAME} bytes without NUL; rename it")
    # guard: names are quoted
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """The text as a string constant, for what cannot be a bound value (COPY, SET)."""
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


@dataclass(frozen=True)
class TableName:
    """A table, or a temporary one when it has no schema (Redshift: a temporary table cannot be given one)."""

    schema: str | None
    name: str

    def __str__(self) -> str:
        return f"{quoted(self.schema)}.{quoted(self.name)}" if self.schema is not None else quoted(self.name)

    def column(self, name: str) -> str:
        """A reference to one of its columns."""
        return f"{quoted(self.name)}.{quoted(name)}"


@dataclass(frozen=True)
class Statement:
    """SQL text in Redshift's dialect and the values of its `?`."""

    text: str
    values: tuple[object, ...] = ()


@dataclass(frozen=True)
class LoadTarget:
    """A table to load into, its columns in the catalog, and the staging table of its relation."""

    table: TableName
    types: Mapping[str, SqlType]
    relation: Relation
    stage: TableName

    def staged(self, column: Column) -> str:
        """The staged column as a value of the target column's type."""
        if column.empty:
            return f"CAST(NULL AS {self.types[column.name]})"
        return self._staged(column, self.types[column.name])

    def matches(self, other: TableName, types: Mapping[str, SqlType]) -> str:
        """The condition that a row of another table has the staged row's key.

        The table of a DynamoDB table without items has no known key columns, and nothing staged.
        """
        pairs = [f"{other.column(key.name)} = {self._staged(key, types[key.name])}" for key in self.relation.keys]
        return " AND ".join(pairs) or "FALSE"

    def _staged(self, column: Column, target: SqlType) -> str:
        reference, source = self.stage.column(column.name), SqlType.parse(column.type)
        if source.name == target.name == "SUPER":
            return f"JSON_PARSE({reference})"
        return converted(reference, staged(source), target)


def tombstones(root: TableName) -> TableName:
    """The table of a root relation's deletes: its keys and the version of the delete."""
    return TableName(root.schema, f"_ddb_tombstones__{root.name}")


def unread(root: TableName) -> TableName:
    """The table of items that exports had but that could not be read: keys, the time of the write, and the export."""
    return TableName(root.schema, f"_ddb_unread__{root.name}")


def hidden_paths(root: TableName) -> TableName:
    """The table of the paths that are hidden in a root relation's tables."""
    return TableName(root.schema, f"_ddb_hidden__{root.name}")


def tail(table: TableName) -> TableName:
    """The tail of a relation's table: what a stream said since the time that exports cover."""
    return TableName(table.schema, f"{TAIL}{table.name}")


def live(table: TableName) -> TableName:
    """The view of a relation's table and its tail as one."""
    return TableName(table.schema, live_name(table.name))


def versions(table: TableName) -> TableName:
    """The table of the versions of a relation's rows."""
    return TableName(table.schema, f"{VERSIONS}{table.name}")


def history_sources(root: TableName) -> TableName:
    """The table of the exports that a root relation's versions come from."""
    return TableName(root.schema, f"_ddb_history__{root.name}")


def history(table: TableName, schema: str = "") -> TableName:
    """The view of a relation's versions, in the table's schema or another one."""
    return TableName(schema or table.schema, history_name(table.name))


def streams(root: TableName) -> TableName:
    """The table of the positions to which the streams of a root relation have been read."""
    return TableName(root.schema, f"_ddb_stream__{root.name}")


def settled(root: TableName) -> TableName:
    """The table with the settled time of a table whose stream the warehouse reads itself."""
    return TableName(root.schema, f"{SETTLED}{root.name}")


def cold(root: TableName) -> TableName:
    """The table of the keys of a root relation's cold items: which version of each is in the cold tier."""
    return TableName(root.schema, f"{COLD}{root.name}")


def moves(root: TableName) -> TableName:
    """The table of the moves of a root relation's rows to the cold tier."""
    return TableName(root.schema, f"_ddb_moves__{root.name}")


def cold_gone(root: TableName) -> TableName:
    """The table of the cold rows that are superseded and not taken away yet."""
    return TableName(root.schema, f"_ddb_cold_gone__{root.name}")


def cold_fields(root: TableName) -> TableName:
    """The table that says which field of an Iceberg table has the values of which column."""
    return TableName(root.schema, f"_ddb_cold_fields__{root.name}")


def whole(table: TableName) -> TableName:
    """The view of a relation's table and its cold rows as one."""
    return TableName(table.schema, whole_name(table.name))


def drop(table: TableName) -> Statement:
    """Drops a staging table."""
    return Statement(f"DROP TABLE {table}")


def timestamp(version: str) -> str:
    """A version as a TIMESTAMP. DOUBLE PRECISION has microseconds exactly until the year 2255."""
    return f"TIMESTAMP '1970-01-01 00:00:00' + CAST({version} AS DOUBLE PRECISION) * INTERVAL '1 microsecond'"


def count(table: TableName, *conditions: str) -> Statement:
    """How many rows there are."""
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    return Statement(f"SELECT COUNT(*) FROM {table}{where}")


def count_each(tables: Sequence[TableName]) -> Statement:
    """How many rows there are in each table, by its place among them."""
    return Statement(" UNION ALL ".join(f"SELECT {place}, COUNT(*) FROM {table}" for place, table in enumerate(tables)))


def count_staged(stage: TableName, condition: str) -> Statement:
    """How many staged rows there are, and how many of them meet the condition."""
    return Statement(f"SELECT COUNT(*), COUNT(CASE WHEN {condition} THEN 1 END) FROM {stage}")


def is_deleted(root: LoadTarget) -> str:
    """The condition that a staged row is a delete."""
    deleted = [root.stage.column(c.name) for c in root.relation.columns if c.role == "deleted"]
    return deleted[0] if deleted else "FALSE"


def lacks_any(stage: TableName, columns: Iterable[Column]) -> str:
    """The condition that a staged row has no value in one of these columns."""
    return " OR ".join(f"{stage.column(c.name)} IS NULL" for c in columns)


def count_deletes(root: LoadTarget) -> Statement:
    """How many staged rows are deletes."""
    return count(root.stage, is_deleted(root))


def duplicate(stage: TableName, columns: Sequence[Column]) -> Statement:
    """The first combination of these columns that more than one staged row has."""
    names = ", ".join(quoted(c.name) for c in columns)
    return Statement(f"SELECT {names} FROM {stage} GROUP BY {names} HAVING COUNT(*) > 1 ORDER BY {names} LIMIT 1")


def count_orphans(child: LoadTarget, root: LoadTarget) -> Statement:
    """How many staged child rows have no staged item that is not deleted."""
    return count(
        child.stage,
        f"NOT EXISTS (SELECT 1 FROM {root.stage} WHERE {_same_item(child, root)}{_and_not_deleted(root)})",
    )


def count_other_versions(stage: TableName, version: Column, expected: int) -> Statement:
    """How many staged rows have another version than the one expected."""
    return Statement(f"SELECT COUNT(*) FROM {stage} WHERE {stage.column(version.name)} <> ?", (expected,))


def count_loaded(root: LoadTarget) -> Statement:
    """How many rows of the target have the key of a staged item, without kept rows of deleted items."""
    live = f" WHERE {root.table.column(DELETED_AT)} IS NULL" if DELETED_AT in root.types else ""
    return Statement(
        f"SELECT COUNT(*) FROM {root.table} INNER JOIN {root.stage} ON {root.matches(root.table, root.types)}{live}"
    )


def drop_stale_before(root: LoadTarget, version: int) -> Statement:
    """Removes rows older than `version` from the staging table."""
    column = root.stage.column(root.relation.column("version").name)
    return Statement(f"DELETE FROM {root.stage} WHERE {column} < ?", (version,))


def drop_stale(root: LoadTarget, other: TableName, types: Mapping[str, SqlType]) -> Statement:
    """Removes staged rows for which `other` (target or tombstones) has a newer version."""
    version = root.relation.column("version").name
    newer = f"{other.column(version)} > {root.stage.column(version)}"
    return Statement(f"DELETE FROM {root.stage} USING {other} WHERE {root.matches(other, types)} AND {newer}")


def delete_staged(root: LoadTarget, other: TableName, types: Mapping[str, SqlType]) -> Statement:
    """Deletes the rows of `other` (root, child or tombstones) that belong to a staged item."""
    return Statement(f"DELETE FROM {other} USING {root.stage} WHERE {root.matches(other, types)}")


def delete_all(table: TableName) -> Statement:
    """Deletes every row; TRUNCATE would commit the transaction."""
    return Statement(f"DELETE FROM {table}")


def delete_until(table: TableName, version: str, until: int) -> Statement:
    """Deletes rows whose version is `until` or older."""
    return Statement(f"DELETE FROM {table} WHERE {table.column(version)} <= ?", (until,))


def delete_kept(table: TableName) -> Statement:
    """Deletes the kept rows of deleted items."""
    return Statement(f"DELETE FROM {table} WHERE {table.column(DELETED_AT)} IS NOT NULL")


def count_until(table: TableName, version: str, until: int) -> Statement:
    """How many rows have the version `until` or an older one."""
    return Statement(f"SELECT COUNT(*) FROM {table} WHERE {table.column(version)} <= ?", (until,))


def insert_root(root: LoadTarget) -> Statement:
    """Inserts the staged items that are not deletes."""
    columns = [c for c in root.relation.columns if c.is_stored]
    conditions = _and_not_deleted(root).removeprefix(" AND ")
    return Statement(_insert(root, columns) + (f" WHERE {conditions}" if conditions else ""))


def insert_children(child: LoadTarget, root: LoadTarget) -> Statement:
    """Inserts the staged rows of a child relation whose item is still staged."""
    join = f" INNER JOIN {root.stage} ON {_same_item(child, root)}{_and_not_deleted(root)}"
    return Statement(_insert(child, child.relation.columns) + join)


def insert_tombstones(root: LoadTarget, table: TableName, types: Mapping[str, SqlType]) -> Statement:
    """Records the staged deletes."""
    stone = LoadTarget(table, types, root.relation, root.stage)
    columns = [*root.relation.keys, root.relation.column("version")]
    deleted = root.stage.column(root.relation.column("deleted").name)
    return Statement(f"{_insert(stone, columns)} WHERE {deleted}")


def _insert(target: LoadTarget, columns: Sequence[Column]) -> str:
    names = ", ".join(quoted(c.name) for c in columns)
    return f"INSERT INTO {target.table} ({names}) SELECT {', '.join(map(target.staged, columns))} FROM {target.stage}"


def _same_item(child: LoadTarget, root: LoadTarget) -> str:
    """Same key and same version."""
    child_columns = (*child.relation.keys, child.relation.column("version"))
    pairs = zip(child_columns, (*root.relation.keys, root.relation.column("version")), strict=True)
    return " AND ".join(f"{child.stage.column(c.name)} = {root.stage.column(r.name)}" for c, r in pairs)


def _and_not_deleted(root: LoadTarget) -> str:
    deleted = [c for c in root.relation.columns if c.role == "deleted"]
    return "".join(f" AND NOT {root.stage.column(c.name)}" for c in deleted)
