"""Options that several subcommands share."""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from ddb_assets.cli.servers import NAMES, Server
from ddb_assets.iceberg.url import ICEBERG_FORM
from ddb_assets.settings import ICEBERG, LAKE, WAREHOUSE
from ddb_assets.warehouse.adapters import FORMS

FILE = click.Path(dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document and nothing else.")
warehouse_option = click.option(
    "--warehouse", required=True, envvar=WAREHOUSE, show_envvar=True, metavar="URL", help=FORMS
)


def server_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The flags that run a warehouse beside the sandbox; the command gets them as `servers`, to be given to `one_server`."""

    @functools.wraps(command)
    def with_servers(**given: Any) -> Any:
        servers = tuple(name for name in NAMES if given.pop(name))
        return command(servers=servers, **given)

    found: Callable[..., Any] = with_servers
    for name, about in reversed(list(NAMES.items())):
        found = click.option(
            f"--{name}", is_flag=True, help=f"With {about}, which starts empty and is deleted afterwards."
        )(found)
    return found


def one_server(servers: Sequence[Server]) -> Server | None:
    """The warehouse that was asked for. Raises click.UsageError if there are two."""
    if len(servers) > 1:
        raise click.UsageError(f"{' and '.join(f'--{name}' for name in servers)} are two warehouses: give one of them")
    return servers[0] if servers else None


def iceberg_option(*, required: bool = False) -> Callable[..., Any]:
    """The option that names the catalog of Iceberg tables."""
    return click.option(
        "--iceberg",
        required=required,
        envvar=ICEBERG,
        show_envvar=True,
        metavar="URL",
        help=f"The catalog of Iceberg tables: {ICEBERG_FORM}.",
    )


def source_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The argument SOURCE, and the options that say how to read it."""
    key = click.option("--key", metavar="PK[,SK]", help="Partition key and sort key, if the config does not have them.")
    config = click.option("--config", type=FILE, help="The table's defs.yaml, as the Dagster component reads it.")
    return click.argument("source")(config(key(command)))


def tables_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say which tables a command looks at, and where they are."""
    options = (
        click.option(
            "--table", "names", metavar="NAME", multiple=True, help="Only this table, by the contract's `name`."
        ),
        click.option(
            "--config",
            "configs",
            type=FILE,
            multiple=True,
            help="The tables of this defs.yaml, instead of those of --project. It does not load Dagster.",
        ),
        click.option(
            "--project",
            type=FOLDER,
            default=".",
            show_default=True,
            help="Folder of the Dagster project whose YAML declares the tables.",
        ),
        click.option(
            "--warehouse",
            envvar=WAREHOUSE,
            show_envvar=True,
            metavar="URL",
            help=f"{FORMS}; default: the DuckDB file in the state folder.",
        ),
        click.option("--lake", envvar=LAKE, show_envvar=True, metavar="URI", help="s3:// URI of the lake."),
    )
    for option in reversed(options):
        command = option(command)
    return command
