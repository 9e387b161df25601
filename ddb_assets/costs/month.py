"""What a table will cost in a month, line by line, before any of it is spent. Pure.

Every line says how it was computed, because half of it depends on what nobody knows yet: how much will change.
Facts: DynamoDB Developer Guide, "DynamoDB data export to Amazon S3" (a full export is billed by the table's size, an
incremental one by the size of the changes, 10 MB at least); Redshift Serverless charges a minute at least for each time that
it wakes up.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from ddb_assets.contract.table import Table
from ddb_assets.costs.prices import GB, Prices
from ddb_assets.costs.s3_requests import S3Requests

LEAST_BILLED = 10 << 20
"""Bytes of an incremental export, however little has changed."""
MONTH = timedelta(days=30)
HOURS = MONTH / timedelta(hours=1)


@dataclass(frozen=True)
class Known:
    """What is known of a table. `window_bytes` are the billed bytes of its latest windows; `on_demand` decides about scans.

    `requests` are those to S3 of one window, or of one full export that is loaded; None if they are not known.
    """

    size_bytes: int
    on_demand: bool
    has_pitr: bool
    window_bytes: Sequence[int] = ()
    requests: S3Requests | None = None


@dataclass(frozen=True)
class Line:
    """A part of the month's cost in US dollars; `once` if it is not paid every month."""

    what: str
    usd: float
    how: str
    once: bool = False


@dataclass(frozen=True)
class Load:
    """What a load costs Redshift Serverless: it runs on `rpu` units for `seconds`. With 0 units it is another warehouse."""

    rpu: int = 0
    seconds: float = 60


def month(table: Table, known: Known, prices: Prices, load: Load = Load()) -> list[Line]:
    """The lines of a month of 30 days, in the order in which the data flows."""
    lines = _reads(table, known, prices)
    if table.source == "exports" and not known.has_pitr:
        lines.append(Line("point-in-time recovery", 0.0, "it is off: exports need it"))
    elif table.source == "exports":
        lines.append(
            Line(
                "point-in-time recovery",
                known.size_bytes / GB * prices.dynamodb.pitr_gb_month,
                f"{_gb(known.size_bytes)} for a month; it is on whether we use it or not",
            )
        )
    if table.stream and table.stream != "dynamodb":
        lines.append(
            Line(
                "Kinesis stream",
                HOURS * prices.kinesis.stream_hour,
                "its hours, on demand; tables that share it share them",
            )
        )
        lines.append(_changes(table, known, prices))
    if table.source != "stream":
        lines.append(_requests(table, known, prices))
    if load.rpu:
        lines.append(_loads(table, prices, load))
    return lines


def total(lines: Sequence[Line]) -> float:
    """The US dollars of every month; what is paid once is not in it."""
    return sum(line.usd for line in lines if not line.once)


def per_month(table: Table) -> int:
    """How many exports or scans a month has, apart from the initial load."""
    return 0 if table.source == "stream" else round(MONTH / table.windows.length)


def all_items(table: Table, known: Known, prices: Prices) -> Line:
    """What it costs to bring all items once: a full export, or a scan."""
    if table.source == "scan":
        units = -(-known.size_bytes // 4096) * (1 if table.scan.consistent else 0.5)
        how = f"{units:,.0f} read units"
        if known.on_demand:
            return Line("scan", units / 1e6 * prices.dynamodb.million_reads, how, once=True)
        return Line("scan", 0.0, f"{how}, from the capacity that is provisioned", once=True)
    size = known.size_bytes
    return Line("full export", size / GB * prices.dynamodb.export_gb, f"a full export of {_gb(size)}", once=True)


def _reads(table: Table, known: Known, prices: Prices) -> list[Line]:
    number, export_gb = per_month(table), prices.dynamodb.export_gb
    if table.source == "stream":
        return []
    full = all_items(table, known, prices)
    if table.source == "scan":
        return [Line("scans", number * full.usd, f"{number:,} scans of {full.how}")]
    if table.load == "replace":
        return [Line("full exports", number * full.usd, f"{number:,} of {_gb(known.size_bytes)}")]
    seen = [max(size, LEAST_BILLED) for size in known.window_bytes]
    average = sum(seen) / len(seen) if seen else LEAST_BILLED
    how = f"as the last {len(seen)}" if seen else "the least; how much changes is not known yet"
    return [
        replace(full, what="initial load"),
        Line("windows", number * average / GB * export_gb, f"{number:,} of {_gb(average)}, {how}"),
    ]


def _changes(table: Table, known: Known, prices: Prices) -> Line:
    """The changes on their way to Kinesis, if the windows have shown how many there are."""
    if not known.window_bytes:
        return Line("changes in the stream", 0.0, "how much changes is not known yet")
    changed = sum(known.window_bytes) / len(known.window_bytes) * per_month(table)
    units = changed / 1024
    usd = units / 1e6 * prices.dynamodb.million_stream_units + changed / GB * (
        prices.kinesis.in_gb + prices.kinesis.out_gb
    )
    return Line(
        "changes in the stream", usd, f"{_gb(changed)}, as the windows show, which have the last change of a key only"
    )


def _requests(table: Table, known: Known, prices: Prices) -> Line:
    """Ours, as the newest load needed them."""
    number, each = per_month(table), known.requests
    if each is None:
        return Line("S3 requests", 0.0, "not known: Dagster of DAGSTER_HOME has counted none yet")
    how = f"{number:,} times {each.writes:,} PUT and LIST, {each.reads:,} GET, as the newest; without those of AWS's services"
    return Line("S3 requests", number * each.usd(prices), how)


def _loads(table: Table, prices: Prices, load: Load) -> Line:
    number = per_month(table)
    seconds = max(load.seconds, prices.redshift_serverless.least_seconds)
    usd = number * seconds / 3600 * load.rpu * prices.redshift_serverless.rpu_hour
    how = f"{number:,} loads of {seconds:,.0f} s on {load.rpu} RPUs; less if tables are loaded at the same time"
    return Line("Redshift Serverless", usd, how)


def _gb(size: float) -> str:
    if size >= GB / 10:
        return f"{size / GB:,.1f} GB"
    return f"{size / (1 << 20):,.1f} MB"
