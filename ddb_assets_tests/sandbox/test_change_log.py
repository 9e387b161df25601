"""The content of exports after every kind of write call, and after random histories."""

import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ddb_assets.sandbox.change_log import ChangeLog, LoggedWrite
from ddb_assets.sandbox.clock import Clock
from ddb_assets.sandbox.server import Write
from ddb_assets_tests.sandbox.account import Account, Exported

Item = dict[str, Any]
State = dict[str, Item]


def item(key: str, value: int) -> Item:
    return {"id": {"S": key}, "v": {"N": str(value)}}


def put(account: Account, table: str, key: str, value: int) -> None:
    account.dynamodb.put_item(TableName=table, Item=item(key, value))


def put_update(account: Account, table: str, key: str, value: int) -> None:
    account.dynamodb.update_item(
        TableName=table,
        Key={"id": {"S": key}},
        UpdateExpression="SET v = :v",
        ExpressionAttributeValues={":v": {"N": str(value)}},
    )


def put_legacy_update(account: Account, table: str, key: str, value: int) -> None:
    account.dynamodb.update_item(
        TableName=table, Key={"id": {"S": key}}, AttributeUpdates={"v": {"Value": {"N": str(value)}, "Action": "PUT"}}
    )


def put_batch(account: Account, table: str, key: str, value: int) -> None:
    account.dynamodb.batch_write_item(RequestItems={table: [{"PutRequest": {"Item": item(key, value)}}]})


def put_transaction(account: Account, table: str, key: str, value: int) -> None:
    account.dynamodb.transact_write_items(TransactItems=[{"Put": {"TableName": table, "Item": item(key, value)}}])


def put_partiql(account: Account, table: str, key: str, value: int) -> None:
    """Statements as moto's parser accepts them: literals in INSERT and DELETE, parameters in UPDATE."""
    run = account.dynamodb.execute_statement
    if run(Statement=f'SELECT * FROM "{table}" WHERE id = ?', Parameters=[{"S": key}])["Items"]:
        run(Statement=f'UPDATE "{table}" SET v = ? WHERE id = ?', Parameters=[{"N": str(value)}, {"S": key}])
    else:
        run(Statement=f"INSERT INTO \"{table}\" VALUE {{'id': '{key}', 'v': {value}}}")


def delete(account: Account, table: str, key: str) -> None:
    account.dynamodb.delete_item(TableName=table, Key={"id": {"S": key}})


def delete_batch(account: Account, table: str, key: str) -> None:
    account.dynamodb.batch_write_item(RequestItems={table: [{"DeleteRequest": {"Key": {"id": {"S": key}}}}]})


def delete_transaction(account: Account, table: str, key: str) -> None:
    account.dynamodb.transact_write_items(TransactItems=[{"Delete": {"TableName": table, "Key": {"id": {"S": key}}}}])


def delete_partiql(account: Account, table: str, key: str) -> None:
    account.dynamodb.execute_statement(Statement=f"DELETE FROM \"{table}\" WHERE id='{key}'")


PUTS = [put, put_update, put_legacy_update, put_batch, put_transaction, put_partiql]
DELETES = [delete, delete_batch, delete_transaction, delete_partiql]


def changes(export: Exported) -> dict[str, tuple[Item | None, Item | None]]:
    """Key -> (old, new) image. Checks that each key has one record and that its Keys are this key."""
    found = {}
    for record in export.records:
        key = record["Keys"]["id"]["S"]
        assert record["Keys"] == {"id": {"S": key}}
        assert key not in found
        found[key] = (record.get("OldImage"), record.get("NewImage"))
    return found


def state(export: Exported) -> State:
    return {record["Item"]["id"]["S"]: record["Item"] for record in export.records}


@pytest.mark.parametrize("write", PUTS)
def test_every_way_to_write_is_logged(account: Account, write: Callable[..., None]) -> None:
    table = account.table()
    start = account.mark()
    write(account, table, "a", 1)
    middle = account.mark()
    write(account, table, "a", 2)
    end = account.mark()
    assert changes(account.window(table, start, middle)) == {"a": (None, item("a", 1))}
    assert changes(account.window(table, middle, end)) == {"a": (item("a", 1), item("a", 2))}
    assert state(account.export(table, ExportTime=middle)) == {"a": item("a", 1)}
    assert account.scan(table) == [item("a", 2)]


@pytest.mark.parametrize("remove", DELETES)
def test_every_way_to_delete_is_logged(account: Account, remove: Callable[..., None]) -> None:
    table = account.table()
    put(account, table, "a", 1)
    start = account.mark()
    remove(account, table, "a")
    end = account.mark()
    export = account.window(table, start, end)
    assert changes(export) == {"a": (item("a", 1), None)}
    [record] = export.records
    assert list(record) == ["Metadata", "Keys", "OldImage"]
    micros = int(record["Metadata"]["WriteTimestampMicros"]["N"])
    assert start < datetime.fromtimestamp(micros / 1e6, UTC) < end
    [keys_only] = account.window(table, start, end, "NEW_IMAGE").records
    assert list(keys_only) == ["Metadata", "Keys"]
    assert account.scan(table) == []


