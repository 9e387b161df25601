"""What an import says of the table when it is done, as other loaders do not."""

import json
import random
import threading
from decimal import Decimal
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddb_assets.bulk.raw_call import RawClient
from ddb_assets.bulk.scan import ReadCalls, ReadRate, TableReader
from ddb_assets.bulk.writing import delivery
from ddb_assets.bulk.writing.operation import put
from ddb_assets.dynamodb.item import Item
from ddb_assets.imports.account import Verified
from ddb_assets.imports.read_back import KeySet, Sample
from ddb_assets.sandbox.server import Sandbox
from ddb_assets_tests.imports.importing import imported, job
from ddb_assets_tests.support.fault_proxy import Fault, Schedule, fault_proxy
from ddb_assets_tests.support.tables import client_of, items_of, new_table

MERSENNE = (1 << 61) - 1  # Python's hashes of numbers are remainders of it
numbers = st.one_of(st.integers(-50, 50), st.sampled_from([MERSENNE - 1, MERSENNE, MERSENNE + 1, 2 * MERSENNE + 1]))
parts = {
    "N": numbers.map(Decimal),
    "S": st.sampled_from(["", "a", "-1", "-2"]),
    "B": st.sampled_from([b"", b"a", b"-1", b"-2"]),
}
tables = st.lists(st.sampled_from("NSB"), min_size=1, max_size=2)
pairs = tables.flatmap(lambda types: st.tuples(*[st.lists(st.tuples(*(parts[t] for t in types)), max_size=40)] * 2))


@given(pairs)
def test_keys_are_known_again(added_and_asked: tuple[list[tuple[object, ...]], list[tuple[object, ...]]]) -> None:
    added, asked = added_and_asked
    seen = KeySet()
    for key in added:
        seen.add(key)
    assert seen.lacks(asked) == [key not in added for key in asked]
    assert seen.repeated() == len(added) - len(set(added))


def test_keys_with_the_same_hash_in_python_are_different_keys() -> None:
    seen = KeySet()
    seen.add((Decimal(-1),))
    assert seen.lacks([(Decimal(-2),), (Decimal(-1),), (Decimal("-1.0"),), (Decimal(MERSENNE - 1),)]) == [
        *(True, False, False, True)
    ]


def rows(path: Path, numbers: range) -> None:
    path.write_text("".join(json.dumps({"pk": f"k{n}", "sk": n, "v": "x"}) + "\n" for n in numbers))


def test_a_second_import_reports_the_items_that_only_the_table_has(sandbox: Sandbox, tmp_path: Path) -> None:
    """Importing again replaces equal keys and removes nothing; what stays behind can be asked for, and is only reported."""
    target = new_table(sandbox, ("pk", "S"), ("sk", "N"))
    path = tmp_path / "rows.jsonl"
    rows(path, range(300))
    assert imported(sandbox.endpoint_url, target, path).only_in_table is None
    rows(path, range(5, 310))
    for dry_run in (True, False):
        report = imported(sandbox.endpoint_url, target, path, report_extra=True, dry_run=dry_run)
        assert report.only_in_table
        assert report.only_in_table.count == 5
        assert {json.dumps(key, sort_keys=True) for key in report.only_in_table.sample} == {
            json.dumps({"pk": {"S": f"k{n}"}, "sk": {"N": str(n)}}) for n in range(5)
        }
    assert len(items_of(sandbox, target)) == 310


def test_a_resumed_import_knows_the_rows_that_were_settled_before(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "GRACE_SECONDS", 0.05)
    target = new_table(sandbox, ("pk", "S"), ("sk", "N"))
    client_of(sandbox.endpoint_url).put_item(TableName=target.name, Item={"pk": {"S": "own"}, "sk": {"N": "1"}})
    path, folder = tmp_path / "rows.jsonl", tmp_path / "state"
    rows(path, range(300))
    with fault_proxy(sandbox.endpoint_url) as proxy:
        proxy.schedule = Schedule(rate=1.0, spared=4, faults=frozenset({Fault.THROTTLED}))
        assert job(proxy.endpoint_url, target, path, folder=folder, deadline=0.1, in_flight=1).run().problem
    report = imported(sandbox.endpoint_url, target, path, folder=folder, report_extra=True)
    assert report.rows_before
    assert report.only_in_table
    assert (report.only_in_table.count, report.only_in_table.sample) == (1, [{"pk": {"S": "own"}, "sk": {"N": "1"}}])


