"""Takes superseded rows out of the Iceberg tables of cold rows, and writes few files in the place of many small ones.

    note what is superseded ─► take what was noted long enough ago ─► Iceberg: one commit per relation ─► forget what was taken

No view shows a superseded row (`superseded.py`), so a view shows the same before, after and between these steps, and whatever a
crash leaves is done by the next compaction. The root comes first: who reads the Iceberg tables alone and begins
with the root sees an item whole or not at all. Files with rows of a move that has not ended are left as they are.
"""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from ddb_assets.iceberg.catalog import open_catalog, translated
from ddb_assets.iceberg.errors import IcebergConflictError
from ddb_assets.iceberg.url import CatalogUrl
from ddb_assets.warehouse.bookkeeping import MOVE, cold_name
from ddb_assets.warehouse.errors import InterruptedLoadError, WarehouseError
from ddb_assets.warehouse.protocol import CompactOptions
from ddb_assets.warehouse.redshift.cold import iceberg_tables, moves
from ddb_assets.warehouse.redshift.cold.hot import look, provide_gone
from ddb_assets.warehouse.redshift.cold.superseded import Superseded, Taken, counted
from ddb_assets.warehouse.redshift.connection import RedshiftEngine
from ddb_assets.warehouse.results import ColdCompaction
from ddb_assets.warehouse.sql import cold, statements
from ddb_assets.warehouse.sql.engine import number
from ddb_assets.warehouse.sql.statements import Statement, TableName

if TYPE_CHECKING:
    from pyiceberg.table import FileScanTask, Table

    from ddb_assets.iceberg.rewriting import Rewritten
    from ddb_assets.warehouse.sql.cold import ColdTable

logger = logging.getLogger(__name__)


def compact(engine: RedshiftEngine, schema: str, root: str, options: CompactOptions) -> ColdCompaction:
    """Does it, or with `dry_run` says what would be done.

    Raises WarehouseError for a table that no load has filled, IcebergError for Iceberg tables that are not ours, and
    InterruptedLoadError when another process has changed one of these first; every row is where it was then.
    """
    began = time.monotonic()
    url = CatalogUrl.parse(options.catalog)
    hot = look(engine, TableName(schema, root))
    keys, fields = statements.cold(hot.root).name, statements.cold_fields(hot.root).name
    known = cold.read(engine, hot.root, engine.layouts(schema, [keys, fields]))
    tables = {relation: known.tables[relation] for relation in hot.relations if known and relation in known.tables}
    if root not in tables:
        return ColdCompaction(seconds=time.monotonic() - began)
    found = Superseded(engine, hot, tables[root])
    done = ColdCompaction(tables={relation: f"{url.namespace}.{cold_name(relation)}" for relation in tables})
    if options.dry_run:
        return replace(done, superseded=found.count(), seconds=time.monotonic() - began)
    now = options.now or datetime.now(UTC)
    options.step("note")
    provide_gone(engine, hot)
    found.note(now)
    taken = TableName(None, f"_ddb_stage_{engine.session}_gone")
    try:
        found.take(taken, now - options.after)
        gone = Taken(engine, hot, taken)
        owner = moves.owner(engine, hot.root)
        written: dict[str, Rewritten] = {}
        with open_catalog(url, engine.aws) as catalog:
            for relation, table in tables.items():
                options.step(f"rewrite {relation}")
                name = cold_name(relation)
                expected = counted(engine, hot, relation, table, taken) if gone.moves else 0
                stored = iceberg_tables.find(catalog, url, name, f"{owner} {hot.table(relation)}")
                open_ = moves.open_ones(engine, hot.root)
                with _explained(name, url):
                    one = _rewrite(stored, gone, table, open_, expected)
                written[relation] = one
                logger.info("%s: %d rows out, %d files -> %d", name, one.left_out, one.files_before, one.files_after)
        options.step("forget")
        found.forget(taken)
    finally:
        with suppress(WarehouseError):
            engine.execute(Statement(f"DROP TABLE IF EXISTS {taken}"))
    options.step("done")
    return replace(
        done,
        rows={relation: one.left_out for relation, one in written.items()},
        files_before={relation: one.files_before for relation, one in written.items()},
        files_after={relation: one.files_after for relation, one in written.items()},
        bytes_before={relation: one.bytes_before for relation, one in written.items()},
        bytes_after={relation: one.bytes_after for relation, one in written.items()},
        superseded=number(engine, statements.count(found.noted)),
        seconds=time.monotonic() - began,
    )


def _rewrite(table: "Table", gone: Taken, cold_table: "ColdTable", open_: moves.Open, expected: int) -> "Rewritten":
    """One relation's Iceberg table, of which so many rows as `expected` are to be taken away."""
    from ddb_assets.iceberg.rewriting import rewrite
    from ddb_assets.iceberg.upkeep import AT_LEAST, COMPACTION, small

    def files(condition: str) -> set[str]:
        return {task.file.file_path for task in table.scan(row_filter=condition).plan_files()}

    running = files(f"{MOVE} > {open_.newest}") | (files(_among(open_.unended)) if open_.unended else set())
    ended = [task for task in table.scan().plan_files() if task.file.file_path not in running]
    suspect = files(_among(gone.moves)) if expected else set()
    chosen = [task for task in ended if task.file.file_path in suspect and _has_any(table, task, gone, cold_table)]
    few = small(ended)
    if len(few) >= AT_LEAST:
        chosen += [task for task in few if task not in chosen]
    chosen.sort(key=partial(iceberg_tables.bounds, table))  # so that rows stay in the order in which they became cold
    return rewrite(table, chosen, COMPACTION, without=partial(gone.without, table=cold_table), expected=expected)


def _among(moves: Sequence[int]) -> str:
    return f"{MOVE} in ({', '.join(map(str, moves))})"


def _has_any(table: "Table", task: "FileScanTask", gone: Taken, cold_table: "ColdTable") -> bool:
    """Whether a file has rows of these items, which its keys say."""
    from ddb_assets.iceberg.rewriting import batches

    found = batches(table, [task], gone.fields(cold_table))
    return any(gone.without(batch, cold_table).num_rows < batch.num_rows for batch in found)


@contextmanager
def _explained(name: str, url: CatalogUrl) -> Iterator[None]:
    try:
        with translated(f"{name} in {url} was not compacted"):
            yield
    except IcebergConflictError as error:
        raise InterruptedLoadError(str(error)) from error
