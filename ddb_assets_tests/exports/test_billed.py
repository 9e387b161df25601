"""What a month's exports cost by AWS's own list, and `max_cost`, which keeps an export from being requested."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from ddb_assets.contract.windows import Window
from ddb_assets.costs.month import LEAST_BILLED
from ddb_assets.costs.prices import GB, prices
from ddb_assets.exports.billed import BilledExport, BilledMonth, CostLimitError, billed_month
from ddb_assets.exports.follow import wait
from ddb_assets.exports.request import Destination, FullExport, Increment, TableExports
from ddb_assets.microseconds import from_micros
from ddb_assets.sandbox.server import Sandbox, Write

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

TABLE, BUCKET = "Orders", "exports"
HERE = Destination(BUCKET)
WINDOW_USD = LEAST_BILLED / GB * prices().dynamodb.export_gb


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(export_delay=timedelta(0)) as sandbox:
        sandbox.s3().create_bucket(Bucket=BUCKET)
        sandbox.dynamodb().create_table(
            TableName=TABLE,
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
        )
        long_ago = now(sandbox) - timedelta(days=20)
        sandbox.enable_recovery(TABLE, long_ago)
        sandbox.seed(TABLE, [Write(long_ago, {"id": {"S": "1"}, "text": {"S": "x" * 1000}})])
        yield sandbox


def now(sandbox: Sandbox) -> datetime:
    return from_micros(sandbox.clock.micros())


def window(sandbox: Sandbox, number: int) -> Increment:
    start = (now(sandbox) - timedelta(days=2)).replace(minute=0, second=0, microsecond=0) + timedelta(hours=number)
    return Increment(Window(start, start + timedelta(hours=1)), "NEW_AND_OLD_IMAGES")


def export(client: "DynamoDBClient", exports: TableExports, what: FullExport | Increment) -> None:
    wait(client, exports.request(what, HERE).arn, timeout=timedelta(minutes=1))


def test_this_months_exports_are_those_that_aws_lists(sandbox: Sandbox) -> None:
    client = sandbox.dynamodb()
    exports = TableExports(client, TABLE)
    assert billed_month(client, exports.arn).bytes == 0
    export(client, exports, FullExport("a"))
    export(client, exports, window(sandbox, 0))
    month = billed_month(client, exports.arn)
    full = month.exports[1].bytes
    assert [one.full for one in month.exports] == [False, True]
    assert full
    assert full > 1000
    assert month.bytes == LEAST_BILLED + full
    assert month.usd(prices()) == pytest.approx(month.bytes / GB * prices().dynamodb.export_gb)
    next_month = (datetime.now(UTC).replace(day=28) + timedelta(days=4)).replace(day=1)
    described: list[object] = []
    client.meta.events.register("before-call.dynamodb.DescribeExport", lambda **_: described.append(1))
    assert billed_month(client, exports.arn) == month
    assert not described, "exports that have ended do not change"
    assert billed_month(client, exports.arn, next_month + timedelta(days=1)).exports == []
    assert billed_month(client, exports.arn) == month
    assert len(described) == 2, "those of another month are forgotten"


def test_no_export_is_requested_beyond_the_limit(sandbox: Sandbox) -> None:
    client = sandbox.dynamodb()
    exports = TableExports(client, TABLE, max_usd=2.5 * WINDOW_USD)
    export(client, exports, window(sandbox, 0))
    export(client, exports, window(sandbox, 1))
    with pytest.raises(CostLimitError, match=r"the 2 exports of .* cost .* `max_cost` is") as refused:
        exports.request(window(sandbox, 2), HERE)
    assert exports.arn in str(refused.value)
    assert len(billed_month(client, exports.arn).exports) == 2
    assert exports.request(window(sandbox, 1), HERE).status == "COMPLETED"  # what exists costs nothing
    export(client, TableExports(client, TABLE, max_usd=3.5 * WINDOW_USD), window(sandbox, 2))
    export(client, TableExports(client, TABLE), window(sandbox, 3))  # without a limit


def test_a_full_export_is_as_large_as_the_table(sandbox: Sandbox) -> None:
    client = sandbox.dynamodb()
    size = client.describe_table(TableName=TABLE)["Table"]["TableSizeBytes"]
    usd = size / GB * prices().dynamodb.export_gb
    with pytest.raises(CostLimitError):
        TableExports(client, TABLE, max_usd=usd * 0.9).request(FullExport("a"), HERE)
    export(client, TableExports(client, TABLE, max_usd=usd * 1.1), FullExport("a"))


def test_what_runs_counts_as_much_as_the_largest_before() -> None:
    first_day, running = datetime(2026, 11, 1, tzinfo=UTC), BilledExport("c", full=False, bytes=None)
    before = [BilledExport("b", full=False, bytes=3 * GB), BilledExport("a", full=True, bytes=5)]
    month = BilledMonth(first_day, [running, *before])
    assert month.bytes == 6 * GB + 5
    assert month.next_window() == 3 * GB
    assert BilledMonth(first_day, [running]).bytes == LEAST_BILLED
    assert BilledMonth(first_day, [BilledExport("d", full=True, bytes=None)]).bytes == LEAST_BILLED
