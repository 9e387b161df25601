"""Makes an `ImportJob` for the command and the asset: describes the table, finds the files, and plans how items are written."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3

from ddb_assets.aws.clients import AWS
from ddb_assets.aws.storage import Storage, is_s3, join
from ddb_assets.aws.table import TableDescription, UnfitTableError, describe, describe_table
from ddb_assets.bulk.rate import WriteRate
from ddb_assets.bulk.raw_call import BULK_CLIENT
from ddb_assets.imports.account import ImportFailedError, Progress
from ddb_assets.imports.bulk_put import obstacles
from ddb_assets.imports.bulk_put.calls import OPERATION
from ddb_assets.imports.bulk_put.writer import BulkPut
from ddb_assets.imports.files.source import ImportSource, open_rejects, open_source
from ddb_assets.imports.import_config import ImportConfig, JobOptions
from ddb_assets.imports.import_job import ImportJob
from ddb_assets.imports.tables.create_table import create_table
from ddb_assets.imports.tables.index_config import TableKey
from ddb_assets.imports.tables.method import ImportPlan, Method, plan_import
from ddb_assets.imports.tables.new_table import NewTableWriter, check_absent
from ddb_assets.imports.tables.recoverable import check_recoverable
from ddb_assets.imports.tables.table_plan import check_indexes, creation_parameters, planned
from ddb_assets.settings import LAKE, setting, state_folder

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


@dataclass(frozen=True)
class NewTable:
    """A table that the import makes: its key, and the S3 folder for staged items. The configuration has its indexes.

    `method` is the one that is asked for; None lets the plan choose. Without `staging` ImportTable cannot be used. `owner` is
    the account of its bucket, if it is another one. `obstacles` say what else of the import it cannot do.
    """

    key: TableKey
    staging: str = ""
    owner: str = ""
    method: Method | None = "import-table"
    obstacles: tuple[str, ...] = ()


@dataclass(frozen=True)
class Staging:
    """A folder on S3 for the items of a bulk put; `owner` is the account of its bucket, if it is another one."""

    uri: str
    owner: str = ""


def staging_of(uri: str, owner: str = "") -> Staging:
    """The folder, or without one `imports` below the lake. Raises SettingError without either."""
    return Staging(
        uri or join(setting(LAKE, "the S3 URI below which items are staged; or name the folder"), "imports"), owner
    )


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
    on_plan: Callable[[ImportPlan], object] | None = None,
    on_operation: Callable[[str], object] = lambda _: None,
    new_table: NewTable | None = None,
    bulk_put: Staging | None = None,
    price: float | None = None,
) -> ImportJob:
    """`table` is a name or an ARN. `source` is a URI; without a `config`, that of a reject file, which says config and table.

    `on_plan` gets the plan, whose writes cost `price` US dollars per million WCUs, by default as listed.
    A table that is made to be written into is
    made when all files have been read and checked. With `bulk_put` AWS fills a table that exists. Checkpoint and reject file
    are kept in the state folder. Raises AwsError, UnfitTableError and SourceError, and ImportFailedError if the files cannot be
    imported into the new table.
    """
    places = (source, options.rejects, options.keep_before)
    staged = (new_table and new_table.staging) or bulk_put
    storage = aws.storage() if staged or any(map(is_s3, places)) else Storage()
    found = None
    if config is None:
        found, config, rejected_by = open_rejects(storage, source)
        table = table or rejected_by
    assert table is not None  # noqa: S101 -- only a reject file says it by itself
    client = aws.dynamodb(table)
    parameters: dict[str, Any] = {}
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

    def opened() -> ImportSource:
        return found or open_source(storage, source, config, target.name, allow_empty=options.allow_empty)

    read = opened()
    hindered = _bulk_put_obstacles(client, target, config, options, bulk_put) if bulk_put else ()
    plan = _planned(read, config, options, target, new_table, hindered, price, bulk_put is not None)
    if on_plan:
        on_plan(plan)

    def job(
        into: TableDescription, read: ImportSource, given: JobOptions, writer: NewTableWriter | None = None
    ) -> ImportJob:
        return ImportJob(
            aws.dynamodb(table, BULK_CLIENT),
            storage,
            into,
            read,
            config,
            folder=state_folder() / "imports",
            options=given,
            on_progress=on_progress,
            on_resumed=on_resumed,
            on_began=on_began,
            on_operation=on_operation,
            new_table=writer,
            bulk_put=BulkPut(client, bulk_put.uri, bulk_put.owner) if bulk_put else None,
        )

    if plan.method == "import-table" and new_table:
        writer = NewTableWriter(
            client, storage, parameters, new_table.staging, aws.logs, owner=new_table.owner, dry=options.dry_run
        )
        return job(target, read, options, writer)
    if new_table is None or options.dry_run:
        return job(target, read, options)
    checked = job(target, read, options.model_copy(update={"dry_run": True, "report_extra": False})).run()
    if problem := checked.problem or ("" if checked.written else "there is no item to make the table of"):
        raise ImportFailedError(f"{problem}; table {target.name} is not made")
    return job(create_table(client, parameters), opened(), options)


def _bulk_put_obstacles(
    client: "DynamoDBClient", target: TableDescription, config: ImportConfig, options: JobOptions, staging: Staging
) -> tuple[str, ...]:
    """Why this import cannot be a bulk put. Raises AwsError."""
    if not hasattr(client, OPERATION):
        return (f"this boto3 ({boto3.__version__}) does not know StartBulkPutItems: pip install --upgrade boto3",)
    rate = WriteRate(target, max_wcu=options.max_wcu, share=options.share)
    return (
        *obstacles.of_import(config, options),
        *(() if is_s3(staging.uri) else (f"it needs a folder on S3 for the items: --staging, or {LAKE}",)),
        *obstacles.of_table(describe(client, target.address)),
        *obstacles.of_rate(rate.units_per_second),
    )


def _planned(
    source: ImportSource,
    config: ImportConfig,
    options: JobOptions,
    target: TableDescription,
    new: NewTable | None,
    hindered: Sequence[str],
    price: float | None,
    bulk_put: bool,
) -> ImportPlan:
    if new and config.mode == "delete":
        raise UnfitTableError(
            f"table {target.name} does not exist, so there is nothing to delete: leave --new-table out"
        )
    puts = config.mode == "put" and not config.changes
    hindrances = [*hindered, *(new.obstacles if new else ())]
    if new and not puts:
        hindrances.append("ImportTable only puts items")
    if new and not is_s3(new.staging):
        hindrances.append(f"ImportTable needs a folder on S3 for the items: --staging, or {LAKE}")
    try:
        return plan_import(
            [(file.uri, file.size) for file in source.inputs],
            indexes=len(target.indexes),
            new=new is not None,
            obstacles=hindrances,
            conditional=config.mode == "if-not-exists",
            puts=puts and not options.keep_before,
            asked="bulk-put" if bulk_put else new.method if new else None,
            price=price,
        )
    except ValueError as error:
        how = "filled by a bulk put" if bulk_put else "made by ImportTable"
        raise UnfitTableError(f"table {target.name} cannot be {how}: {error}") from error
