"""Which texts of a new table or column have few distinct values: ClickHouse keeps these by a dictionary (LowCardinality).

A load looks at the first rows of the largest part, and there only at columns with a dictionary, which flattening writes where
a sample repeats itself. It is a matter of size and speed only. A column that gets many values later keeps all of
them, and its type.
"""

import io
from collections.abc import Mapping

import pyarrow as pa
import pyarrow.parquet as pq

from ddb_assets.aws.storage import Storage
from ddb_assets.contract.column_type import SqlType
from ddb_assets.contract.report import Relation, Report
from ddb_assets.warehouse.clickhouse.catalog import RowsTable
from ddb_assets.warehouse.clickhouse.server import Server

MOST = 1_000
"""A column with more distinct values among the rows that are looked at is an ordinary one."""
REPEATED = 10
"""How often a value must occur on average: a few rows prove nothing."""


def few_values(
    server: Server, storage: Storage, report: Report, there: Mapping[str, RowsTable]
) -> dict[str, frozenset[str]]:
    """The new columns with few distinct values, by relation; none in a rehearsal. `there` has the tables that exist."""
    found: dict[str, frozenset[str]] = {}
    if not server.reads_parts:
        return found
    for relation in report.relations:
        have = there[relation.name].types if relation.name in there else {}
        texts = [
            column.name
            for column in relation.columns
            if column.role == "value" and not column.empty and column.name not in have
            if SqlType.parse(column.type).name == "VARCHAR"
        ]
        if texts and relation.parts:
            found[relation.name] = _few(storage, relation, texts)
    return found


def _few(storage: Storage, relation: Relation, texts: list[str]) -> frozenset[str]:
    content = storage.read(max(relation.parts, key=lambda part: part.rows).uri)
    try:
        return _repeated(pq.ParquetFile(io.BytesIO(content)), texts)
    except (pa.ArrowException, OSError):  # it is damaged, which staging reports
        return frozenset()


def _repeated(part: pq.ParquetFile, texts: list[str]) -> frozenset[str]:
    """Those of the columns `texts` that have few distinct values in the first row group."""
    if not part.metadata.num_row_groups:
        return frozenset()
    group = part.metadata.row_group(0)
    chunks = {chunk.path_in_schema: chunk for chunk in map(group.column, range(group.num_columns))}
    likely = [name for name in texts if name in chunks and chunks[name].has_dictionary_page]
    rows = part.read_row_group(0, columns=likely) if likely else None
    distinct = {name: len(rows.column(name).unique()) for name in likely if name in rows.column_names} if rows else {}
    return frozenset(n for n, number in distinct.items() if number <= MOST and group.num_rows >= REPEATED * number)
