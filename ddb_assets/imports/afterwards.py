"""What the table is like when everything is written: some items read back, and items that no row was for.

For the latter, which a second import leaves where they are, the whole table is read, by its keys. Nothing is done to it.
"""

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ddb_assets.aws.errors import explained
from ddb_assets.bulk.raw_call import RawCalls
from ddb_assets.bulk.scan import ReadRate, TableReader
from ddb_assets.bulk.target import Target
from ddb_assets.dynamodb.item import Item, item_key
from ddb_assets.errors import DdbAssetsError
from ddb_assets.imports.key_set import KeySet
from ddb_assets.imports.report import OnlyInTable, Verified
from ddb_assets.imports.verify import Sample

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

SAMPLE = 10


@dataclass(frozen=True)
class Afterwards:
    """What was found, as far as it was asked for, and what is wrong with it."""

    verified: Verified | None = None
    only_in_table: OnlyInTable | None = None
    problem: str | None = None


def look_back(
    client: "DynamoDBClient",
    target: Target,
    sample: Sample | None,
    seen: KeySet | None,
    stopped: threading.Event,
    deadline: float,
) -> Afterwards:
    """Reads the sample back, and the table's keys to find those that were not `seen`; None: not asked for."""
    try:
        verified = sample.verify(client, target) if sample else None
        extra = _only_in_table(client, target, seen, stopped, deadline) if seen else None
    except DdbAssetsError as error:
        return Afterwards(problem=f"everything is written, but the table could not be read afterwards: {error}")
    if verified and verified.different:
        count = f"{len(verified.different)} of {verified.read}"
        return Afterwards(verified, extra, f"{count} items read back are not as they were written")
    return Afterwards(verified, extra)


def _only_in_table(
    client: "DynamoDBClient", target: Target, seen: KeySet, stopped: threading.Event, deadline: float
) -> OnlyInTable:
    """Scans the table, at half its provisioned read capacity at most. Raises ReadError, AwsError."""
    with explained("dynamodb:DescribeTable", target.name):
        table = client.describe_table(TableName=target.address)["Table"]
    rate = ReadRate(table, None)
    reader = TableReader(
        RawCalls(client, stopped, deadline=deadline), table, target.address, rate, stopped, consistent=True, workers=1
    )
    count = 0
    sample: list[Item] = []
    start = None
    while True:
        page = reader.scan(0, 1, start, keys_only=True)
        lacks = seen.lacks([item_key(item, target.key) for item in page.items])
        found = [reader.key(item) for item, lacking in zip(page.items, lacks, strict=True) if lacking]
        count += len(found)
        sample += found[: SAMPLE - len(sample)]
        start = page.next_key
        if start is None:
            return OnlyInTable(count, sample, rate.consumed)