def test_a_refused_write_is_not_logged(account: Account) -> None:
    table = account.table()
    put(account, table, "a", 1)
    start = account.mark()
    absent = {"ConditionExpression": "attribute_not_exists(id)"}
    with pytest.raises(ClientError):
        account.dynamodb.put_item(TableName=table, Item=item("a", 2), **absent)
    with pytest.raises(ClientError):
        account.dynamodb.delete_item(TableName=table, Key={"id": {"S": "a"}}, **absent)
    with pytest.raises(ClientError):  # the second operation fails after the first was applied
        account.dynamodb.transact_write_items(
            TransactItems=[
                {"Put": {"TableName": table, "Item": item("b", 1)}},
                {"Put": {"TableName": table, "Item": item("a", 3), **absent}},
            ]
        )
    with pytest.raises(ClientError):  # an update that creates an item and then fails
        account.dynamodb.update_item(
            TableName=table,
            Key={"id": {"S": "c"}},
            UpdateExpression="SET v = w + :v",
            ExpressionAttributeValues={":v": {"N": "1"}},
        )
    delete(account, table, "never there")
    end = account.mark()
    assert account.window(table, start, end).lines == []
    assert account.scan(table) == [item("a", 1)]


def test_a_recreated_table_starts_empty(account: Account) -> None:
    table = account.table()
    put(account, table, "old", 1)
    before = account.dynamodb.describe_table(TableName=table)["Table"]
    account.dynamodb.delete_table(TableName=table)
    account.dynamodb.create_table(
        TableName=table,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
    )
    account.sandbox.enable_recovery(table, account.now() - timedelta(days=1))
    after = account.dynamodb.describe_table(TableName=table)["Table"]
    assert after["TableArn"] == before["TableArn"]
    assert after["TableId"] != before["TableId"]
    export = account.export(table)
    assert export.lines == []
    assert export.summary["tableId"] == after["TableId"]


def test_what_happens_inside_a_window_is_compacted(account: Account) -> None:
    table = account.table()
    for key in ("updated", "deleted", "replaced", "untouched"):
        put(account, table, key, 0)
    start = account.mark()
    for value in (1, 2, 3):
        put(account, table, "updated", value)
    delete(account, table, "deleted")
    delete(account, table, "replaced")
    put(account, table, "replaced", 5)
    put(account, table, "inserted", 6)
    put(account, table, "short-lived", 7)
    delete(account, table, "short-lived")
    end = account.mark()
    expected: dict[str, tuple[Item | None, Item | None]] = {
        "updated": (item("updated", 0), item("updated", 3)),
        "deleted": (item("deleted", 0), None),
        "replaced": (item("replaced", 0), item("replaced", 5)),
        "inserted": (None, item("inserted", 6)),
    }
    assert changes(account.window(table, start, end)) == expected
    without_old = {key: (None, new) for key, (_, new) in expected.items()}
    assert changes(account.window(table, start, end, "NEW_IMAGE")) == without_old


def test_a_backdated_history_is_exported_at_its_times(account: Account) -> None:
    table = account.table()
    now = account.now().replace(microsecond=0)
    hours = [now - timedelta(hours=number) for number in range(24, 0, -1)]
    history = [Write(hour, item(f"k{number % 5}", number)) for number, hour in enumerate(hours)]
    history.append(Write(hours[-1] + timedelta(minutes=1), {"id": {"S": "k0"}}, deleted=True))
    assert account.sandbox.seed(table, iter(history)) == 25
    assert account.dynamodb.describe_table(TableName=table)["Table"]["ItemCount"] == 4
    assert state(account.export(table, ExportTime=hours[3])) == {f"k{n}": item(f"k{n}", n) for n in range(3)}
    window = account.window(table, hours[10], hours[11])
    assert changes(window) == {"k0": (item("k0", 5), item("k0", 10))}
    [record] = window.records
    assert record["Metadata"]["WriteTimestampMicros"]["N"] == str(int(hours[10].timestamp()) * 1_000_000)
    put(account, table, "k0", 99)
    assert account.dynamodb.get_item(TableName=table, Key={"id": {"S": "k0"}})["Item"] == item("k0", 99)


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(PUTS[:5]), st.sampled_from("abc"), st.integers(0, 9)),
        st.tuples(st.sampled_from(DELETES[:3]), st.sampled_from("abc"), st.none()),
    ),
    max_size=4,
)


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(windows=st.lists(OPERATIONS, min_size=2, max_size=3))
def test_windows_applied_to_a_full_export_give_the_table(account: Account, windows: list[list[Any]]) -> None:
    table = account.table()
    marks = [account.mark()]
    states: list[State] = [{}]
    for operations in windows:
        current = dict(states[-1])
        for operation, key, value in operations:
            operation(account, table, key, *([] if value is None else [value]))
            current.pop(key, None)
            if value is not None:
                current[key] = item(key, value)
        states.append(current)
        marks.append(account.mark())
    replica = state(account.export(table, ExportTime=marks[1]))
    assert replica == states[1]
    for before, after, start, end in zip(states[1:], states[2:], marks[1:], marks[2:], strict=False):
        found = changes(account.window(table, start, end))
        assert {key: old for key, (old, _) in found.items()} == {key: before.get(key) for key in found}
        for key, (_, new) in found.items():
            replica.pop(key, None)
            if new is not None:
                replica[key] = new
        assert replica == after
    assert {one["id"]["S"]: one for one in account.scan(table)} == replica


