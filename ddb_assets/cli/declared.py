"""The tables that a command looks at, and the places where they are: of a Dagster project, or of single files."""

import os
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ddb_assets.aws.lake import LakePaths
from ddb_assets.contract.contract_yaml import read_tables
from ddb_assets.contract.table import Table
from ddb_assets.errors import DdbAssetsError
from ddb_assets.status.pictures import DagsterSays, Silent, WarehouseSays

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dagster import DagsterInstance

DAGSTER_HOME = "DAGSTER_HOME"


def tables(names: Sequence[str], configs: Sequence[Path], project: Path) -> list[Table]:
    """The declared tables, or those of these names. Raises ConfigError, and click's usage error for an unknown name."""
    if configs:
        declared = [table for config in configs for table in read_tables(config)]
    else:
        from ddb_assets.components.project import declared_tables

        declared = declared_tables(project)
    if unknown := set(names) - {table.name for table in declared}:
        raise click.BadParameter(
            f"no table is named {', '.join(sorted(unknown))}: {'the files declare' if configs else 'the project declares'} "
            f"{', '.join(table.name for table in declared)}",
            param_hint="--table",
        )
    return [table for table in declared if not names or table.name in names]


def named(name: str, config: Path) -> Table:
    """The table of a contract's `name`, or of a DynamoDB table's name. Raises click's usage error if there is none."""
    declared = {table.name: table for table in read_tables(config)}
    by_table = {table.table.rpartition("/")[2]: table for table in declared.values()}
    found = declared.get(name) or by_table.get(name)
    if found is None:
        raise click.UsageError(f"{config} declares no table {name}, but {', '.join(declared)}")
    return found


def lake_at(uri: str | None) -> LakePaths | Silent:
    """The lake of an option or the environment."""
    if not uri:
        return Silent("no --lake was given", failed=False)
    try:
        return LakePaths(uri)
    except DdbAssetsError as error:
        return Silent(str(error), failed=True)


@contextmanager
def instance() -> "Iterator[DagsterInstance | Silent]":
    """The instance of DAGSTER_HOME; without that, Dagster is not loaded."""
    if not os.environ.get(DAGSTER_HOME, "").strip():
        yield Silent(f"{DAGSTER_HOME} is not set", failed=False)
        return
    import dagster as dg

    try:
        found = dg.DagsterInstance.get()
    except Exception as error:  # whatever its configuration and its storage raise
        yield Silent(f"{DAGSTER_HOME}: {error}", failed=True)
        return
    with found:
        yield found


def ask_dagster(
    found: "DagsterInstance | Silent",
) -> Callable[[Table, WarehouseSays | Silent], DagsterSays | Silent] | Silent:
    """How Dagster is asked about a table."""
    if isinstance(found, Silent):
        return found
    from ddb_assets.status.facts import dagster_says

    def ask(table: Table, warehouse: Any) -> DagsterSays | Silent:
        try:
            return dagster_says(found, table, warehouse)
        except Exception as error:  # its storage may be any database
            return Silent(f"its event log: {error}", failed=True)

    return ask
