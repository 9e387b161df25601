"""Faults of another program that brings a Kinesis stream into a warehouse, each as a case that must not happen here.

That program keeps Redshift in step by stored procedures over a streaming materialized view. Random orders of arrival, and
records that are late, repeated or lost, are in `model/test_live_model.py`.
"""

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from ddb_assets.aws.clients import AWS
from ddb_assets.contract.table import Table
from ddb_assets.sandbox.stream_faults import Faults
from ddb_assets.warehouse.duckdb.connection import DuckDBEngine
from ddb_assets.warehouse.sql.statements import Statement
from ddb_assets_tests.live.shop import Shop


def shown(shop: Shop, table: Table) -> list[tuple[object, ...]]:
    """Name and type of the columns that are attributes, in their order."""
    return shop.rows(
        f"SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = '{table.name}_live' "
        "AND LEFT(column_name, 4) <> '_ddb' ORDER BY column_index"
    )


def only(shop: Shop, table: Table, columns: str) -> tuple[object, ...]:
    (row,) = shop.rows(f"SELECT {columns} FROM {table.name}_live")
    return row


def test_an_empty_database_needs_no_setup(shop: Shop) -> None:
    """CDC-01: setup succeeded with a procedure missing, and the first refresh failed."""
    orders = shop.table()
    shop.put(orders, "a", v={"S": "x"})
    shop.follow(orders).refuse()
    assert only(shop, orders, "pk, v") == ("a", "x")


def test_texts_are_kept_whatever_their_length_and_ends(shop: Shop) -> None:
    """CDC-02, CDC-03: cut at 1,000 characters; `}` and `"` at the end lost, escapes kept as text."""
    orders = shop.table()
    texts = {
        "t1001": "x" * 1001,
        "t2000": "é" * 1000,
        "t65535": "y" * 65_535,
        "brace": "ends}",
        "quote": 'ends"',
        "both": 'ends"}',
        "controls": 'a\nb\tc\\d "e" \\u0041',
        "empty": "",
    }
    shop.put(orders, "a", **{name: {"S": text} for name, text in texts.items()}, long={"S": "z" * 65_536})
    shop.follow(orders).refuse()
    assert only(shop, orders, ", ".join(texts)) == tuple(texts.values())
    (extra,) = only(shop, orders, "_ddb_extra")
    assert "".join(json.loads(str(extra))["long"]) == "z" * 65_536


def test_every_type_keeps_its_value_and_its_name(shop: Shop) -> None:
    """CDC-04 to CDC-06: BOOL and NULL as text, sets and lists as broken JSON, the type guessed from one character."""
    orders = shop.table()
    nested = {"M": {"l": {"L": [{"N": "1"}, {"M": {"b": {"B": b"\x00\xff"}, "z": {"NULL": True}}}]}}}
    ten = {
        "s": {"S": "NS"},
        "n": {"N": "12345678901234567890123456789012345678"},
        "b": {"B": b"\x00\x01\xfe"},
        "t": {"BOOL": True},
        "f": {"BOOL": False},
        "z": {"NULL": True},
        "ss": {"SS": ["b", "a"]},
        "ns": {"NS": ["2", "1.5"]},
        "bs": {"BS": [b"\x01"]},
        "l": {"L": [{"S": "x"}, {"BOOL": True}]},
        "m": nested,
    }
    shop.put(orders, "a", **ten)
    shop.put(orders, "b", s={"S": "absent"})
    shop.follow(orders).refuse()
    (a, b) = (
        dict(zip(("s", "n", "b", "t", "f", "z"), row, strict=True))
        for row in shop.rows(f"SELECT s, n, b, t, f, _ddb_extra FROM {orders.name}_live ORDER BY pk")
    )
    assert (a["s"], a["n"], a["b"], a["t"], a["f"]) == (
        "NS",
        Decimal("12345678901234567890123456789012345678"),
        b"\x00\x01\xfe",
        True,
        False,
    )
    assert (b["s"], b["t"]) == ("absent", None)
    sets = only_of(shop, orders, "a", "ss, ns, bs, l, m__l")
    assert [json.loads(str(value)) for value in sets] == [
        ["a", "b"],
        [1.5, 2],
        ["AQ=="],
        ["x", True],
        [1, {"b": "AP8=", "z": None}],
    ]


