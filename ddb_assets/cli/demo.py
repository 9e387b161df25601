"""`ddb-assets demo`: brings the sandbox's tables through a real Dagster instance into DuckDB, and proves that all is there.

A second call uses the exports of the first call, and shows that the warehouse has them already. The demo runs the job
`ddb_assets_initial_load`. `demo_outcome.py` shows the numbers and checks them.
"""

import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import dagster as dg
import orjson

from ddb_assets.aws.clients import AWS
from ddb_assets.cli.demo_outcome import SAMPLE, SAMPLE_COLUMNS, TableOutcome, outcomes, print_outcomes, sample
from ddb_assets.cli.kept_lake import keep, restore
from ddb_assets.cli.output import print_json, progress_console, say
from ddb_assets.cli.sandbox import LAKE_URI, forget_real_account
from ddb_assets.cli.servers import Server
from ddb_assets.contract.names import default_name
from ddb_assets.contract.stages import FULL_CHAIN, Stage, name_of
from ddb_assets.definitions import build_defs
from ddb_assets.errors import DdbAssetsError
from ddb_assets.orchestration.metadata import asset_key
from ddb_assets.resources.warehouse import WarehouseTarget
from ddb_assets.sandbox import demo
from ddb_assets.settings import state_folder
from ddb_assets.warehouse.connect import open_warehouse
from ddb_assets.windows.table_assets import INITIAL_LOAD

STOP_SECONDS = 30
LAKE_FOLDER, SANDBOX_FOLDER, MARKER = "lake", "sandbox", "demo.json"
_NAMES = {"redshift": "Redshift", "clickhouse": "ClickHouse", "postgres": "PostgreSQL", None: "DuckDB"}
INSTANCE = Path(__file__).with_name("dagster.yaml")


class DemoError(DdbAssetsError):
    """The demo failed."""


def run(items: int, *, warehouse: Server | None, as_json: bool) -> None:
    """Runs the demo and prints what it found. Raises DemoError if the numbers do not add up."""
    state = state_folder()
    _use_local_instance(state)
    with progress_console.status("starting the sandbox") as status, dg.DagsterInstance.get() as instance:
        before = _remembered(instance, state, items)
        with _sandbox(0 if before else items, state / SANDBOX_FOLDER, warehouse) as variables:
            os.environ.update(variables)
            aws = AWS()
            if before:
                status.update("flattening and loading the exports of the previous call")
                restore(aws.s3(), state / LAKE_FOLDER, LAKE_URI)
                source_items = before
            else:
                status.update("exporting, flattening, loading")
                source_items = _count(aws)
            result = _materialized(instance, list(source_items), FULL_CHAIN[1:] if before else FULL_CHAIN)
            with open_warehouse(WarehouseTarget().address) as opened:
                tables = outcomes(result, opened, source_items)
                sampled = sample(opened)
            good = all(table.reconciles for table in tables)
            if good and not before:
                keep(aws.storage(), LAKE_URI, state / LAKE_FOLDER)
                _remember(state, items, tables)
    if as_json:
        answer = {"query": SAMPLE, "columns": SAMPLE_COLUMNS, "rows": sampled}
        print_json({"reconciles": good, "tables": [asdict(table) for table in tables], "sample": answer})
    else:
        print_outcomes(tables, sampled, _NAMES[warehouse])
        if not warehouse:
            say(f"\nWarehouse: {WarehouseTarget().address}")
        say("\nIn the Dagster UI: make dev, then http://127.0.0.1:3000")
    if not good:
        raise DemoError("the numbers do not add up; see the table above")


@contextmanager
def _sandbox(items: int, folder: Path, warehouse: Server | None) -> Iterator[dict[str, str]]:
    """A sandbox in a process of its own, started by its command. Gives the variables that lead to it."""
    arguments = [
        sys.executable,
        "-m",
        "ddb_assets.cli",
        "sandbox",
        "--json",
        "--items",
        str(items),
        "--state",
        str(folder),
    ]
    arguments += [f"--{warehouse}"] if warehouse else []
    child = subprocess.Popen(arguments, stdout=subprocess.PIPE)  # noqa: S603 -- our own
    try:
        assert child.stdout  # noqa: S101 -- asked for above
        line = child.stdout.readline()
        if not line:
            raise DemoError("the sandbox did not start; what it said is above")
        yield orjson.loads(line)
    finally:
        child.terminate()
        try:
            child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _use_local_instance(state: Path) -> None:
    """Replaces the account and the Dagster instance of this process by local ones."""
    home = state / "dagster"
    home.mkdir(parents=True, exist_ok=True)
    if not (home / INSTANCE.name).exists():
        shutil.copyfile(INSTANCE, home / INSTANCE.name)
    forget_real_account()
    os.environ["DAGSTER_HOME"] = str(home)


def _remember(state: Path, items: int, tables: Sequence[TableOutcome]) -> None:
    """Notes which exports are kept and how many items they have. This is the last step, so every noted export is there."""
    made = {table.table: {"export": table.export_id, "items": table.source_items} for table in tables}
    (state / MARKER).write_bytes(orjson.dumps({"items": items, "tables": made}))


def _remembered(instance: dg.DagsterInstance, state: Path, items: int) -> dict[str, int] | None:
    """The number of items per table that the previous call exported.

    None unless that call had the same `items`, its files are kept, and its exports are still the newest that Dagster knows.
    """
    try:
        kept = orjson.loads((state / MARKER).read_bytes())
    except (FileNotFoundError, orjson.JSONDecodeError):
        return None
    if kept["items"] != items or not (state / LAKE_FOLDER).is_dir():
        return None
    for name, table in kept["tables"].items():
        event = instance.get_latest_materialization_event(asset_key("full_export", name))
        newest = event.asset_materialization if event else None
        if newest is None or newest.metadata["export_id"].value != table["export"]:
            return None
    return {name: table["items"] for name, table in kept["tables"].items()}


def _count(aws: AWS) -> dict[str, int]:
    """Items per table by DynamoDB's own count, which the sandbox keeps exact."""
    client = aws.dynamodb()
    names = [table.name for table in demo.TABLES]
    return {default_name(name): client.describe_table(TableName=name)["Table"]["ItemCount"] for name in names}


def asset_keys(defs: dg.Definitions, tables: Sequence[str], stages: Sequence[Stage]) -> list[dg.AssetKey]:
    """The keys of the assets of these stages and tables. Groups do not help, because `post_processing` may change them."""
    exports = dg.AssetSelection.assets(*(asset_key("full_export", name) for name in tables))
    found = exports.downstream().resolve(defs.resolve_asset_graph())
    return [key for key in found if any(name_of(stage, key.path) for stage in stages)]


def _materialized(
    instance: dg.DagsterInstance, tables: list[str], stages: tuple[Stage, ...]
) -> dg.ExecuteInProcessResult:
    """Runs these stages of these tables. Raises DemoError with the message of each failed step."""
    warnings.filterwarnings(
        "ignore", category=dg.BetaWarning
    )  # from Dagster itself, when it resolves partitioned checks
    defs = build_defs()
    result = defs.resolve_job_def(INITIAL_LOAD).execute_in_process(
        instance=instance,
        asset_selection=asset_keys(defs, tables, stages),
        raise_on_error=False,
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
    )
    if not result.success:
        failures = [event.step_failure_data for event in result.all_events if event.is_step_failure]
        said = [f.user_failure_data.description if f.user_failure_data else f.error_display_string for f in failures]
        raise DemoError("\n".join(filter(None, said)) or "the run failed")
    return result
