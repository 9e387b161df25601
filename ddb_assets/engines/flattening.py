"""What flattens the full exports and scans of a table: the run itself, or a job on the engine that its contract names."""

import dagster as dg

from ddb_assets.aws.clients import AWS
from ddb_assets.contract.engine import InProcess
from ddb_assets.contract.key_schema import KeySchema
from ddb_assets.contract.table import Table
from ddb_assets.engines.errors import EngineError
from ddb_assets.exports.manifest import Export
from ddb_assets.flatten.assets import FlattenedBy, Flattening, in_process
from ddb_assets.resources.lake import Lake


def flattening_of(table: Table) -> Flattening:
    """As the contract says it."""
    return in_process if isinstance(table.engine, InProcess) else _on_engine


def _on_engine(
    context: dg.AssetExecutionContext, aws: AWS, lake: Lake, table: Table, export: Export, key: KeySchema, restart: bool
) -> FlattenedBy:
    try:
        from ddb_assets.engines.run import flatten_by_job  # the clients of the engines and pyarrow, only for runs
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("ddb_assets"):
            raise
        raise EngineError(
            f"`engine: {table.engine.name}` needs the package {error.name}: pip install 'ddb-assets[glue]' where Dagster runs"
        ) from error
    return flatten_by_job(context, aws, lake, table, export, key, restart)
