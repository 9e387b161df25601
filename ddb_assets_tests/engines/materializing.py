"""Exports a table and flattens it on an engine, in a process that a test can interrupt: `python -m … '{"table": …}'`."""

import json
import sys

import dagster as dg

from ddb_assets.contract.table import Table
from ddb_assets.engines.flattening import flattening_of
from ddb_assets.exports.assets import full_export_asset
from ddb_assets.flatten.assets import full_parquet_assets
from ddb_assets.resources.shared import RESOURCES

if __name__ == "__main__":
    table = Table.model_validate(json.loads(sys.argv[1]))
    assets = [full_export_asset(table), full_parquet_assets(table, flattening_of(table))]
    sys.exit(not dg.materialize(assets, resources=dict(RESOURCES)).success)
