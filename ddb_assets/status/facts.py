"""What Dagster knows of a table, and what it shows of a table's status."""

from datetime import UTC, datetime, timedelta

import dagster as dg

from ddb_assets.contract.table import Table
from ddb_assets.markdown import code, prose
from ddb_assets.orchestration import metadata
from ddb_assets.orchestration.reported import newest_at
from ddb_assets.status.look import Status
from ddb_assets.status.pictures import DagsterSays, Silent, WarehouseSays
from ddb_assets.windows.chain import find_initial_load, materialized
from ddb_assets.windows.coverage import missing

LOOKED_AT = 50
"""The newest windows that the ledger lacks of which Dagster is asked what it loaded."""


def dagster_says(instance: dg.DagsterInstance, table: Table, warehouse: WarehouseSays | Silent) -> DagsterSays:
    """What the event log has of the table's loads."""
    initial_load = find_initial_load(instance, table) if table.full_stages else None
    begun = (initial_load.time, initial_load.export_id, initial_load.table_id) if initial_load else None
    if table.load == "replace" or not table.full_stages:
        return DagsterSays(begun)
    loaded = frozenset(materialized(instance, "warehouse", table))
    return DagsterSays(
        begun,
        frozenset(materialized(instance, "window_export", table)),
        frozenset(materialized(instance, "window_parquet", table)),
        loaded,
        _called(instance, table, warehouse, loaded) if isinstance(warehouse, WarehouseSays) else {},
    )


def _called(
    instance: dg.DagsterInstance, table: Table, warehouse: WarehouseSays, loaded: frozenset[str]
) -> dict[str, str]:
    """The windows that the ledger lacks and that Dagster loaded, with their exports. Loads before the ledger do not count."""
    if warehouse.coverage is None:
        return {}
    lacking = {key for key, _ in missing(table.windows, warehouse.coverage, datetime.now(UTC) + table.windows.length)}
    known = {load.export_id for load in warehouse.loads}
    began = min((load.loaded_at for load in warehouse.loads if load.loaded_at), default=datetime.fromtimestamp(0, UTC))
    asset = metadata.key_of(table, "warehouse")
    found: dict[str, str] = {}
    for key in sorted(lacking & loaded, reverse=True)[:LOOKED_AT]:
        event = newest_at(instance, asset, metadata.EXPORT_ID, partition=key)
        if event and datetime.fromtimestamp(event[0], UTC) > began - timedelta(seconds=1):
            export = str(event[1][metadata.EXPORT_ID].value)
            if export not in known:
                found[key] = export
    return found


def status_facts(status: Status) -> metadata.Metadata:
    """The numbers as plots, and the findings as a table."""
    found = status.numbers
    facts: metadata.Metadata = {
        "findings": dg.MetadataValue.int(len(status.findings)),
        "need_a_person": dg.MetadataValue.int(sum(finding.needs_a_person for finding in status.findings)),
    }
    counts = {
        "windows_behind": found.windows_behind,
        "loads": found.loads,
        "unexplained_rows": found.unexplained_rows,
        "quarantined": found.quarantined,
        "extra_values": found.extra_values,
        "billed_bytes": found.billed_bytes,
        metadata.ROWS: found.rows.get(status.table.name),
    }
    facts |= {name: dg.MetadataValue.int(count) for name, count in counts.items() if count is not None}
    seconds = {"lag": found.behind, "stream_lag": found.stream_lag, "usd": found.usd}
    facts |= {name: dg.MetadataValue.float(float(value)) for name, value in seconds.items() if value is not None}
    times = {"baseline": found.baseline, "exported": found.exported, "loaded": found.loaded}
    times["shows_until"] = found.shows_until
    facts |= {name: dg.MetadataValue.timestamp(time) for name, time in times.items() if time}
    if status.findings:
        facts[metadata.SUMMARY] = metadata.markdown(
            ("Finding", "What", "Where", "Command"),
            [(code(one.code), prose(one.what), prose(one.where), code(one.command)) for one in status.findings],
        )
    return facts
