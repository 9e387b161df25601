"""`python -m ddb_assets.cli` runs the command `ddb-assets`."""

from ddb_assets.cli import main

main(prog_name="ddb-assets")
