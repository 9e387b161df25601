"""`ddb-assets load`: loads an export into a warehouse without Dagster, by the same code as the assets."""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from ddb_assets.aws.storage import join
from ddb_assets.cli.flatten import flatten_source, print_advice, print_report
from ddb_assets.cli.output import print_grid, print_json, say
from ddb_assets.cli.source import Source, open_source
from ddb_assets.flatten.flatten import Flattened
from ddb_assets.flatten.output import QUARANTINE, SPILL
from ddb_assets.flatten.schema_store import HeldSchemas
from ddb_assets.settings import LAKE, state_folder
from ddb_assets.warehouse.bookkeeping import STALE_SINCE
from ddb_assets.warehouse.connect import open_warehouse
from ddb_assets.warehouse.protocol import LoadOptions
from ddb_assets.warehouse.results import LoadResult
from ddb_assets.warehouse.url import local_file


def run(
    source: str,
    warehouse: str,
    schemas: str | None,
    config: Path | None,
    key: str | None,
    *,
    force: bool,
    restart: bool,
    as_json: bool,
) -> None:
    """Flattens the export, applies it and prints the counts of its rows."""
    documents = schemas or schema_documents(warehouse)
    opened = open_source(source, config, key, target=warehouse, schemas=documents)
    with _folder(opened) as folder:
        flattened, result = _loaded(opened, warehouse, documents, folder, force=force, restart=restart, silent=as_json)
    if as_json:
        found = flattened.report.model_dump(mode="json", exclude={"relations", "quarantine"})
        print_json({"report": found, "load": asdict(result)})
        return
    print_report(flattened.report)
    print_advice(flattened)
    print_grid(
        "applied"
        if result.applied
        else f"already applied at {result.loaded_at:%Y-%m-%d %H:%M:%S} UTC, nothing changed",
        ("table", "rows loaded", "rows now"),
        [(name, result.rows.get(name, 0), rows) for name, rows in result.table_rows.items()],
    )
    say(
        f"{result.rows_in:,} rows in = {result.upserted:,} upserted + {result.deleted:,} deleted + {result.stale:,} stale"
    )
    if result.kept_stale:
        say(f"{result.kept_stale:,} rows were kept as they were and are marked in {STALE_SINCE}", err=True)
    for remark in result.remarks:
        say(remark, err=True)
    if folder.path.exists():
        say(f"Quarantined lines and spilled texts are kept in {folder.path}")


def schema_documents(warehouse: str) -> str:
    """Where the schema documents of a warehouse's tables are. The working directory does not matter."""
    if lake := os.environ.get(LAKE, "").strip():
        return join(lake, "schemas")
    if file := local_file(warehouse):
        return f"{file}.schemas"
    raise click.UsageError(
        f"{LAKE} is not set, so it is not known where the schema documents of this warehouse's tables are: set it, or give "
        "--schemas a folder or s3:// URI that every load of this warehouse uses"
    )


@dataclass
class _Folder:
    """A load's own folder. `referenced` says whether rows of the warehouse may refer to texts that were spilled to it."""

    path: Path
    referenced: bool = False


@contextmanager
def _folder(source: Source) -> Iterator[_Folder]:
    """A folder for this load alone. Afterwards it keeps only quarantined lines and spilled texts."""
    path = state_folder() / "loads" / source.table.name / f"{source.export.id}-{secrets.token_hex(4)}"
    folder = _Folder(path)
    try:
        yield folder
    finally:
        kept = {QUARANTINE, SPILL} if folder.referenced else {QUARANTINE}
        for found in path.iterdir() if path.is_dir() else ():
            if found.name not in kept:
                shutil.rmtree(found) if found.is_dir() else found.unlink()
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()


def _loaded(
    source: Source, warehouse: str, documents: str, folder: _Folder, *, force: bool, restart: bool, silent: bool
) -> tuple[Flattened, LoadResult]:
    """Flattens and loads. The schema documents are published in the load's transaction, after everything is verified."""
    table, schemas = source.table, HeldSchemas(source.storage, documents)
    flattened = flatten_source(source, str(folder.path), silent=silent, schemas=schemas, restart=restart)

    def release() -> None:
        schemas.release()
        folder.referenced = True  # the commit comes next, and it may succeed even if its answer is lost

    with open_warehouse(warehouse, storage=source.storage, label=f"ddb_assets {table.name}") as target:
        options = LoadOptions.of(table, force=force, restart=restart, before_commit=release)
        result = target.load(flattened.report, options)
    return flattened, result
