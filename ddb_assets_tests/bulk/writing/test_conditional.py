"""Writes that are carried out only while the item is the expected one, also when an answer is lost."""

from collections.abc import Iterator
from typing import Any

import pytest

from ddb_assets.aws import pauses
from ddb_assets.aws.table import TableDescription
from ddb_assets.bulk.writing.operation import Operation, delete, put
from ddb_assets.bulk.writing.writer import BulkWriter
from ddb_assets.dynamodb.item import Item, canonical_json
from ddb_assets.sandbox.server import Sandbox
from ddb_assets_tests.support.fault_proxy import Fault, FaultProxy, Schedule, fault_proxy
from ddb_assets_tests.support.tables import client_of, items_of, new_table

RICH: Item = {
    "pk": {"S": "k"},
    "n": {"N": "1"},
    "b": {"B": "AQI="},
    "null": {"NULL": True},
    "yes": {"BOOL": True},
    "set": {"NS": ["1", "2"]},
    "bytes": {"BS": ["AQ==", "Ag=="]},
    "list": {"L": [{"M": {"a": {"N": "2"}}}, {"S": ""}]},
    **{f"attribute with a long name {n}": {"S": "x"} for n in range(200)},
}
OTHER: Item = {"pk": {"S": "k"}, "n": {"N": "2"}}
NEW: Item = {"pk": {"S": "k"}, "new": {"S": "x"}}


@pytest.fixture(scope="module")
def proxy(sandbox: Sandbox) -> Iterator[FaultProxy]:
    with fault_proxy(sandbox.endpoint_url) as running:
        yield running


@pytest.fixture
def target(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> TableDescription:
    monkeypatch.setattr(pauses, "FIRST_PAUSE", 0.001)
    return new_table(sandbox)


def written(endpoint: str, target: TableDescription, *operations: Operation) -> tuple[tuple[int, int, int], list[Any]]:
    """How many were written, deleted and found another item; and the tokens of these last."""
    other: list[Any] = []
    with BulkWriter(client_of(endpoint), target, on_existed=lambda operation: other.append(operation.token)) as writer:
        for operation in operations:
            writer.write(operation)
    return (writer.totals.written, writer.totals.deleted, writer.totals.existed), other


def there(sandbox: Sandbox, target: TableDescription) -> list[bytes]:
    return [canonical_json(item) for item in items_of(sandbox, target)]


@pytest.mark.parametrize("fault", [None, Fault.ERROR_AFTER, Fault.RESET_AFTER, Fault.CUT_OFF, Fault.THROTTLED])
def test_only_the_expected_item_is_replaced_or_deleted(
    sandbox: Sandbox, proxy: FaultProxy, target: TableDescription, fault: Fault | None
) -> None:
    direct, endpoint = sandbox.endpoint_url, proxy.endpoint_url
    conditional: list[tuple[Operation, tuple[int, int, int], list[bytes]]] = [
        (put(target, NEW, "put", expected=RICH), (1, 0, 0), [canonical_json(NEW)]),
        (delete(target, NEW, "delete", expected=RICH), (0, 1, 0), []),
    ]
    for operation, counts, left in conditional:
        for item, expected in ((RICH, (counts, [])), (OTHER, ((0, 0, 1), [operation.token]))):
            written(direct, target, put(target, item, None))
            budget = 1 if fault else 0
            proxy.schedule = Schedule(rate=1.0, budget=budget, faults=frozenset({fault} if fault else ()))
            assert written(endpoint, target, operation) == expected
            assert there(sandbox, target) == (left if item is RICH else [canonical_json(OTHER)])


def test_writes_on_one_key_stay_in_order(sandbox: Sandbox, target: TableDescription) -> None:
    """A conditional write takes the place of no other one."""
    operations = [
        put(target, RICH, 1),
        put(target, OTHER, 2, expected=RICH),
        put(target, NEW, 3, expected=RICH),
        delete(target, NEW, 4, expected=OTHER),
        put(target, NEW, 5),
    ]
    assert written(sandbox.endpoint_url, target, *operations) == ((3, 1, 1), [3])
    assert there(sandbox, target) == [canonical_json(NEW)]
