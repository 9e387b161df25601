"""Exports tables and flattens them on engines, each in a process that a test can interrupt: `python -m … '[{"table": …}, …]'`.

Prints the ids of the processes, which are forked, so that the project is imported once. Ends with the number of failures.
"""

import json
import multiprocessing
import sys

import dagster as dg

from ddb_assets.contract.table import Table
from ddb_assets.engines.flattening import flattening_of
from ddb_assets.exports.assets import full_export_asset
from ddb_assets.flatten.assets import full_parquet_assets
from ddb_assets.resources.shared import RESOURCES


def _materialize(assets: list[dg.AssetsDefinition]) -> None:
    sys.exit(not dg.materialize(assets, resources=dict(RESOURCES)).success)


def main() -> None:
    """Exits with the number of failures."""
    tables = [Table.model_validate(table) for table in json.loads(sys.argv[1])]
    declared = [[full_export_asset(table), full_parquet_assets(table, flattening_of(table))] for table in tables]
    dg.DagsterInstance.ephemeral().dispose()  # which imports the modules of storages
    forked = multiprocessing.get_context("fork")
    processes = [forked.Process(target=_materialize, args=(assets,)) for assets in declared]
    for process in processes:
        process.start()
    print(json.dumps([process.pid for process in processes]), flush=True)  # noqa: T201 - its result
    for process in processes:
        process.join()
    sys.exit(sum(bool(process.exitcode) for process in processes))


if __name__ == "__main__":
    main()
