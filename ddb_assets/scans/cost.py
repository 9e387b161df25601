"""What a scan costs, in read capacity units and in money.

Facts: DynamoDB Developer Guide, "Read capacity units" (4 KB each, half of that when eventually consistent; a filter or a
projection makes no scan cheaper); DynamoDB pricing, on-demand mode.
"""

from dataclasses import dataclass

from ddb_assets.aws.table import TableDescription
from ddb_assets.bulk.scan import RCU_BYTES
from ddb_assets.costs.capacity import money, units_usd
from ddb_assets.costs.prices import prices


def price() -> str:
    """The price of reads, for people. Raises PricesError."""
    at = prices()
    return f"${at.dynamodb.million_reads:g} for a million read request units; {at.said}"


@dataclass(frozen=True)
class Cost:
    """RCUs, and US dollars; None for a provisioned table, whose capacity is paid for in any case."""

    rcu: float
    usd: float | None

    @classmethod
    def of(cls, table: TableDescription, rcu: float) -> "Cost":
        """The cost of so many RCUs of this table. Raises PricesError."""
        return cls(float(rcu), round(units_usd(prices(), rcu=rcu), 6) if table.on_demand else None)

    @property
    def money(self) -> str:
        """The money in words."""
        if self.usd is None:
            return "nothing beyond the provisioned capacity"
        return money(self.usd)


def expected(table: TableDescription, segments: int, *, consistent: bool) -> Cost:
    """What reading all of the table costs, by DynamoDB's own count of its bytes, which is up to six hours old.

    Each segment costs at least one unit, also an empty one.
    """
    units = max(segments, -(-table.size_bytes // RCU_BYTES))
    return Cost.of(table, units if consistent else units / 2)
