"""The Iceberg tables of cold rows: one for each relation, with a field for each column and the number of the move.

The comment of a field says which column it has the values of, and the column's type. A column that gets a type of another
kind gets another field. Rows are appended, in one commit for each move, and never changed. The rows of a move are
files of their own, so they can be taken away again without reading any others.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from ddb_assets.contract.column_type import SqlType
from ddb_assets.flatten.arrow_types import arrow_type
from ddb_assets.iceberg.catalog import location_of, translated
from ddb_assets.iceberg.errors import IcebergError
from ddb_assets.iceberg.url import CatalogUrl
from ddb_assets.warehouse.bookkeeping import MOVE
from ddb_assets.warehouse.sql.cold import Field

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog
    from pyiceberg.table import Table

OWNER = "ddb-assets.cold-rows-of"
"""The table property with the table of the warehouse that the cold rows are of."""
MOVE_PROPERTY = "ddb-assets.move"
"""The snapshot property with the number of the move."""
FILE_BYTES = 128 << 20
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
    identifier = (url.namespace, name)
    with translated(f"the Iceberg table {name} in {url}"):
        if not catalog.table_exists(identifier):
            made = [Field(column, column, kind) for column, kind in types.items()]
            properties = {OWNER: owner, "write.target-file-size-bytes": str(FILE_BYTES)}
            schema = pa.schema([*map(_arrow, made), pa.field(MOVE, pa.int64(), metadata={b"doc": _MOVE_DOC.encode()})])
            table = catalog.create_table(identifier, schema, location=location_of(url, name), properties=properties)
            return table, tuple(made)
        table = catalog.load_table(identifier)
        # guard: Iceberg tables of others
        if table.properties.get(OWNER) != owner:
            raise IcebergError(
                f"{url.namespace}.{name} in {url} is not the table of the cold rows of {owner}: drop it or rename it, or name "
                "another catalog or namespace"
            )
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


def write(
    table: "Table", reader: pa.RecordBatchReader, move: int, abandoned: Collection[int], url: CatalogUrl
) -> Written:
    """Appends the rows of a move in one commit, which also takes away the rows of moves that were given up."""
    with translated(f"cold rows cannot be written to {'.'.join(table.name())} in {url}"):
        with table.transaction() as changes:
            left = f"{MOVE} in ({', '.join(map(str, abandoned))})"
            # guard: rows of moves that were given up
            if abandoned and any(True for _ in table.scan(row_filter=left).plan_files()):
                changes.delete(left)
            # not the reader itself: pyiceberg 0.12 reads all of it before it has written the first file
            for rows in _pieces(reader):
                changes.append(rows, snapshot_properties={MOVE_PROPERTY: str(move)})
        made = [one for one in table.snapshots() if one.summary and one.summary.get(MOVE_PROPERTY) == str(move)]
        said = [one.summary.additional_properties for one in made if one.summary]
        rows_, size, files = (
            sum(int(one.get(name, "0")) for one in said)
            for name in ("added-records", "added-files-size", "added-data-files")
        )
        return Written(made[-1].snapshot_id if made else 0, rows_, size, files)


def _pieces(reader: pa.RecordBatchReader) -> Iterator[pa.Table]:
    """The rows in pieces of about `FILE_BYTES` in memory; each becomes a file."""
    batches: list[pa.RecordBatch] = []
    for batch in reader:
        batches.append(batch)
        if sum(one.nbytes for one in batches) >= FILE_BYTES:
            yield pa.Table.from_batches(batches)
            batches = []
    if batches:
        yield pa.Table.from_batches(batches)


def schema_of(fields: Collection[Field], types: Mapping[str, SqlType]) -> pa.Schema:
    """The Arrow schema of rows to append: for each column its newest field, and the move."""
    found = []
    for column, kind in types.items():
        one = _newest(fields, column, kind)
        assert one is not None  # noqa: S101 -- `provide` has added it
        found.append(_arrow(one))
    return pa.schema([*found, pa.field(MOVE, pa.int64())])


def without_move(schema: pa.Schema) -> pa.Schema:
    """The schema of the rows before they get the number of their move."""
    return pa.schema(list(schema)[:-1])


def with_move(reader: pa.RecordBatchReader, schema: pa.Schema, move: int) -> pa.RecordBatchReader:
    """The rows with the number of the move as their last column."""
    batches = (
        pa.RecordBatch.from_arrays([*batch.columns, pa.array([move] * batch.num_rows, pa.int64())], schema=schema)
        for batch in reader
    )
    return pa.RecordBatchReader.from_batches(schema, batches)


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
