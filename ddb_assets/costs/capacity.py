"""What read and write units cost, of tables on demand. Those of provisioned tables are paid for in any case. Pure."""

from ddb_assets.costs.prices import Prices


def units_usd(at: Prices, *, rcu: float = 0.0, wcu: float = 0.0) -> float:
    """The price of so many units in US dollars."""
    return (rcu * at.dynamodb.million_reads + wcu * at.dynamodb.million_writes) / 1e6


def money(usd: float) -> str:
    """An amount in words: cents are the least that is shown."""
    return f"${usd:,.2f}" if usd >= 0.01 else "less than $0.01"
