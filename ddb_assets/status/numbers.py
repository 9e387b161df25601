"""The numbers of a table's status: where its chain stands, how far behind it is, what it holds and what it has cost. Pure."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ddb_assets.contract.scan import is_scan
from ddb_assets.contract.table import Table
from ddb_assets.costs.prices import GB, prices
from ddb_assets.status.pictures import DynamoDBSays, LakeSays, Pictures, StreamSays, WarehouseSays
from ddb_assets.windows.coverage import missing


@dataclass(frozen=True)
class Numbers:
    """None is unknown. Times are UTC, `behind` and `stream_lag` seconds.

    `baseline` is the time of the newest initial load. `exported`, `flattened` and `loaded` say until when the newest window of
    each stage goes; `flattened` is the start of its partition. `shows_until` is the moment until which no change is missing.
    `windows_behind` counts the windows that have ended and are not loaded. `quarantined`, `extra_values` and `billed_bytes`
    are sums over all loads that the ledger has of exports; `billed_bytes` is what DynamoDB billed for these, `usd` its price.
    `unexplained_rows` counts the rows that no load explains: those that another job has added or deleted, in all relations.
    """

    baseline: datetime | None = None
    exported: datetime | None = None
    flattened: str | None = None
    loaded: datetime | None = None
    shows_until: datetime | None = None
    behind: float | None = None
    windows_behind: int | None = None
    stream_lag: float | None = None
    loads: int | None = None
    rows: dict[str, int] = field(default_factory=dict)
    unexplained_rows: int | None = None
    quarantined: int | None = None
    extra_values: int | None = None
    billed_bytes: int | None = None
    usd: float | None = None

    def document(self) -> dict[str, Any]:
        """The numbers for `--json`."""
        times = {name: _said(getattr(self, name)) for name in ("baseline", "exported", "loaded", "shows_until")}
        return {**vars(self), **times}


def numbers(table: Table, seen: Pictures) -> Numbers:
    """The numbers, as far as the places say them. Raises PricesError for a file of prices that cannot be read."""
    exported = seen.dynamodb.exported if isinstance(seen.dynamodb, DynamoDBSays) else None
    flattened = seen.lake.flattened if isinstance(seen.lake, LakeSays) else ""
    lag = None
    if isinstance(seen.stream, StreamSays) and seen.stream.read_until:
        lag = round((seen.now - seen.stream.read_until).total_seconds(), 1)
    if not isinstance(seen.warehouse, WarehouseSays):
        return Numbers(exported=exported, flattened=flattened or None, stream_lag=lag)
    loads, coverage = seen.warehouse.loads, seen.warehouse.coverage
    until = None
    if coverage:
        until = coverage.until if table.load == "upsert" else coverage.initial_load
    windowed = coverage is not None and table.load == "upsert"
    billed = sum({load.export_id: load.billed_bytes for load in loads if not is_scan(load.export_id)}.values())
    differing = seen.warehouse.recorded.differing
    return Numbers(
        baseline=coverage.initial_load if coverage else None,
        exported=exported,
        flattened=flattened or None,
        loaded=max((end for _, end in coverage.windows), default=None) if coverage else None,
        shows_until=until,
        behind=round((seen.now - until).total_seconds(), 1) if until else None,
        windows_behind=len(missing(table.windows, coverage, seen.now)) if coverage and windowed else None,
        stream_lag=lag,
        loads=len(loads),
        rows={
            name: now
            for name, then in seen.warehouse.recorded.rows.items()
            if (now := differing[name][1] if name in differing else then) is not None
        },
        unexplained_rows=sum(abs(then - (now or 0)) for then, now in differing.values()),
        quarantined=sum(load.quarantined for load in loads),
        extra_values=sum(load.extra_values for load in loads),
        billed_bytes=billed,
        usd=round(billed / GB * prices().dynamodb.export_gb, 4),
    )


def _said(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
