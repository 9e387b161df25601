"""Options that several subcommands share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from ddb_assets.settings import WAREHOUSE
from ddb_assets.warehouse.url import FORMS

FILE = click.Path(dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document and nothing else.")
warehouse_option = click.option(
    "--warehouse", required=True, envvar=WAREHOUSE, show_envvar=True, metavar="URL", help=FORMS
)


def source_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The argument SOURCE, and the options that say how to read it."""
    key = click.option("--key", metavar="PK[,SK]", help="Partition key and sort key, if the config does not have them.")
    config = click.option("--config", type=FILE, help="The table's defs.yaml, as the Dagster component reads it.")
    return click.argument("source")(config(key(command)))
