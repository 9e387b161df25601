"""`ddb-assets import`."""

import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click
from click.core import ParameterSource

from ddb_assets.cli.commands.model_options import ModelCommand, option_of, options_of
from ddb_assets.cli.commands.shared import FILE, json_option
from ddb_assets.settings import LAKE

if TYPE_CHECKING:
    from ddb_assets.imports.tables.method import Method

FROM_CONFIG = ("format", "items_at", "mode")


class ImportCommand(ModelCommand):
    """Has the options of a job, and those of an import.yaml that often change from call to call."""

    def from_models(self) -> Iterator[click.Option]:
        """From JobOptions and ImportConfig."""
        from ddb_assets.imports.import_config import ImportConfig, JobOptions

        yield from options_of(ImportConfig, FROM_CONFIG, defaults=False)
        yield from options_of(JobOptions)


@click.command("import", cls=ImportCommand)
@click.argument("source", required=False)
@click.option("--table", help="Name or ARN of the table; with --redrive by default the one that the file names.")
@click.option(
    "--config", type=FILE, help="import.yaml: how files are read, and which attribute comes from which column."
)
@click.option("--dms", metavar="FILE", type=FILE, help="Instead of --config: the table mappings of an AWS DMS task.")
@click.option(
    "--dms-source",
    metavar="FILE",
    type=FILE,
    help="For --dms: the task's external table definition, or its S3Settings.",
)
@click.option(
    "--dms-settings", metavar="NAME=VALUE;…", help="For --dms: connection attributes of the S3 source endpoint."
)
@click.option(
    "--dms-table", metavar="SCHEMA.TABLE", help="For --dms: which table of the source, if the task takes several."
)
@click.option(
    "--dms-changes", is_flag=True, help="For --dms: the files of changes in CdcPath, not those of the full load."
)
@click.option(
    "--redrive",
    metavar="URI",
    help="Instead of SOURCE: a reject file with mended rows, written as the import that rejected them would have done.",
)
@click.option(
    "--new-table",
    "new_key",
    metavar="PK:TYPE[,SK:TYPE]",
    help="Make the table with this key (types S, N, B). --method says how it gets its items.",
)
@click.option(
    "--method",
    type=click.Choice(["auto", "import-table", "batch-write", "bulk-put"]),
    default="auto",
    show_default=True,
    help="For --new-table: ImportTable, which costs no WCUs and stages items on S3, or writes; auto chooses. For a table that "
    "exists: a bulk put by AWS of items that are staged on S3.",
)
@click.option(
    "--staging", metavar="URI", help=f"Where on S3, for ImportTable and bulk puts; default: imports below {LAKE}."
)
@click.option(
    "--staging-owner",
    metavar="ACCOUNT",
    help="For --staging: the account of the bucket, 12 digits, if it is another one.",
)
@click.option(
    "--price",
    type=click.FloatRange(min=0),
    help="US dollars per million WCUs, for --dry-run; by default the list price.",
)
@json_option
def command(
    source: str | None,
    table: str | None,
    config: Path | None,
    dms: Path | None,
    dms_source: Path | None,
    dms_settings: str | None,
    dms_table: str | None,
    dms_changes: bool,
    redrive: str | None,
    new_key: str | None,
    method: str,
    staging: str | None,
    staging_owner: str | None,
    price: float | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Write the items of SOURCE into a table.

    SOURCE is a file, a folder, a glob or an export, local or s3://, or - for stdin: CSV, JSON, Parquet, DynamoDB JSON or
    Ion, plain, gzip or zstd. With --dms it is the bucket, or the folder in it, that the task reads. If it was killed or failed,
    the same command continues where it stopped.
    """
    _refuse_idle(
        redrive=redrive is not None, new_table=new_key is not None, dry_run=options["dry_run"], dms=dms is not None
    )
    if dms is None and (source is None) == (redrive is None):
        raise click.UsageError("give either SOURCE or --redrive FILE")
    if dms is not None and (dms_source is None or source == "-"):
        raise click.UsageError(
            "--dms needs --dms-source, and SOURCE is the bucket or folder that the task reads, not stdin"
        )
    if table is None and redrive is None and dms is None:
        raise click.UsageError("--table says into which table: give it")
    from ddb_assets.cli.import_ import bulk_put_of, new_table_of, run
    from ddb_assets.imports.dms.task import DmsFiles

    asked = cast("Method | None", None if method == "auto" else method)
    run(
        table,
        source or redrive,
        DmsFiles(dms, dms_source, dms_settings or "", dms_table, dms_changes) if dms and dms_source else config,
        {name: options.pop(name) for name in FROM_CONFIG},
        options,
        redrive=redrive is not None,
        new_table=new_table_of(new_key, staging, staging_owner or "", asked, _obstacles()),
        bulk_put=bulk_put_of(staging, staging_owner or "", asked),
        price=price,
        as_json=as_json,
    )


NOT_FOR_REDRIVE = (*FROM_CONFIG, "config", "dms")
NOT_FOR_DMS = ("format", "items_at", "config")
FOR_DMS = ("dms_source", "dms_settings", "dms_table", "dms_changes")
NOT_FOR_NEW_TABLE = ("restart", "keep_before", "require_pitr")
NOT_FOR_IMPORT_TABLE = ("max_wcu", "share", "in_flight")
NOT_FOR_BULK_PUT = ("in_flight", "price")
FOR_STAGING = frozenset({"staging", "staging_owner", "method"})


def _obstacles() -> tuple[str, ...]:
    """What the options ask for that ImportTable cannot do."""
    context = click.get_current_context()
    return tuple(
        f"ImportTable has no {option_of([name])}"
        for name in NOT_FOR_IMPORT_TABLE
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
    )


def _refuse_idle(*, redrive: bool, new_table: bool, dry_run: bool, dms: bool) -> None:
    """Raises UsageError for an option that would do nothing beside the others."""
    context = click.get_current_context()
    given = {name for name in context.params if context.get_parameter_source(name) is ParameterSource.COMMANDLINE}
    method = context.params["method"]
    if new_table:
        _refuse_idle_of_new_table(given, method)
    elif method == "bulk-put":
        _refuse_idle_of_bulk_put(given)
    elif idle := given & FOR_STAGING:
        raise click.UsageError(
            f"{option_of([min(idle)])} is for --new-table, or for --method bulk-put: give one, or leave it out"
        )
    _check_owner(context.params["staging_owner"])
    if new_table and redrive:
        raise click.UsageError(
            "--new-table makes a table of SOURCE, and --redrive is for a table that exists: give one"
        )
    for name in NOT_FOR_REDRIVE:
        if name in given and redrive:
            raise click.UsageError(
                f"{option_of([name])} does nothing with --redrive: the reject file's first line says it; leave it out"
            )
    for name in FOR_DMS:
        if name in given and not dms:
            raise click.UsageError(f"{option_of([name])} is for --dms: give that too, or leave it out")
    for name in NOT_FOR_DMS:
        if name in given and dms:
            raise click.UsageError(f"{option_of([name])} does nothing with --dms, whose files say it: leave it out")
    if "price" in given and not (dry_run or new_table):
        raise click.UsageError("--price is for what --dry-run says: give that too, or leave it out")


def _check_owner(owner: str | None) -> None:
    if owner is not None and not re.fullmatch("[0-9]{12}", owner):
        raise click.UsageError(f"--staging-owner is an AWS account, 12 digits, not {owner!r}")


def _refuse_idle_of_bulk_put(given: Collection[str]) -> None:
    if idle := [name for name in NOT_FOR_BULK_PUT if name in given]:
        raise click.UsageError(
            f"{option_of([idle[0]])} does nothing with --method bulk-put: AWS writes the items, at its own price; leave it out"
        )


def _refuse_idle_of_new_table(given: Collection[str], method: str) -> None:
    if method == "bulk-put":
        raise click.UsageError(
            "--method bulk-put fills a table that exists: leave --new-table out, or name another method"
        )
    for name in NOT_FOR_NEW_TABLE:
        if name in given:
            raise click.UsageError(
                f"{option_of([name])} does nothing with --new-table, which begins with no table: leave it out"
            )
    for name in NOT_FOR_IMPORT_TABLE:
        if name in given and method == "import-table":
            raise click.UsageError(
                f"{option_of([name])} does nothing with ImportTable, which writes at AWS's own rate, without WCUs: leave it "
                "out, or give --method batch-write"
            )
    for name in ("staging", "staging_owner"):
        if name in given and method == "batch-write":
            raise click.UsageError(f"{option_of([name])} does nothing with --method batch-write: leave it out")
