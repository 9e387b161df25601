"""`ddb-assets infra`: the template of what a project needs on AWS, printed."""

import re
from collections.abc import Iterable
from pathlib import Path

import click

from ddb_assets.aws.storage import split_s3
from ddb_assets.cli.output import print_json, say
from ddb_assets.contract.metrics import chosen
from ddb_assets.iceberg.url import CatalogUrl
from ddb_assets.imports.tables.index_config import table_key
from ddb_assets.infrastructure.document import plain, yaml_text
from ddb_assets.infrastructure.template import MAX_BODY, template
from ddb_assets.infrastructure.wanted import Catalog, Lake, Options, OwnedTable, Wanted
from ddb_assets.infrastructure.warehouse import new_workgroup_url
from ddb_assets.settings import warehouse_address
from ddb_assets.warehouse.connect import login
from ddb_assets.warehouse.url import in_iceberg, warehouse_name

KEY = re.compile(r"arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+")
NEW_TABLES = re.compile(r"[A-Za-z0-9_.-]{3,}\*?")


def options_of(
    name: str, kms_key: str, own_tables: Iterable[str], new_tables: Iterable[str], metrics: str, **flags: bool
) -> Options:
    """The options of the command. Raises click's error, which names the option, and SettingError for unknown metrics."""
    if kms_key and not KEY.fullmatch(kms_key):
        raise click.BadParameter(
            f"{kms_key!r} is not the ARN of a KMS key: arn:aws:kms:eu-west-1:123456789012:key/…", param_hint="--kms-key"
        )
    for pattern in new_tables:
        if not NEW_TABLES.fullmatch(pattern):
            raise click.BadParameter(
                f"{pattern!r} is not the name of a table, at least three characters, perhaps with a * at its end",
                param_hint="--new-tables",
            )
    return Options(
        name,
        kms_key=kms_key,
        own_tables=tuple(map(_owned, own_tables)),
        new_tables=tuple(new_tables),
        metrics=chosen(metrics),
        **flags,
    )


def run(
    project: Path, lake: str, warehouse: str | None, iceberg: str | None, options: Options, *, as_json: bool
) -> None:
    """Prints the template. Raises ConfigError, InfrastructureError, IcebergError, StorageError and WarehouseError."""
    made = template(wanted(project, lake, warehouse, iceberg, options))
    if as_json:
        print_json(plain(made))
        return
    text = yaml_text(made)
    say(text, nl=False)
    if len(text.encode()) > MAX_BODY:
        say(f"the template has more than {MAX_BODY:,} bytes: deploy it with --s3-bucket", err=True)


def wanted(project: Path, lake: str, warehouse: str | None, iceberg: str | None, options: Options) -> Wanted:
    """What the project declares, with these places and options."""
    from ddb_assets.components.infrastructure import declared_project

    bucket, prefix = split_s3(lake)
    declared = declared_project(project)
    return Wanted(
        Lake(bucket, prefix.strip("/")),
        declared.tables,
        declared.imports,
        declared.copies,
        login(warehouse) if warehouse else None,
        declared.changes,
        _catalog(iceberg) if iceberg else None,
        warehouse_name(new_workgroup_url(options.name) if options.redshift else warehouse or warehouse_address()),
        options,
        declared.retained,
        _catalog(warehouse) if warehouse and in_iceberg(warehouse) else None,
    )


def _catalog(url: str) -> Catalog:
    found = CatalogUrl.parse(url)
    return Catalog(found.kind, found.namespace, found.location, found.bucket, found.catalog_id)


def _owned(text: str) -> OwnedTable:
    name, _, key = text.partition("=")
    try:
        return OwnedTable(name, table_key(key))
    except ValueError as error:
        raise click.BadParameter(f"{error}: write NAME=PK:TYPE[,SK:TYPE]", param_hint="--own-table") from error