LOGGED = st.lists(
    st.tuples(st.integers(0, 60), st.sampled_from([b"a", b"b", b"c"]), st.one_of(st.none(), st.binary(max_size=3))),
    max_size=30,
    unique_by=lambda write: (write[0], write[1]),
)


@settings(max_examples=100, deadline=None)
@given(writes=LOGGED, start=st.integers(0, 61), length=st.integers(0, 61))
def test_the_log_agrees_with_a_dict_at_any_time(
    tmp_path_factory: pytest.TempPathFactory, writes: list[tuple[int, bytes, bytes | None]], start: int, length: int
) -> None:
    end = start + length

    def at(before: int) -> dict[bytes, bytes]:
        newest = {key: image for micros, key, image in sorted(writes, key=lambda write: write[0]) if micros < before}
        return {key: image for key, image in newest.items() if image is not None}

    log = ChangeLog(tmp_path_factory.getbasetemp() / f"{uuid.uuid4().hex}.sqlite", Clock())
    other, number = log.add_table("other"), log.add_table("this")
    log.load(other, [LoggedWrite(start, b"a", b"other table", 1)])
    log.load(number, [LoggedWrite(micros, key, image, len(image or b"")) for micros, key, image in writes])
    with log.reader() as reader:
        old, new = at(start), at(end)
        assert {row.key: row.image for row in reader.items_at(number, start)} == old
        found = {row.key: row for row in reader.changes(number, start, end)}
        written = {key for micros, key, _ in writes if start <= micros < end}
        assert set(found) == {key for key in written if key in old or key in new}
        for key, change in found.items():
            assert (change.old, change.new) == (old.get(key), new.get(key))
            assert change.micros == max(m for m, k, _ in writes if k == key and start <= m < end)
    present = at(1 << 60)
    assert {row.key: row.image for row in log.page(number, b"", b"\xff", 100)} == present
    assert log.totals(number) == (len(present), sum(map(len, present.values())))
    log.close()


def test_concurrent_writers_lose_nothing(account: Account) -> None:
    table = account.table()
    start = account.mark()

    def work(worker: int) -> None:
        for number in range(15):
            account.dynamodb.update_item(
                TableName=table,
                Key={"id": {"S": f"shared-{number % 3}"}},
                UpdateExpression="ADD v :one",
                ExpressionAttributeValues={":one": {"N": "1"}},
            )
            put(account, table, f"own-{worker}-{number}", number)

    with ThreadPoolExecutor(6) as pool:
        exporting = pool.submit(account.export, table)
        list(pool.map(work, range(5)))
        during = state(exporting.result())
    end = account.mark()
    final = {one["id"]["S"]: one for one in account.scan(table)}
    assert {final[f"shared-{number}"]["v"]["N"] for number in range(3)} == {"25"}
    assert len(final) == 3 + 5 * 15
    assert state(account.export(table)) == final
    assert {key: new for key, (_, new) in changes(account.window(table, start, end)).items()} == final
    assert set(during) <= set(final)


def test_a_second_log_in_the_same_folder_starts_empty(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite"
    for _ in range(2):
        log = ChangeLog(path, Clock())
        number = log.add_table("t")
        assert log.totals(number) == (0, 0)
        log.append(number, b"k", b"{}", 2)
        assert log.totals(number) == (1, 2)
        log.close()


def test_a_reader_waits_for_the_write_that_has_its_time_already(tmp_path: Path) -> None:
    log = ChangeLog(tmp_path / "log.sqlite", Clock())
    number = log.add_table("t")

    def read() -> list[bytes]:
        moment = log.clock.tick()
        with log.reader() as reader:
            return [row.key for row in reader.items_at(number, moment)]

    with ThreadPoolExecutor(1) as pool:
        with log.transaction():
            log.append(number, b"k", b"{}", 2)
            reading = pool.submit(read)
            with pytest.raises(TimeoutError):
                reading.result(timeout=0.2)
        assert reading.result(timeout=5) == [b"k"]
    log.close()
