"""`ddb-assets flatten`."""

from pathlib import Path

import click

from ddb_assets.cli.commands.shared import json_option, source_options


@click.command("flatten")
@source_options
@click.option("--out", required=True, metavar="DIR", help="Folder or s3:// URI for the Parquet and nothing else.")
@json_option
def command(source: str, out: str, config: Path | None, key: str | None, as_json: bool) -> None:
    """Flatten the export SOURCE to Parquet.

    SOURCE is a manifest-summary.json, an export's folder (also a downloaded one) or its s3:// URI. DIR gets a folder per
    relation, the lines that could not be read in _quarantine, and report.json. DIR must be new, empty, or filled by this
    command. In the last case its content is replaced once the new content is complete.
    """
    from ddb_assets.cli.flatten import run

    run(source, out, config, key, as_json=as_json)
