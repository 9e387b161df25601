"""The rows of a table on their way from Iceberg into DuckDB, and back: as streams, in batches."""
# ruff: noqa: S608  -- names come from quoted()

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from ddb_assets.contract.column_type import SqlType
from ddb_assets.warehouse.duckdb.dialect import to_duckdb
from ddb_assets.warehouse.errors import LoadError
from ddb_assets.warehouse.iceberg.held import Held
from ddb_assets.warehouse.iceberg.store import BUCKET
from ddb_assets.warehouse.sql.statements import LoadTarget, quoted

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

BATCH_ROWS = 65_536
_READER = "_ddb_rows"


def fill(connection: "duckdb.DuckDBPyConnection", held: Held, types: Mapping[str, SqlType]) -> None:
    """Copies the rows of the scope from the table's snapshot into the table in DuckDB, which has these columns."""
    held.rows = 0
    if held.table is None or held.base is None:
        return
    check_whole(held)
    stored = {field.name for field in held.table.schema().fields} - {BUCKET}
    columns = [name for name in types if name in stored]
    names = ", ".join(map(quoted, columns))
    connection.register(_READER, held.table.scan(held.scope.rows, tuple(columns)).to_arrow_batch_reader())
    connection.execute(f"INSERT INTO {held.name} ({names}) SELECT {names} FROM {_READER}")
    row = connection.fetchone()
    connection.unregister(_READER)
    held.rows = row[0] if row else 0
    # guard: rows that a full export replaces unseen
    if held.scope.newer_than and held.rows < held.stored:
        held.changed = True  # the others are deleted


def rows_of(
    connection: "duckdb.DuckDBPyConnection", held: Held, types: Mapping[str, SqlType], buckets: int
) -> "Iterator[pa.RecordBatch]":
    """The rows of a table in DuckDB as they are to be written; in the order of their buckets, if there are any."""
    columns = [
        f"CAST({quoted(name)} AS VARCHAR) AS {quoted(name)}" if kind.name == "SUPER" else quoted(name)
        for name, kind in types.items()
    ]
    order = ""
    if buckets > 1 or held.buckets > 1:
        keys = [held.name.column(name) for name in held.hashed]
        columns.append(f"{bucket(keys, buckets) if keys else '0'} AS {quoted(BUCKET)}")
        order = f" ORDER BY {quoted(BUCKET)}"
    yield from connection.sql(f"SELECT {', '.join(columns)} FROM {held.name}{order}").to_arrow_reader(BATCH_ROWS)


def staged_buckets(target: LoadTarget, database: str, number: int) -> str:
    """The query for the buckets of the staged keys, which are hashed as what they are in the target."""
    keys = target.relation.keys
    staged = ", ".join(f"{target.staged(key)} AS k{place}" for place, key in enumerate(keys))
    rows = to_duckdb(f"SELECT {staged} FROM {target.stage}", database)
    return f"SELECT DISTINCT {bucket([f'k{place}' for place in range(len(keys))], number)} FROM ({rows})"


def bucket(columns: Sequence[str], number: int) -> str:
    """The bucket of a row, from the texts of its key."""
    texts = ", ".join(f"CAST({column} AS VARCHAR)" for column in columns)
    return f"CAST(md5_number_lower(concat_ws(chr(31), {texts})) % {number} AS INTEGER)"


def check_whole(held: Held) -> None:
    """Raises LoadError for a table with files that say which rows are deleted, which its counts do not know."""
    found = held.table.current_snapshot() if held.table else None
    # guard: files that say which rows are deleted
    if found and found.summary and int(found.summary["total-delete-files"] or 0):
        raise LoadError(
            f"another program has deleted rows of {held.name} without writing its files again: have that program rewrite its "
            "data files, or start the table over; only loads may change it"
        )
