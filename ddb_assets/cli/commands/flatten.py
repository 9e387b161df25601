"""`ddb-assets flatten`."""

from pathlib import Path

import click

from ddb_assets.cli.commands.shared import json_option, source_options


@click.command("flatten")
@source_options
@click.option("--out", required=True, metavar="DIR", help="Folder or s3:// URI for nothing but the Parquet.")
@json_option
def command(source: str, out: str, config: Path | None, key: str | None, as_json: bool) -> None:
    """Flatten the export SOURCE to Parquet.

    SOURCE is a manifest-summary.json, an export's folder (also a downloaded one) or its s3:// URI. DIR gets a folder per
    relation, what could not be read in _quarantine, and report.json. It must be new, empty, or filled by this command: then
    its content is replaced once the new one is complete.
    """
    from ddb_assets.cli.flatten import run

    run(source, out, config, key, as_json=as_json)
