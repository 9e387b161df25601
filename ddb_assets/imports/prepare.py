"""Makes an `ImportJob` for the command and the asset: describes the table, finds the files, and plans how items are written."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ddb_assets.aws.clients import AWS
from ddb_assets.aws.storage import Storage, is_s3
from ddb_assets.aws.table import TableDescription, UnfitTableError, describe_table
from ddb_assets.bulk.raw_call import BULK_CLIENT
from ddb_assets.imports.account import ImportFailedError, Progress
from ddb_assets.imports.files.source import ImportSource, open_rejects, open_source
from ddb_assets.imports.import_config import ImportConfig, JobOptions
from ddb_assets.imports.import_job import ImportJob
from ddb_assets.imports.tables.create_table import create_table
from ddb_assets.imports.tables.index_config import TableKey
from ddb_assets.imports.tables.method import WRITE_USD, ImportPlan, Method, plan_import
from ddb_assets.imports.tables.new_table import NewTableWriter, check_absent
from ddb_assets.imports.tables.recoverable import check_recoverable
from ddb_assets.imports.tables.table_plan import check_indexes, creation_parameters, planned
from ddb_assets.settings import LAKE, state_folder


@dataclass(frozen=True)
class NewTable:
    """A table that the import makes: its key, and the S3 folder for staged items. The configuration has its indexes.

    `method` is the one that is asked for; None lets the plan choose. Without `staging` ImportTable cannot be used. `obstacles`
    say what else of the import it cannot do.
    """

    key: TableKey
    staging: str = ""
    method: Method | None = "import-table"
    obstacles: tuple[str, ...] = ()


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
    new_table: NewTable | None = None,
    price: float = WRITE_USD,
) -> ImportJob:
    """`table` is a name or an ARN. `source` is a URI; without a `config`, that of a reject file, which says config and table.

    `on_plan` gets the plan, whose writes cost `price` US dollars per million WCUs. A table that is made to be written into is
    made when all files have been read and checked. Checkpoint and reject file are kept in the state folder. Raises AwsError,
    UnfitTableError and SourceError, and ImportFailedError if the files cannot be imported into the new table.
    """
    places = (source, options.rejects, options.keep_before)
    storage = aws.storage() if (new_table and new_table.staging) or any(map(is_s3, places)) else Storage()
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
    plan = _planned(read, config, target, new_table, price)
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
            new_table=writer,
        )

    if plan.method == "import-table" and new_table:
        writer = NewTableWriter(client, storage, parameters, new_table.staging, aws.logs, dry=options.dry_run)
        return job(target, read, options, writer)
    if new_table is None or options.dry_run:
        return job(target, read, options)
    checked = job(target, read, options.model_copy(update={"dry_run": True, "report_extra": False})).run()
    if problem := checked.problem or ("" if checked.written else "there is no item to make the table of"):
        raise ImportFailedError(f"{problem}; table {target.name} is not made")
    return job(create_table(client, parameters), opened(), options)


def _planned(
    source: ImportSource, config: ImportConfig, target: TableDescription, new: NewTable | None, price: float
) -> ImportPlan:
    if new and config.mode == "delete":
        raise UnfitTableError(
            f"table {target.name} does not exist, so there is nothing to delete: leave --new-table out"
        )
    obstacles = list(new.obstacles) if new else []
    if config.mode != "put" or config.changes:
        obstacles.append("ImportTable only puts items")
    if new and not new.staging:
        obstacles.append(f"ImportTable needs a folder on S3 for the items: --staging, or {LAKE}")
    try:
        return plan_import(
            [(file.uri, file.size) for file in source.inputs],
            indexes=len(target.indexes),
            new=new is not None,
            obstacles=obstacles,
            conditional=config.mode == "if-not-exists",
            asked=new.method if new else None,
            price=price,
        )
    except ValueError as error:
        raise UnfitTableError(f"table {target.name} cannot be made by ImportTable: {error}") from error
