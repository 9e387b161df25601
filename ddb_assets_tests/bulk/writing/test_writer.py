"""The writer against a table, with everything in between that networks and DynamoDB do."""

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from ddb_assets.aws import pauses
from ddb_assets.aws.table import TableDescription
from ddb_assets.bulk.writing import delivery
from ddb_assets.bulk.writing.operation import Operation, delete, put
from ddb_assets.bulk.writing.outcome import Totals, Unwritten, WriterStoppedError
from ddb_assets.bulk.writing.writer import BulkWriter
from ddb_assets.dynamodb.item import canonical_json
from ddb_assets.sandbox.server import Sandbox
from ddb_assets_tests.support.answering import answering
from ddb_assets_tests.support.examples import examples
from ddb_assets_tests.support.fault_proxy import Fault, FaultProxy, Schedule, fault_proxy
from ddb_assets_tests.support.tables import client_of, items_of, new_table

SCHEDULES = examples(30)


@pytest.fixture(scope="module")
def proxy(sandbox: Sandbox) -> Iterator[FaultProxy]:
    with fault_proxy(sandbox.endpoint_url) as running:
        yield running


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short pauses: what is tested is that there are some, and an end."""
    monkeypatch.setattr(pauses, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(delivery, "GRACE_SECONDS", 0.05)
    monkeypatch.setattr(delivery, "LOGIN_SECONDS", 0.05)


@dataclass
class Heard:
    """What a writer reported."""

    settled: list[Any] = field(default_factory=list)
    unwritten: list[Unwritten] = field(default_factory=list)

    def writer(self, endpoint_url: str, target: TableDescription, **more: Any) -> BulkWriter:
        return BulkWriter(
            client_of(endpoint_url),
            target,
            on_settled=self.settled.extend,
            on_unwritten=self.unwritten.append,
            **more,
        )


def ended(totals: Totals) -> int:
    """Operations that came to one end or another."""
    return totals.written + totals.deleted + totals.existed + totals.superseded + totals.rejected + totals.unprocessed


def state(items: list[Any]) -> Counter[object]:
    return Counter(canonical_json(item) for item in items)


def some_item(chance: random.Random, number: int, keys: int) -> dict[str, Any]:
    text = chance.choice(["x", "é" * 40, "y" * 900])
    extra = chance.choice([{"S": text}, {"B": "AAEC"}, {"NS": ["1", "2.50"]}, {"L": [{"NULL": True}]}])
    return {"pk": {"S": f"k{chance.randrange(keys)}"}, "n": {"N": str(number)}, "extra": extra}


@pytest.mark.slow
@pytest.mark.soak
def test_on_any_schedule_of_faults_nothing_is_lost_and_the_last_write_wins(sandbox: Sandbox, proxy: FaultProxy) -> None:
    for seed in range(SCHEDULES):
        chance = random.Random(seed)
        target = new_table(sandbox)
        proxy.schedule = Schedule(
            seed=chance.getrandbits(32), rate=chance.random(), budget=chance.randrange(9), delay=0.005
        )
        heard = Heard()
        expected: dict[str, Any] = {}
        count = chance.randrange(1, 120)
        keys = chance.choice([3, 30, 1000])
        with heard.writer(proxy.endpoint_url, target, in_flight=chance.randint(1, 8)) as writer:
            for number in range(count):
                item = some_item(chance, number, keys)
                if chance.random() < 0.25:
                    expected.pop(item["pk"]["S"], None)
                    writer.write(delete(target, item, number))
                else:
                    expected[item["pk"]["S"]] = item
                    writer.write(put(target, item, number))
        assert state(items_of(sandbox, target)) == state(list(expected.values())), seed
        assert sorted(heard.settled) == list(range(count)), seed
        assert not heard.unwritten, seed
        assert ended(writer.totals) == count, seed
        client_of(sandbox.endpoint_url).delete_table(TableName=target.name)
    assert not proxy.refused
    assert set(proxy.met) == set(Fault)


@pytest.mark.parametrize("fault", [Fault.UNPROCESSED_ALL, Fault.UNPROCESSED_SOME, Fault.THROTTLED, Fault.RESET_AFTER])
def test_what_is_still_unwritten_at_the_deadline_stops_the_writer_and_is_handed_over_whole(
    sandbox: Sandbox, proxy: FaultProxy, fault: Fault
) -> None:
    target = new_table(sandbox)
    proxy.schedule = Schedule(rate=0.8, faults=frozenset({fault}))
    proxy.schedule.rate = 1.0
    heard = Heard()
    items = [{"pk": {"S": f"k{i}"}, "b": {"B": "AAEC"}} for i in range(200)]
    writer = heard.writer(proxy.endpoint_url, target, deadline=0.1)
    accepted = 0
    with pytest.raises(WriterStoppedError, match="could not be written within"):  # noqa: PT012 -- wherever it stops
        for number, item in enumerate(items):
            writer.write(put(target, item, number))
            accepted += 1
        writer.close()
    with pytest.raises(WriterStoppedError):
        writer.close()
    totals = writer.totals
    assert totals.unprocessed == len(heard.unwritten) > 0
    assert accepted <= ended(totals) <= accepted + 1
    handed = {u.operation.attributes["pk"]["S"]: u.operation.attributes for u in heard.unwritten}
    assert all(u.fate == "unprocessed" for u in heard.unwritten)
    assert all(items[int(pk[1:])] == item for pk, item in handed.items())
    there = {item["pk"]["S"] for item in items_of(sandbox, target)}
    assert {f"k{number}" for number in heard.settled} <= there
    assert not {f"k{number}" for number in heard.settled} & handed.keys()


def test_two_operations_on_one_key_never_meet_in_a_batch(sandbox: Sandbox, proxy: FaultProxy) -> None:
    proxy.schedule = Schedule()
    before = len(proxy.refused)
    target = new_table(sandbox, ("pk", "S"), ("sk", "N"))
    with BulkWriter(client_of(proxy.endpoint_url), target) as writer:
        writer.write(put(target, {"pk": {"S": "a"}, "sk": {"N": "1"}, "v": {"S": "first"}}, None))
        writer.write(put(target, {"pk": {"S": "a"}, "sk": {"N": "1.0"}, "v": {"S": "second"}}, None))
        writer.write(put(target, {"pk": {"S": "a"}, "sk": {"N": "10E-1"}, "v": {"S": "third"}}, None))
        writer.write(put(target, {"pk": {"S": "b"}, "sk": {"N": "1"}, "v": {"S": "other"}}, None))
    assert (writer.totals.written, writer.totals.superseded) == (2, 2)
    assert {item["v"]["S"] for item in items_of(sandbox, target)} == {"third", "other"}
    assert len(proxy.refused) == before


def test_a_key_that_is_written_again_and_again_ends_with_its_last_write(sandbox: Sandbox, proxy: FaultProxy) -> None:
    proxy.schedule = Schedule(seed=5, rate=0.3, budget=20)
    target = new_table(sandbox)
    with BulkWriter(client_of(proxy.endpoint_url), target, in_flight=8) as writer:
        for number in range(1000):
            writer.write(
                put(target, {"pk": {"S": "hot" if number % 30 == 0 else f"k{number}"}, "n": {"N": str(number)}}, None)
            )
    (hot,) = [item for item in items_of(sandbox, target) if item["pk"]["S"] == "hot"]
    assert hot["n"] == {"N": "990"}


def test_a_conditional_put_leaves_what_is_there(sandbox: Sandbox, proxy: FaultProxy) -> None:
    target = new_table(sandbox)
    proxy.schedule = Schedule()
    with BulkWriter(client_of(proxy.endpoint_url), target) as writer:
        writer.write(put(target, {"pk": {"S": "old"}, "v": {"S": "before"}}, None))
    proxy.schedule = Schedule(seed=1, rate=0.5, budget=10)
    with BulkWriter(client_of(proxy.endpoint_url), target) as writer:
        for name in ("old", *(f"k{i}" for i in range(30)), "k1"):
            writer.write(put(target, {"pk": {"S": name}, "v": {"S": "after"}}, None, if_absent=True))
    assert (writer.totals.written, writer.totals.existed) == (30, 2)  # also when an answer got lost after the write
    assert {item["v"]["S"] for item in items_of(sandbox, target) if item["pk"]["S"] == "old"} == {"before"}


def test_one_operation_that_dynamodb_refuses_does_not_take_its_batch_along(sandbox: Sandbox) -> None:
    target = new_table(sandbox)
    heard = Heard()
    with heard.writer(sandbox.endpoint_url, target) as writer:
        for number in range(60):
            writer.write(put(target, {"pk": {"S": f"k{number}"}}, number))
            if number % 20 == 7:  # what our own checks would have found
                writer.write(Operation("put", (f"bad{number}",), b'{"pk":{"N":"1"}}', (1,), f"bad{number}"))
    assert writer.totals.rejected == 3
    assert len(items_of(sandbox, target)) == writer.totals.written == 60
    assert {(u.fate, u.operation.token) for u in heard.unwritten} == {
        ("rejected", "bad7"),
        ("rejected", "bad27"),
        ("rejected", "bad47"),
    }
    assert len(heard.settled) == 63


def test_a_table_that_is_not_there_stops_the_writer(sandbox: Sandbox) -> None:
    target = new_table(sandbox)
    sandbox.dynamodb().delete_table(TableName=target.name)
    heard = Heard()
    writer = heard.writer(sandbox.endpoint_url, target)
    writer.write(put(target, {"pk": {"S": "k"}}, 1))
    with pytest.raises(WriterStoppedError, match="there is no such table"):
        writer.close()
    assert (writer.totals.unprocessed, heard.settled) == (1, [])


def test_expired_credentials_stop_the_writer_cleanly(sandbox: Sandbox) -> None:
    target = new_table(sandbox)
    heard = Heard()
    error = b'{"__type":"com.amazon.coral.service#ExpiredTokenException","message":"The security token is expired"}'
    with answering(lambda *_: (400, error)) as endpoint:
        writer = heard.writer(endpoint, target)
        for number in range(60):
            writer.write(put(target, {"pk": {"S": f"k{number}"}}, number))
        with pytest.raises(WriterStoppedError, match="log in again"):
            writer.close()
    assert (writer.totals.unprocessed, heard.settled) == (60, [])


def test_a_stopped_writer_finishes_what_is_in_flight(sandbox: Sandbox, proxy: FaultProxy) -> None:
    target = new_table(sandbox)
    proxy.schedule = Schedule(rate=1.0, faults=frozenset({Fault.SLOW}), delay=0.2)
    heard = Heard()
    writer = heard.writer(proxy.endpoint_url, target, in_flight=2)
    for number in range(60):
        writer.write(put(target, {"pk": {"S": f"k{number}"}}, number))
    writer.stop("somebody said so")
    with pytest.raises(WriterStoppedError, match="somebody said so"):
        writer.write(put(target, {"pk": {"S": "late"}}, None))
    with pytest.raises(WriterStoppedError, match="somebody said so"):
        writer.close()
    assert (writer.totals.written, writer.totals.unprocessed) == (50, 10)
    assert len(items_of(sandbox, target)) == len(heard.settled) == 50


def test_an_error_of_the_callers_is_not_swallowed(sandbox: Sandbox) -> None:
    target = new_table(sandbox)

    def broken(_: object) -> None:
        raise LookupError("of the caller's")

    writer = BulkWriter(client_of(sandbox.endpoint_url), target, on_settled=broken)
    writer.write(put(target, {"pk": {"S": "k"}}, None))
    with pytest.raises(LookupError, match="of the caller's"):
        writer.close()
