"""The proxy really does each fault. Otherwise the tests that use it would prove nothing."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError, ResponseStreamingError

from ddb_assets.sandbox.server import Sandbox
from ddb_assets_tests.support.fault_proxy import Fault, FaultProxy, Schedule, fault_proxy

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

TABLE = "T"
KEY = [{"AttributeName": "id", "KeyType": "HASH"}]


def once(proxy: FaultProxy) -> "DynamoDBClient":
    return boto3.client(
        "dynamodb",
        endpoint_url=proxy.endpoint_url,
        region_name="us-east-1",
        aws_access_key_id="sandbox",
        aws_secret_access_key="sandbox",
        config=Config(retries={"total_max_attempts": 1}, read_timeout=5),
    )


@pytest.fixture(scope="module")
def proxy() -> Iterator[FaultProxy]:
    with Sandbox() as sandbox, fault_proxy(sandbox.endpoint_url) as running:
        sandbox.dynamodb().create_table(
            TableName=TABLE,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=KEY,  # type: ignore[arg-type]
        )
        yield running


def put(proxy: FaultProxy, *ids: str) -> Any:
    operations: Any = [{"PutRequest": {"Item": {"id": {"S": name}}}} for name in ids]
    return once(proxy).batch_write_item(RequestItems={TABLE: operations})


def stored(proxy: FaultProxy) -> set[str]:
    before, proxy.schedule = proxy.schedule, Schedule()
    found = {item["id"]["S"] for item in once(proxy).scan(TableName=TABLE)["Items"]}
    proxy.schedule = before
    return found


def always(fault: Fault, budget: int | None = 1) -> Schedule:
    return Schedule(rate=1.0, budget=budget, faults=frozenset({fault}))


def test_without_a_schedule_it_only_passes_on(proxy: FaultProxy) -> None:
    proxy.schedule = Schedule()
    assert put(proxy, "plain")["UnprocessedItems"] == {}
    assert "plain" in stored(proxy)


@pytest.mark.parametrize(("fault", "at_least", "at_most"), [("unprocessed_some", 1, 4), ("unprocessed_all", 5, 5)])
def test_unprocessed_items_are_not_written_and_not_acknowledged(
    proxy: FaultProxy, fault: str, at_least: int, at_most: int
) -> None:
    names = [f"{fault}-{n}" for n in range(5)]
    proxy.schedule = always(Fault(fault))
    back = {op["PutRequest"]["Item"]["id"]["S"] for op in put(proxy, *names)["UnprocessedItems"][TABLE]}
    assert at_least <= len(back) <= at_most
    assert stored(proxy) & set(names) == set(names) - back
    acknowledged = "".join(text for _, text in proxy.acknowledged)
    assert all((f'"{name}"' in acknowledged) == (name not in back) for name in names)


@pytest.mark.parametrize(
    ("fault", "code", "written"),
    [
        ("throttled", "ProvisionedThroughputExceededException", False),
        ("throttling", "ThrottlingException", False),
        ("request_limit", "RequestLimitExceeded", False),
        ("error_before", "InternalServerError", False),
        ("error_after", "InternalServerError", True),
    ],
)
def test_errors_say_what_aws_says(proxy: FaultProxy, fault: str, code: str, written: bool) -> None:
    proxy.schedule = always(Fault(fault))
    with pytest.raises(ClientError) as refused:
        put(proxy, fault)
    assert refused.value.response["Error"]["Code"] == code
    assert (fault in stored(proxy)) == written


@pytest.mark.parametrize(("fault", "written"), [("reset_before", False), ("reset_after", True), ("cut_off", True)])
def test_connections_break_before_or_after_the_write(proxy: FaultProxy, fault: str, written: bool) -> None:
    proxy.schedule = always(Fault(fault))
    with pytest.raises((ConnectionClosedError, ResponseStreamingError)):
        put(proxy, fault)
    assert (fault in stored(proxy)) == written


def test_what_aws_refuses_is_refused(proxy: FaultProxy) -> None:
    proxy.schedule = Schedule()
    with pytest.raises(ClientError, match="contains duplicates"):
        put(proxy, "twice", "twice")
    with pytest.raises(ClientError, match="less than or equal to 25"):
        put(proxy, *(f"many-{n}" for n in range(26)))
    for condition, many in ((" AND ".join(["a = a"] * 200), "operators"), (f"a = {'a' * 5000}", "size")):
        with pytest.raises(ClientError, match=many):
            once(proxy).put_item(TableName=TABLE, Item={"id": {"S": "long"}}, ConditionExpression=condition)
    assert not {"twice", "many-0", "long"} & stored(proxy)


def test_pages_can_be_short_and_empty(proxy: FaultProxy) -> None:
    proxy.schedule = Schedule()
    put(proxy, *(f"page-{n}" for n in range(10)))
    everything = stored(proxy)
    proxy.schedule = Schedule(page_limit=3)
    pages = list(once(proxy).get_paginator("scan").paginate(TableName=TABLE))
    assert max(len(page["Items"]) for page in pages) <= 3
    assert {item["id"]["S"] for page in pages for item in page["Items"]} == everything
    proxy.schedule = Schedule(page_limit=1)
    wanted: Any = {"FilterExpression": "id = :i", "ExpressionAttributeValues": {":i": {"S": "page-5"}}}
    pages = list(once(proxy).get_paginator("scan").paginate(TableName=TABLE, **wanted))
    assert sum(not page["Items"] for page in pages) >= len(everything) - 1


def test_a_budget_ends_and_none_does_not(proxy: FaultProxy) -> None:
    proxy.schedule = always(Fault.THROTTLED, budget=None)
    for _ in range(5):
        with pytest.raises(ClientError):
            put(proxy, "never")
    proxy.schedule = always(Fault.THROTTLED, budget=1)
    with pytest.raises(ClientError):
        put(proxy, "never")
    assert "never" not in stored(proxy)
    put(proxy, "later")
    assert "later" in stored(proxy)
