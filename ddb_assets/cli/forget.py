"""`ddb-assets forget`: what is left of a table that no contract declares any more, listed, and deleted when asked."""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import click

from ddb_assets.aws.clients import AWS
from ddb_assets.aws.storage import Storage, is_s3, join
from ddb_assets.cli.forget_iceberg import Left, left
from ddb_assets.cli.load import schema_documents
from ddb_assets.cli.output import print_grid, print_json, say
from ddb_assets.cli.source import storage_for
from ddb_assets.contract.names import NAME
from ddb_assets.contract.stages import asset_name
from ddb_assets.errors import DdbAssetsError
from ddb_assets.flatten.kept import parquet_files, schema_files
from ddb_assets.flatten.names import relations
from ddb_assets.warehouse.connect import open_warehouse
from ddb_assets.warehouse.receipts import receipt_files
from ddb_assets.warehouse.results import Holdings
from ddb_assets.warehouse.url import local_file

PATIENCE = 10.0
"""Seconds to wait for a load that is running, before it is an error."""


class ForgetError(DdbAssetsError):
    """A table cannot be forgotten, because it is declared, or nobody can say whether it is."""


@dataclass(frozen=True)
class _Files:
    """What lies in one folder, in the order in which it can be deleted."""

    folder: str
    uris: list[str]


def run(
    name: str,
    warehouse: str,
    lake: str | None,
    schemas: str | None,
    iceberg: str | None,
    views: str,
    project: Path,
    *,
    delete: bool,
    as_json: bool,
) -> None:
    """Looks at everything first, then deletes: the warehouse in one transaction, with its cold rows, then the rest.

    The tables of cold rows go before the transaction commits, because only the warehouse says whose they are.
    """
    if not NAME.fullmatch(name):
        raise click.BadParameter(f"{name!r} is not the name of a contract: orders, say", param_hint="NAME")
    declared = _declared(project)
    if name in declared:
        raise ForgetError(
            f"{name} is declared in {project.resolve()}, as a relation of the table {declared[name]}: remove it there first, "
            "or give the table another `name`"
        )
    if (file := local_file(warehouse)) and not Path(file).is_file():
        raise ForgetError(f"there is no DuckDB file {file}: look at --warehouse")
    documents = schemas or (join(lake, "schemas") if lake else schema_documents(warehouse))
    storage = storage_for(warehouse, documents, lake or "")
    files = [_Files(join(documents, name), schema_files(storage, documents, name))]
    if lake:
        parquet = join(lake, "parquet", name)
        receipts = join(lake, "receipts")
        files.insert(0, _Files(parquet, parquet_files(storage, parquet, name)))
        files.append(_Files(join(receipts, name), receipt_files(storage, receipts, name)))
    with open_warehouse(warehouse, storage=storage, label=f"ddb_assets forget {name}", patience=PATIENCE) as opened:
        held = opened.holdings(name, views)
        if shared := sorted(held.tables.keys() & declared.keys()):
            raise ForgetError(
                f"{shared[0]} is in the ledger of {name}, and the table {declared[shared[0]]} declares it too: give that one "
                "another `name` first"
            )
        if delete and held.cold and not iceberg:
            raise ForgetError(
                f"{name} has a cold tier: name the catalog of its Iceberg tables by --iceberg, because afterwards nobody can "
                "say whose they are"
            )
        in_iceberg = left(iceberg, name, held.cold, declared, AWS()) if iceberg else Left("", {})
        if delete and held:
            opened.forget(name, held, views, PATIENCE, lambda: in_iceberg.drop(held.cold, AWS()))
    if delete:
        in_iceberg.drop(in_iceberg.tables, AWS())
        for found in files:
            _delete(storage, found)
    _print(name, held, in_iceberg, files, lake, deleted=delete, as_json=as_json)


def _declared(project: Path) -> dict[str, str]:
    """The relations that the project's YAML declares, each with its DynamoDB table."""
    from ddb_assets.components.project import declared_tables

    return {relation: table.table for table in declared_tables(project) for relation in relations(table).values()}


def _delete(storage: Storage, found: _Files) -> None:
    storage.delete(found.uris)
    if not is_s3(found.folder):
        for folder, _, _ in os.walk(found.folder, topdown=False):
            with suppress(OSError):  # not empty, or not there
                Path(folder).rmdir()


def _print(
    name: str, held: Holdings, in_iceberg: Left, files: list[_Files], lake: str | None, *, deleted: bool, as_json: bool
) -> None:
    counts = {found.folder: len(found.uris) for found in files if found.uris}
    if as_json:
        found = {"tables": held.tables, "views": held.views, "iceberg_tables": in_iceberg.tables, "files": counts}
        print_json({"name": name, "deleted": deleted, **found})
        return
    rows: list[tuple[str, str, int | None]] = [("table", table, count) for table, count in held.tables.items()]
    rows += [("view", view, None) for view in held.views]
    rows += [("Iceberg table", table, count) for table, count in in_iceberg.tables.items()]
    rows += [("files", folder, count) for folder, count in counts.items()]
    if not rows:
        say(f"nothing is left of {name}")
        return
    print_grid(f"{'deleted of' if deleted else 'left of'} {name}", ("", "name", "rows or files"), rows)
    if not lake:
        say("no --lake was given, so Parquet was not looked for", err=True)
    if not in_iceberg.url:
        cold = f", and the {name} of --warehouse has a cold tier" if held.cold else ""
        say(f"no --iceberg was given, so Iceberg tables of changes were not looked for{cold}", err=True)
    if deleted:
        say(
            f"DynamoDB's exports stay. Dagster keeps the history of the assets that are gone ({asset_name('warehouse', name)} "
            "and the others): wipe it in the UI, or by `dagster asset wipe`"
        )
    else:
        say("nothing was deleted: --yes deletes what is listed")