def only_of(shop: Shop, table: Table, key: str, columns: str) -> tuple[object, ...]:
    (row,) = shop.rows(f"SELECT {columns} FROM {table.name}_live WHERE pk = '{key}'")
    return row


def test_keys_are_data_and_never_sql(shop: Shop) -> None:
    """CDC-08: an apostrophe in a key broke the statement, or ran what followed it."""
    orders = shop.table()
    keys = ["O'Brien", "'; DROP TABLE x; --", '"quoted"', "k" * 2048, "%s {x} $1 ?"]
    for key in keys:
        shop.put(orders, key, v={"S": key})
    shop.follow(orders).refuse()
    shop.delete(orders, keys[0])
    shop.follow(orders).refuse()
    assert sorted(shop.rows(f"SELECT pk, v FROM {orders.name}_live")) == sorted((key, key) for key in keys[1:])


def test_odd_names_of_tables_and_attributes_do_not_collide(shop: Shop) -> None:
    """CDC-09, CDC-13: dashes and dots, reserved words, names that differ by case; a table and a key in mixed case."""
    orders = shop.table("My.Order-Lines_", key="orderId")
    item = {"orderId": "1", "userId": "a", "userid": "b", "select": "c", "a-b": "d", "a.b": "e", "timestamp": "f"}
    shop.put_item(orders, {name: {"S": value} for name, value in item.items()})
    shop.follow(orders).refuse()
    shop.put_item(orders, {name: {"S": value} for name, value in (item | {"select": "new"}).items()})
    shop.follow(orders).refuse()
    columns = [f'"{name}"' for name, _ in shown(shop, orders)]
    (row,) = shop.rows(f"SELECT {', '.join(columns)} FROM {orders.name}_live")
    assert sorted(map(str, row)) == sorted((item | {"select": "new"}).values())


def test_idle_looks_leave_nothing_behind(shop: Shop) -> None:
    """CDC-10: each run added a day of records to its bookkeeping."""
    orders = shop.table()
    shop.put(orders, "a", v={"S": "x"})
    shop.follow(orders).refuse()

    def bookkeeping() -> list[tuple[object, ...]]:
        tables = shop.rows("SELECT table_name FROM duckdb_tables() WHERE LEFT(table_name, 4) = '_ddb' ORDER BY 1")
        return [(name, *shop.rows(f'SELECT COUNT(*) FROM "{name}"')[0]) for (name,) in tables]

    before = bookkeeping()
    for _ in range(15):
        shop.pass_time(minutes=2)
        shop.follow(orders).refuse()
    assert bookkeeping() == before


def test_a_table_that_exports_have_filled_before_is_no_obstacle(shop: Shop) -> None:
    """CDC-14: a bulk load first made the first refresh add columns that existed. CDC-10: rows of before were hidden."""
    orders = shop.table()
    shop.put(orders, "a", v={"S": "before"})
    shop.load(orders, shop.now())
    shop.put(orders, "b", v={"S": "after"}, w={"N": "1"})
    shop.follow(orders).refuse()
    assert shop.rows(f"SELECT pk, v, w FROM {orders.name}_live ORDER BY 1") == [
        ("a", "before", None),
        ("b", "after", 1),
    ]


def test_milliseconds_and_microseconds_of_one_key_sort_by_time(shop: Shop) -> None:
    """CDC-12: stamps were compared as text, so 13 digits came after 16."""
    orders = shop.table()
    for share, value in ((0.0, "exact"), (1.0, "milliseconds"), (0.0, "last")):
        shop.sandbox.set_stream_faults(shop.arn, Faults(milliseconds=share))
        shop.put(orders, "a", v={"S": value})
        shop.pass_time(seconds=1)
        shop.follow(orders).refuse()
        assert only(shop, orders, "v") == (value,)


