"""What a scan will do: which table, how many segments, how fast, and at what cost. Nothing is read yet.

Facts: DynamoDB Developer Guide, "Working with scans" (parallel scans; a filter is applied after reading, so it makes no scan
cheaper).
"""

import hashlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from ddb_assets.aws.table import TableDescription, describe_table
from ddb_assets.bulk.limits import DEADLINE_SECONDS
from ddb_assets.bulk.options import Filter
from ddb_assets.bulk.scan import ReadCalls, ReadRate, TableReader, segments_for
from ddb_assets.contract.scan import ScanOptions
from ddb_assets.errors import DdbAssetsError
from ddb_assets.scans.cost import Cost, expected

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


class ScanRefusedError(DdbAssetsError):
    """The table cannot be scanned as it is asked for; the message says what to change."""


@dataclass(frozen=True)
class ScanPlan:
    """A scan that may begin. `client` describes the table; the reader has a client of its own. Times are seconds.

    `where` and `attributes` leave something out; without them the scan is of the whole table. `stopped` ends all reading.
    """

    client: "DynamoDBClient"
    table: TableDescription
    options: ScanOptions
    where: Filter | None
    attributes: tuple[str, ...]
    reader: TableReader
    stopped: threading.Event
    segments: int
    cost: Cost

    @property
    def seconds(self) -> float | None:
        """The least time that it takes at its rate; None without a bound."""
        rate = self.reader.rate.units_per_second
        return None if rate is None else round(self.cost.rcu / rate, 1)

    def world(self, out: str) -> Mapping[str, object]:
        """All that the progress of this scan is true for."""
        return {
            "table": self.table.identity,
            "out": out,
            "filter": self.where and self.where.parameters(),
            "projection": sorted(self.attributes),
            "consistent": self.options.consistent,
        }

    def job(self, out: str) -> str:
        """A name for the scan of this table into this place."""
        return hashlib.sha256(orjson.dumps([self.table.arn, out])).hexdigest()[:16]


def plan_scan(
    client: "DynamoDBClient",
    bulk: "DynamoDBClient",
    table: str,
    options: ScanOptions,
    *,
    where: Filter | None = None,
    attributes: tuple[str, ...] = (),
    deadline: float = DEADLINE_SECONDS,
) -> ScanPlan:
    """Checks what can be checked without reading the table. `bulk` is made with BULK_CLIENT.

    A request is tried again for `deadline` seconds. Raises AwsError, UnfitTableError, ScanRefusedError, and ReadError for a
    mistake in the filter.
    """
    described = describe_table(client, table)
    described.check_active()
    if described.id is None:
        raise ScanRefusedError(
            f"DescribeTable does not say the id of {described.name}, so a table that is created again could not be told from "
            "it: check AWS_ENDPOINT_URL"
        )
    max_rcu, share = options.rate
    if share is not None and not described.rcu:
        raise ScanRefusedError(
            f"max_rcu is {options.max_rcu} of the capacity of {described.name}, which is on demand and has no maximum: write a "
            "number of RCUs per second, such as 200"
        )
    stopped = threading.Event()
    rate = ReadRate(described, max_rcu, share=share)
    calls = ReadCalls(bulk, stopped, deadline=deadline)
    reader = TableReader(calls, described, rate, stopped, consistent=options.consistent, workers=options.workers)
    if where or attributes:  # finds a mistake in them before anything is begun
        reader.scan(0, 1, None, where=where, attributes=attributes, limit=1)
    segments = options.segments or segments_for(described, reader.readers)
    cost = expected(described, segments, consistent=options.consistent)
    return ScanPlan(client, described, options, where, attributes, reader, stopped, segments, cost)
