"""What the exports of a table have cost in a calendar month, and the limit of `max_cost`.

AWS is asked, not our own records: its list has the exports that others requested, too. A completed export's bytes never
change, so a process describes each once, and remembers those of the month.
Facts: DynamoDB API reference, ListExports (90 days back, newest first, 25 per page) and DescribeExport (`BilledSizeBytes`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from ddb_assets.aws.errors import explained
from ddb_assets.costs.month import LEAST_BILLED
from ddb_assets.costs.prices import GB, Prices, prices
from ddb_assets.errors import DdbAssetsError
from ddb_assets.exports.follow import describe, started_at, status

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

LATEST = 24
"""So many windows, of the latest, stand for the size of the next one."""
_FOUR_DAYS = timedelta(days=4)
_KNOWN: dict[str, dict[str, "BilledExport"]] = {}
"""The exports that have ended, by the ARN of their table and their own."""


class CostLimitError(DdbAssetsError):
    """An export would cost more than the contract's `max_cost` allows in this month."""


@dataclass(frozen=True)
class BilledExport:
    """An export of this month. `bytes` is None while it runs, and 0 if it failed, which costs nothing that AWS reports."""

    arn: str
    full: bool
    bytes: int | None


@dataclass(frozen=True)
class BilledMonth:
    """The exports of a table that began in a calendar month (UTC), newest first."""

    first_day: datetime
    exports: Sequence[BilledExport]

    @property
    def bytes(self) -> int:
        """The billed bytes of the completed ones, and for those that run as many as they are estimated to have."""
        sizes = self.window_bytes
        return sum(self._estimate(one, sizes) if one.bytes is None else one.bytes for one in self.exports)

    @property
    def window_bytes(self) -> tuple[int, ...]:
        """The billed bytes of the latest windows."""
        return tuple(one.bytes for one in self.exports if one.bytes and not one.full)[:LATEST]

    def next_window(self) -> int:
        """The bytes that the next window is estimated to have: the average of the latest ones."""
        sizes = self.window_bytes
        return max(LEAST_BILLED, sum(sizes) // len(sizes)) if sizes else LEAST_BILLED

    def usd(self, at: Prices) -> float:
        """What they cost, in US dollars."""
        return self.bytes / GB * at.dynamodb.export_gb

    def _estimate(self, export: BilledExport, windows: Sequence[int]) -> int:
        fulls = [one.bytes for one in self.exports if one.full and one.bytes]
        if export.full:
            return max(fulls, default=LEAST_BILLED)
        return max(LEAST_BILLED, max(windows, default=0))


def billed_month(client: "DynamoDBClient", table_arn: str, now: datetime | None = None) -> BilledMonth:
    """The exports of this month. Raises AwsError."""
    moment = now or datetime.now(UTC)
    first_day = moment.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    known = _KNOWN.setdefault(table_arn, {})
    found = [_billed(client, arn, known, full=full) for arn, full in _listed(client, table_arn, first_day)]
    for arn in set(known.copy()) - {one.arn for one in found}:
        known.pop(arn, None)
    return BilledMonth(first_day, found)


def check_month(client: "DynamoDBClient", table_arn: str, size_bytes: int | None, max_usd: float) -> None:
    """Raises CostLimitError if this month's exports and one more cost more than `max_usd`.

    `size_bytes` is that of the table, for a full export; None for a window, whose size is estimated from the latest ones.
    """
    at, spent = prices(), billed_month(client, table_arn)
    more = (spent.next_window() if size_bytes is None else size_bytes) / GB * at.dynamodb.export_gb
    if spent.usd(at) + more > max_usd:
        following = (spent.first_day.replace(day=28) + _FOUR_DAYS).replace(day=1)
        raise CostLimitError(
            f"{table_arn}: the {len(spent.exports):,} exports of {spent.first_day:%B %Y} cost {_usd(spent.usd(at))}, this one "
            f"would cost about {_usd(more)} more, and `max_cost` is {_usd(max_usd)}, so it is not requested. Raise `max_cost`, "
            f"choose a longer `cadence`, or wait until {following:%d %B}; windows are exported later if point-in-time recovery "
            f"reaches back to them ({at.said})"
        )


def _listed(client: "DynamoDBClient", table_arn: str, since: datetime) -> Iterator[tuple[str, bool]]:
    """The ARNs of the exports since then, newest first, and whether each is a full one."""
    arguments: dict[str, Any] = {"TableArn": table_arn, "MaxResults": 25}
    while True:
        with explained("dynamodb:ListExports", table_arn):
            page = client.list_exports(**arguments)
            listed = {one["ExportArn"]: one.get("ExportType", "FULL_EXPORT") for one in page.get("ExportSummaries", [])}
        for arn, kind in listed.items():
            if started_at(arn) < since:
                return
            yield arn, kind == "FULL_EXPORT"
        if not page.get("NextToken"):
            return
        arguments["NextToken"] = page["NextToken"]


def _billed(client: "DynamoDBClient", arn: str, known: dict[str, BilledExport], *, full: bool) -> BilledExport:
    if before := known.get(arn):
        return before
    description = describe(client, arn)
    state = status(description)
    if state == "IN_PROGRESS":
        return BilledExport(arn, full, None)
    found = BilledExport(arn, full, description.get("BilledSizeBytes") or 0 if state == "COMPLETED" else 0)
    known[arn] = found
    return found


def _usd(amount: float) -> str:
    return f"${amount:,.2f}" if amount >= 0.01 else f"${amount:.4f}"