def test_a_late_change_does_not_bring_a_deleted_item_back(shop: Shop) -> None:
    """CDC-12: nothing in the target rejected a late old record."""
    orders, records = shop.table(), list[tuple[str, bytes]]()
    shop.put(orders, "a", v={"S": "old"})
    shop.pass_time(seconds=1)
    shop.delete(orders, "a")
    shop.follow(orders).refuse()
    kinesis = shop.sandbox.kinesis()
    for shard in kinesis.list_shards(StreamName=shop.stream)["Shards"]:
        iterator = kinesis.get_shard_iterator(
            StreamName=shop.stream, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        for record in kinesis.get_records(ShardIterator=iterator)["Records"]:
            records.append((record["PartitionKey"], record["Data"]))
    for key, data in records:
        if b'"INSERT"' in data:
            kinesis.put_record(StreamName=shop.stream, PartitionKey=key, Data=data)
    done = shop.follow(orders)
    result = done.tables[orders.name].result
    assert done.records == 1
    assert result is not None
    assert (result.upserted, result.superseded) == (0, 1)
    assert shop.rows(f"SELECT pk FROM {orders.name}_live") == []


def test_the_number_of_statements_does_not_depend_on_the_records(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """CDC-15: delete, unpivot, pivot and insert for each key."""
    sent: list[int] = []
    execute: Callable[..., Any] = DuckDBEngine.execute

    def counting(engine: DuckDBEngine, statement: Statement) -> object:
        sent[-1] += 1
        return execute(engine, statement)

    monkeypatch.setattr(DuckDBEngine, "execute", counting)
    orders = shop.table()
    shop.put(orders, "first", v={"S": "x"})
    sent.append(0)
    shop.follow(orders).refuse()
    for count in (1, 200):
        for number in range(count):
            shop.put(orders, f"{count}-{number}", v={"S": "x"})
        sent.append(0)
        shop.follow(orders).refuse()
    assert sent[1] == sent[2]


def test_what_was_read_is_loaded_or_counted_as_something_else(shop: Shop) -> None:
    """CDC-16: what is no JSON was dropped without a word, and nothing was counted."""
    orders, other = shop.table(), shop.table()
    for number in range(30):
        shop.put(orders, f"k{number % 10}", v={"N": str(number)})
        shop.put(other, f"k{number}", v={"N": str(number)})
    shop.sandbox.set_stream_faults(shop.arn, Faults(repeated=1.0))
    shop.put(orders, "k1", v={"N": "31"})
    kinesis = shop.sandbox.kinesis()
    for data in (b"no json", b'{"tableName": "x"}'):
        kinesis.put_record(StreamName=shop.stream, PartitionKey="k", Data=data)
    done = shop.follow(orders)
    ((_, landed),) = done.drains
    landing, result = done.tables[orders.name].landing, done.tables[orders.name].result
    assert result is not None
    assert done.records == landing.records + landed.undeclared[other.table] + landed.unreadable
    assert (landed.undeclared[other.table], landed.unreadable) == (30, 2)
    assert landing.records == 32 == landing.rows + landing.duplicates + landing.superseded + landing.quarantined
    assert landing.rows == result.rows_in == result.upserted == 10
    assert landed.quarantine is not None
    lines = [json.loads(line) for line in AWS().storage().read(landed.quarantine).splitlines()]
    assert all(line["shard"] and line["sequence"] and line["reason"] for line in lines)


@pytest.mark.parametrize("partition", ["aws", "aws-cn", "aws-us-gov"])
def test_arns_of_every_partition_name_a_stream(partition: str) -> None:
    """CDC-17: `arn:aws:` and one Region were written into the code."""
    arn = f"arn:{partition}:kinesis:cn-north-1:123456789012:stream/orders-cdc"
    assert Table(table="Orders", stream=arn).stream == arn
    assert AWS(region="eu-west-1").kinesis(arn).meta.region_name == "cn-north-1"


def test_columns_have_types_and_an_order(shop: Shop) -> None:
    """CDC-18: every column was a text of any length, in alphabetical order."""
    orders = shop.table(columns={"z": {"type": "BIGINT"}, "a": {"type": "VARCHAR(10)"}})
    shop.put(orders, "k", a={"S": "x"}, z={"N": "5"}, m={"S": "y"})
    shop.follow(orders).refuse()
    assert shown(shop, orders) == [("pk", "VARCHAR"), ("z", "BIGINT"), ("a", "VARCHAR"), ("m", "VARCHAR")]
