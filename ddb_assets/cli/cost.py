"""`ddb-assets cost`: this month's exports as AWS billed them, and the estimate of a whole month, table by table."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ddb_assets.aws.clients import AWS
from ddb_assets.aws.table import describe_table
from ddb_assets.cli.declared import instance, tables
from ddb_assets.cli.output import print_grid, print_json, say
from ddb_assets.contract.stages import Stage
from ddb_assets.contract.table import Table
from ddb_assets.costs.month import Known, Line, Load, month, total
from ddb_assets.costs.prices import Prices, prices
from ddb_assets.costs.s3_requests import S3Requests
from ddb_assets.exports.billed import BilledMonth, billed_month
from ddb_assets.exports.request import PitrDisabledError, RequestError, TableExports
from ddb_assets.status.pictures import Silent

if TYPE_CHECKING:
    from dagster import DagsterInstance


@dataclass(frozen=True)
class _Cost:
    table: Table
    spent: BilledMonth
    lines: Sequence[Line]

    def document(self, at: Prices) -> dict[str, object]:
        return {
            "name": self.table.name,
            "table": self.table.table,
            "exports_this_month": len(self.spent.exports),
            "billed_bytes_this_month": self.spent.bytes,
            "usd_this_month": round(self.spent.usd(at), 6),
            "max_cost": self.table.max_cost,
            "usd_per_month": round(total(self.lines), 6),
            "usd_once": round(sum(line.usd for line in self.lines if line.once), 6),
            "lines": [asdict(line) for line in self.lines],
        }


def run(names: Sequence[str], project: Path, rpu: int, load_seconds: float, *, as_json: bool) -> None:
    """Prints a table of lines for each declared table and their sum, or one JSON document."""
    at, aws, declared = prices(), AWS(), tables(names, (), project)
    with instance() as dagster:
        costs = [_of(table, aws, at, Load(rpu, load_seconds), _requests(table, dagster)) for table in declared]
    if as_json:
        print_json(
            {
                "prices": at.model_dump(mode="json"),
                "usd_this_month": round(sum(cost.spent.usd(at) for cost in costs), 6),
                "usd_per_month": round(sum(total(cost.lines) for cost in costs), 6),
                "tables": [cost.document(at) for cost in costs],
            }
        )
        return
    for cost in costs:
        rows = [(line.what, line.usd, "once" if line.once else "a month", line.how) for line in cost.lines]
        print_grid(f"{cost.table.name}: {cost.table.table}", ("", "US dollars", "", "of what"), rows)
        limit = f" of {cost.table.max_cost:,.2f} that `max_cost` allows" if cost.table.max_cost else ""
        say(
            f"this month so far: {cost.spent.usd(at):,.2f} US dollars{limit}, for {cost.spent.bytes:,} billed bytes "
            f"(exports: {len(cost.spent.exports):,}); a whole month: about {total(cost.lines):,.2f}\n"
        )
    say(f"all tables: {sum(cost.spent.usd(at) for cost in costs):,.2f} this month so far, ", nl=False)
    say(f"about {sum(total(cost.lines) for cost in costs):,.2f} in a whole month")
    say(f"{at.said}; storage in S3, and requests that others make there, are not in it")


def _requests(table: Table, dagster: "DagsterInstance | Silent") -> S3Requests | None:
    """What the newest window, or the newest load of everything, has asked of S3, as Dagster knows it."""
    if isinstance(dagster, Silent) or table.source == "stream":
        return None
    from ddb_assets.orchestration.metadata import key_of
    from ddb_assets.orchestration.s3_requests import newest_requests

    parquet: Stage = "full_parquet" if table.load == "replace" else "window_parquet"
    scanned: tuple[Stage, ...] = ("scan",) if table.source == "scan" else ()
    return newest_requests(dagster, [key_of(table, stage) for stage in (*scanned, parquet, "warehouse")])


def _of(table: Table, aws: AWS, at: Prices, load: Load, requests: S3Requests | None) -> _Cost:
    client = aws.dynamodb(table.table)
    described = describe_table(client, table.table)
    spent = billed_month(client, described.arn)
    known = Known(
        size_bytes=described.size_bytes,
        on_demand=described.on_demand,
        has_pitr=_has_pitr(table, aws),
        window_bytes=spent.window_bytes,
        requests=requests,
    )
    return _Cost(table, spent, month(table, known, at, load))


def _has_pitr(table: Table, aws: AWS) -> bool:
    if table.source != "exports":
        return False
    try:
        TableExports(aws.dynamodb(table.table), table.table).restorable()
    except PitrDisabledError:
        return False
    except RequestError:
        return True  # it is just starting
    return True
