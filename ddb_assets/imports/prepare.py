"""Makes an `ImportJob` for the command and the asset: describes the table and finds the files."""

from collections.abc import Callable
from dataclasses import dataclass

from ddb_assets.aws.clients import AWS
from ddb_assets.aws.storage import Storage, is_s3
from ddb_assets.aws.table import describe_table
from ddb_assets.bulk.raw_call import BULK_CLIENT
from ddb_assets.imports.account import Progress
from ddb_assets.imports.import_config import ImportConfig, JobOptions
from ddb_assets.imports.import_job import ImportJob
from ddb_assets.imports.index_config import TableKey
from ddb_assets.imports.new_table import NewTableWriter, check_absent
from ddb_assets.imports.recoverable import check_recoverable
from ddb_assets.imports.source import open_rejects, open_source
from ddb_assets.imports.table_plan import check_indexes, creation_parameters, planned
from ddb_assets.settings import state_folder


@dataclass(frozen=True)
class NewTable:
    """A table that the import makes: its key, and the S3 folder for staged items. The configuration has its indexes."""

    key: TableKey
    staging: str


def prepare_import(
    aws: AWS,
    table: str | None,
    source: str,
    config: ImportConfig | None,
    options: JobOptions,
    *,
    on_progress: Callable[[Progress], object] | None = None,
    on_resumed: Callable[[str], object] | None = None,
    on_began: Callable[[str], object] | None = None,
    new_table: NewTable | None = None,
) -> ImportJob:
    """`table` is a name or an ARN. `source` is a URI; without a `config`, that of a reject file, which says config and table.

    Checkpoint and reject file are kept in the state folder. Raises AwsError, UnfitTableError and SourceError.
    """
    places = (source, options.rejects, options.keep_before)
    storage = aws.storage() if new_table or any(map(is_s3, places)) else Storage()
    found = None
    if config is None:
        found, config, rejected_by = open_rejects(storage, source)
        table = table or rejected_by
    assert table is not None  # noqa: S101 -- only a reject file says it by itself
    client = aws.dynamodb(table)
    writer = None
    if new_table is None:
        target = describe_table(client, table)
        target.check_active()
        check_indexes(target, config.indexes or {})
        if options.require_pitr:
            check_recoverable(client, target)
    else:
        parameters = creation_parameters(table, new_table.key, config.indexes or {})
        target = planned(parameters)
        check_absent(client, table)
        writer = NewTableWriter(client, storage, parameters, new_table.staging, aws.logs, dry=options.dry_run)
    return ImportJob(
        aws.dynamodb(table, BULK_CLIENT),
        storage,
        target,
        found or open_source(storage, source, config, target.name, allow_empty=options.allow_empty),
        config,
        folder=state_folder() / "imports",
        options=options,
        on_progress=on_progress,
        on_resumed=on_resumed,
        on_began=on_began,
        new_table=writer,
    )
