"""Makes an `ImportJob` for the command and the asset: describes the table and finds the files."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ddb_assets.aws.clients import AWS
from ddb_assets.aws.storage import Storage, is_s3
from ddb_assets.aws.table import describe_table
from ddb_assets.bulk.raw_call import BULK_CLIENT
from ddb_assets.imports.account import Progress
from ddb_assets.imports.import_config import ImportConfig, JobOptions
from ddb_assets.imports.import_job import ImportJob
from ddb_assets.imports.new_table import NewTableWriter, check_absent, planned
from ddb_assets.imports.source import open_source
from ddb_assets.settings import state_folder


@dataclass(frozen=True)
class NewTable:
    """A table that the import makes: its key, (attribute, S | N | B) each, and the S3 folder for staged items."""

    key: tuple[tuple[str, str], ...]
    staging: str


def prepare_import(
    aws: AWS,
    table: str,
    source: str,
    config: ImportConfig,
    options: JobOptions,
    *,
    redrive: bool = False,
    reject_file: Path | None = None,
    on_progress: Callable[[Progress], object] | None = None,
    new_table: NewTable | None = None,
) -> ImportJob:
    """`table` is a name or an ARN. `source` is a URI; with `redrive`, that of a reject file.

    Checkpoint and reject file are kept in the state folder. Raises AwsError, UnfitTableError and SourceError.
    """
    client = aws.dynamodb(table)
    storage = aws.storage() if new_table or is_s3(source) else Storage()
    writer = None
    if new_table is None:
        target = describe_table(client, table)
        target.check_active()
    else:
        target = planned(table, new_table.key)
        check_absent(client, table)
        writer = NewTableWriter(client, storage, target, new_table.staging, aws.logs, dry=options.dry_run)
    return ImportJob(
        aws.dynamodb(table, BULK_CLIENT),
        storage,
        target,
        open_source(storage, source, config, redrive=redrive),
        config,
        folder=state_folder() / "imports",
        options=options,
        reject_file=reject_file,
        on_progress=on_progress,
        new_table=writer,
    )
