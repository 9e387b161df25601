"""The Iceberg tables of cold rows: one for each relation, with a field for each column and the number of the move.

The comment of a field says which column it has the values of, and the column's type. A column that gets a type of another
kind gets another field. Rows are appended, in one commit for each move. The rows of a move are files of their own until it
has ended, so they can be taken away again without reading any others. `compaction.py` takes superseded rows away.
`iceberg/writing.py` writes the files.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from ddb_assets.contract.column_type import SqlType
from ddb_assets.flatten.arrow_types import arrow_type
from ddb_assets.iceberg.catalog import location_of, translated
from ddb_assets.iceberg.errors import IcebergError
from ddb_assets.iceberg.properties import COLD_OWNER, FEW_METADATA_FILES, PREFIX, STATED, check_version
from ddb_assets.iceberg.url import CatalogUrl
from ddb_assets.warehouse.bookkeeping import MOVE
from ddb_assets.warehouse.sql.cold import Field

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog
    from pyiceberg.table import FileScanTask, Table

MOVE_PROPERTY = f"{PREFIX}move"
"""The snapshot property with the number of the move."""
_MOVE_DOC = "the move that made the row cold"


@dataclass(frozen=True)
class Written:
    """What an append has added."""

    snapshot: int
    rows: int
    bytes: int
    files: int


def provide(
    catalog: "Catalog", url: CatalogUrl, name: str, owner: str, types: Mapping[str, SqlType]
) -> tuple["Table", tuple[Field, ...]]:
    """The Iceberg table for a relation with these columns, made or given the fields that it lacks; and all of its fields.

    Raises IcebergError for a table that is not `owner`'s.
    """
    table = known(catalog, url, name, owner)
    with translated(f"the Iceberg table {name} in {url}"):
        if table is None:
            made = [Field(column, column, kind) for column, kind in types.items()]
            properties = {COLD_OWNER: owner, **STATED, **FEW_METADATA_FILES}
            schema = pa.schema([*map(_arrow, made), pa.field(MOVE, pa.int64(), metadata={b"doc": _MOVE_DOC.encode()})])
            place = location_of(url, name)
            table = catalog.create_table((url.namespace, name), schema, location=place, properties=properties)
            return table, tuple(made)
        fields = _fields(table)
        lacking = [
            Field(column, _free(column, {*types, *(one.name for one in fields)}, fields), kind)
            for column, kind in types.items()
            if _newest(fields, column, kind) is None
        ]
        if lacking:
            with table.update_schema() as change:
                change.union_by_name(pa.schema([*map(_arrow, lacking)]))
        return table, (*fields, *lacking)


def find(catalog: "Catalog", url: CatalogUrl, name: str, owner: str) -> "Table":
    """The Iceberg table of a relation as it is now. Raises IcebergError for one that is not `owner`'s, or not there."""
    table = known(catalog, url, name, owner)
    if table is None:
        raise IcebergError(f"the Iceberg table {name} in {url} does not exist: somebody has dropped it, or renamed it")
    return table


def known(catalog: "Catalog", url: CatalogUrl, name: str, owner: str) -> "Table | None":
    """The same, or None for a table that does not exist."""
    from pyiceberg.exceptions import NoSuchTableError

    with translated(f"the Iceberg table {name} in {url}"):
        try:
            table = catalog.load_table((url.namespace, name))
        except NoSuchTableError:
            return None
    # guard: Iceberg tables of others
    if table.properties.get(COLD_OWNER) != owner:
        raise IcebergError(
            f"{url.namespace}.{name} in {url} is not the table of the cold rows of {owner}: drop it or rename it, or name "
            "another catalog or namespace"
        )
    check_version(table.properties, f"{url.namespace}.{name}")
    return table


def newest_move(catalog: "Catalog", url: CatalogUrl, name: str, owner: str) -> int:
    """The highest number of a move in a relation's Iceberg table, as its metadata says; 0 without a table or rows.

    Raises IcebergError for a table that is not `owner`'s.
    """
    table = known(catalog, url, name, owner)
    if table is None:
        return 0
    with translated(f"the Iceberg table {name} in {url}"):
        return max((bounds(table, task)[1] for task in table.scan().plan_files()), default=0)


