"""Compares what the places say of a table: what differs, its cause, and the command that mends it. Pure."""

from collections.abc import Iterator

from ddb_assets.contract.table import Table
from ddb_assets.status.chain_findings import dagster_findings, dynamodb_findings, window_findings
from ddb_assets.status.codes import Code, Finding
from ddb_assets.status.lake_findings import lake_findings
from ddb_assets.status.pictures import LakeSays, Pictures, Silent, WarehouseSays
from ddb_assets.status.warehouse_findings import notes, warehouse_findings


def findings(table: Table, seen: Pictures) -> list[Finding]:
    """Everything that differs, causes first."""
    found = list(_unreachable(table, seen))
    warehouse = seen.warehouse
    if isinstance(warehouse, WarehouseSays):
        found += warehouse_findings(table, seen, warehouse)
        if isinstance(seen.lake, LakeSays):
            found += lake_findings(table, warehouse, seen.lake)
        found += dynamodb_findings(table, seen, warehouse)
        if warehouse.recorded.loads:
            found += dagster_findings(table, seen, warehouse)
            found += window_findings(table, seen, warehouse, [one.code for one in found])
            found += notes(warehouse)
    if seen.stream and not isinstance(seen.stream, Silent) and seen.stream.gap:
        alone = table.source == "stream"
        todo = (
            f"no export puts this right: start the table over {table.chain.restart}"
            if alone
            else "the next scan puts it right"
            if table.source == "scan"
            else "windows put it right"
        )
        what = f"records may be missing: {seen.stream.gap}; {todo}"
        found.append(Finding("stream_lost" if alone else "stream_gap", what, f"stream {seen.stream.stream}"))
    return found


def _unreachable(table: Table, seen: Pictures) -> Iterator[Finding]:
    places: list[tuple[Code, object, str]] = [
        ("warehouse_unreachable", seen.warehouse, "warehouse"),
        ("lake_unreachable", seen.lake, "lake"),
        ("dynamodb_unreachable", seen.dynamodb, f"DynamoDB table {table.table}"),
        ("dagster_unreachable", seen.dagster, "Dagster"),
        ("stream_unreachable", seen.stream, f"stream {table.stream}"),
    ]
    for code, said, where in places:
        if isinstance(said, Silent) and said.failed:
            yield Finding(code, f"it could not be asked, so nobody knows what it has: {said.reason}", where)