def test_what_was_written_stays_written_when_the_table_cannot_be_read_afterwards(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    target = new_table(sandbox, ("pk", "S"), ("sk", "N"))
    path = tmp_path / "rows.jsonl"
    rows(path, range(30))
    with fault_proxy(sandbox.endpoint_url) as proxy:
        proxy.schedule = Schedule(rate=1.0, faults=frozenset({Fault.THROTTLING}), operations=frozenset({"Scan"}))
        report = job(proxy.endpoint_url, target, path, report_extra=True, deadline=0.2).run()
    assert report.complete
    assert report.written == 30
    assert report.problem
    assert "everything is written, but the table could not be read afterwards: dynamodb:Scan" in report.problem


def test_a_throttled_read_back_is_tried_again(sandbox: Sandbox, tmp_path: Path) -> None:
    target = new_table(sandbox, ("pk", "S"), ("sk", "N"))
    path = tmp_path / "rows.jsonl"
    rows(path, range(250))
    reads = frozenset({"GetItem", "BatchGetItem"})
    with fault_proxy(sandbox.endpoint_url) as proxy:
        proxy.schedule = Schedule(rate=0.6, budget=9, faults=frozenset(Fault) - {Fault.SLOW}, operations=reads)
        report = job(proxy.endpoint_url, target, path, verify="all").run()
        assert proxy.met.total()
    assert report.problem is None
    assert report.verified == Verified(250, 0, [])


def test_an_interrupt_ends_the_reading_back(sandbox: Sandbox, tmp_path: Path) -> None:
    """As a signal does while the table is read."""
    target = new_table(sandbox, ("pk", "S"), ("sk", "N"))
    path = tmp_path / "rows.jsonl"
    rows(path, range(250))

    class Interrupting(Schedule):
        """Interrupts the job at the first read, which is throttled."""

        def draw(self, operation: str) -> Fault | None:
            if operation != "BatchGetItem":
                return None
            running.interrupt("ended by SIGTERM")
            return Fault.THROTTLED

    with fault_proxy(sandbox.endpoint_url) as proxy:
        proxy.schedule = Interrupting()
        running = job(proxy.endpoint_url, target, path, verify="all")
        report = running.run()
        assert proxy.requests["BatchGetItem"] == 1
    assert (report.complete, report.written, report.verified) == (True, 250, None)
    assert f"dynamodb:BatchGetItem on {target.name} was stopped" in str(report.unread)


def test_of_the_items_that_differ_all_are_counted_and_some_are_named(sandbox: Sandbox, tmp_path: Path) -> None:
    """The table changes between the write and the reading: as if another writer had emptied it."""
    target = new_table(sandbox, ("pk", "S"), ("sk", "N"))
    path = tmp_path / "rows.jsonl"
    rows(path, range(130))

    class Emptied(Schedule):
        """Empties the table when it is read for the first time."""

        def draw(self, operation: str) -> Fault | None:
            if operation == "BatchGetItem":
                for item in items_of(sandbox, target):
                    client_of(sandbox.endpoint_url).delete_item(TableName=target.name, Key=key_of(item))
            return None

    def key_of(item: Item) -> Item:
        return {name: item[name] for name in target.key_names}

    with fault_proxy(sandbox.endpoint_url) as proxy:
        proxy.schedule = Emptied()
        report = job(proxy.endpoint_url, target, path, verify="all").run()
    assert report.verified
    assert (report.verified.read, report.verified.different_count, len(report.verified.different)) == (130, 130, 100)
    assert report.problem == "130 of 130 items read back are not as they were written"


def test_a_sample_keeps_of_each_key_what_was_written_last(sandbox: Sandbox) -> None:
    """Whatever is drawn, replaced and forgotten: what is read back is what the operations leave in the table."""
    target = new_table(sandbox)
    chance = random.Random(3)
    sample, written = Sample(20, target.key_names), {}
    reader = TableReader(
        ReadCalls(client_of(sandbox.endpoint_url), threading.Event(), deadline=5),
        target, ReadRate(target, None), threading.Event(), consistent=True, workers=1,
    )  # fmt: skip
    for number in range(400):
        operation = put(target, {"pk": {"S": f"k{chance.randrange(60)}"}, "n": {"N": str(number)}}, None)
        sample.see(operation)
        if chance.random() < 0.1:
            sample.forget(operation)
        else:
            written[operation.key] = operation
    client = RawClient(client_of(sandbox.endpoint_url))
    for operation in written.values():
        client.call("PutItem", target.name, orjson.dumps({"TableName": target.name, "Item": operation.attributes}))
    assert 15 <= sample.verify(reader).read <= 20
    assert sample.verify(reader).different == []