def bounds(table: "Table", task: "FileScanTask") -> tuple[int, int]:
    """The lowest and the highest number of a move in a file, as its metadata says."""
    from pyiceberg.conversions import from_bytes
    from pyiceberg.types import LongType

    field = table.schema().find_field(MOVE).field_id
    lowest, highest = task.file.lower_bounds[field], task.file.upper_bounds[field]
    return int(from_bytes(LongType(), lowest)), int(from_bytes(LongType(), highest))


def take_away(catalog: "Catalog", url: CatalogUrl, name: str, owner: str, moves: Collection[int]) -> bool:
    """Takes the rows of moves that were given up out of a relation's Iceberg table; whether there were any.

    Raises IcebergError for a table that is not `owner`'s.
    """
    table = known(catalog, url, name, owner)
    if table is None:
        return False
    with translated(f"the Iceberg table {name} in {url}"):
        before, theirs = table.metadata.current_snapshot_id, f"{MOVE} in ({', '.join(map(str, moves))})"
        # guard: rows of moves that were given up
        if any(True for _ in table.scan(row_filter=theirs).plan_files()):
            table.delete(theirs)
        return table.metadata.current_snapshot_id != before


def write(table: "Table", batches: Iterable[pa.RecordBatch], move: int, url: CatalogUrl) -> Written:
    """Appends the rows of a move in one commit.

    The batches have columns named like the table's fields, `_ddb_move` too.
    """
    from ddb_assets.iceberg.writing import commit, transaction, writing

    with translated(f"cold rows cannot be written to {'.'.join(table.name())} in {url}"):
        staged, snapshot = transaction(table), 0
        with writing(table, staged) as writer:
            for batch in batches:
                writer.add(batch)
            if files := writer.finish():
                snapshot = commit(staged, files, summary={MOVE_PROPERTY: str(move)})
        return Written(snapshot, sum(file.record_count for file in files), writer.bytes, len(files))


def names(fields: Collection[Field], types: Mapping[str, SqlType]) -> list[str]:
    """For each column, the name of the field into which its values go now."""
    found = [_newest(fields, column, kind) for column, kind in types.items()]
    return [one.name for one in found if one is not None]  # `provide` has added those that lacked


def with_move(batches: Iterable[pa.RecordBatch], move: int) -> Iterator[pa.RecordBatch]:
    """The rows with the number of the move as their last column."""
    for batch in batches:
        yield batch.append_column(MOVE, pa.repeat(pa.scalar(move, pa.int64()), batch.num_rows))


def _newest(fields: Collection[Field], column: str, kind: SqlType) -> Field | None:
    """The field into which values of a column of this type go."""
    fitting = [
        one
        for one in fields
        if one.column == column and one.type.name == kind.name and arrow_type(str(one.type)) == arrow_type(str(kind))
    ]
    return fitting[-1] if fitting else None


def _fields(table: "Table") -> tuple[Field, ...]:
    found = []
    for one in table.schema().fields:
        if one.name == MOVE:
            continue
        column, _, kind = (one.doc or "").rpartition(" is ")
        try:
            found.append(Field(column, one.name, SqlType.parse(kind)))
        except ValueError as error:
            raise IcebergError(
                f"field {one.name!r} of {'.'.join(table.name())} has the comment {one.doc!r}, which does not say a column and "
                "its type: somebody has changed the table"
            ) from error
    return tuple(found)


def _free(column: str, taken: Collection[str], fields: Collection[Field]) -> str:
    if not any(one.name == column for one in fields):
        return column
    number = 2
    while f"{column}__{number}" in taken:
        number += 1
    return f"{column}__{number}"


def _doc(one: Field) -> str:
    return f"{one.column} is {one.type}"


def _arrow(one: Field) -> pa.Field:
    return pa.field(one.name, arrow_type(str(one.type)), metadata={b"doc": _doc(one).encode()})
