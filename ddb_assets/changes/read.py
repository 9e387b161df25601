"""Reads a table of changes: one column for each name, also where a type has changed and Iceberg could not widen the field."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from ddb_assets.contract.column_type import SqlType
from ddb_assets.flatten.arrow_types import arrow_type
from ddb_assets.flatten.parts import widened
from ddb_assets.iceberg.errors import IcebergError
from ddb_assets.iceberg.evolution import FORMER, former, holds
from ddb_assets.iceberg.types import sql_types

if TYPE_CHECKING:
    from pyiceberg.expressions import BooleanExpression
    from pyiceberg.table import Table


def read_changes(table: "Table", where: "BooleanExpression | str | None" = None) -> pa.RecordBatchReader:
    """The rows that pass the filter, as a stream.

    A field that has lost its name (`_ddb_was__…`) is part of the one that has it now, if that takes all of its values: a
    number as text is written as DynamoDB writes it. Else it stays a column of its own.
    """
    scan = table.scan(row_filter=where) if where is not None else table.scan()
    kinds = sql_types(table.schema())
    parts = {
        name: [one for one in former(name, kinds) if holds(kind, kinds[one])]
        for name, kind in kinds.items()
        if not name.startswith(FORMER)
    }
    inside = {one for found in parts.values() for one in found}
    reader = scan.to_arrow_batch_reader()
    schema = pa.schema([one for one in reader.schema if one.name not in inside])

    def merged() -> Iterator[pa.RecordBatch]:
        for batch in reader:
            yield from _merged(pa.Table.from_batches([batch]), schema, parts, kinds).to_batches()

    return pa.RecordBatchReader.from_batches(schema, merged())


def _merged(rows: pa.Table, schema: pa.Schema, parts: dict[str, list[str]], kinds: dict[str, SqlType]) -> pa.Table:
    columns = []
    for one in schema:
        values = rows.column(one.name)
        for name in parts.get(one.name, ()):
            wide = widened(rows.column(name), arrow_type(str(kinds[one.name])))
            if wide is None:
                raise IcebergError(f"field {name} cannot be read as {kinds[one.name]}")
            values = pc.coalesce(values, wide.cast(one.type))
        columns.append(values)
    return pa.Table.from_arrays(columns, schema=schema)
