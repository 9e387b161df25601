"""Redshift reads a stream itself: its live tables show what those of drains show, and are put right by windows as they are."""

import base64
import json
import random
import string
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from ddb_assets.contract.names import default_name
from ddb_assets.contract.table import Table
from ddb_assets.live.streams import MixedTailsError, streams_of
from ddb_assets.microseconds import to_micros
from ddb_assets.sandbox.stream_faults import Faults
from ddb_assets.streams.destination import enable
from ddb_assets.warehouse.connect import open_warehouse
from ddb_assets.warehouse.errors import LoadError, WarehouseError
from ddb_assets.warehouse.refused import NO_OWN_STREAMS
from ddb_assets.warehouse.sql.statements import quoted
from ddb_assets_tests.live.shop import Shop
from ddb_assets_tests.sandbox.redshift.serving import connect
from ddb_assets_tests.support.examples import examples

VIEW = {"tail": "materialized_view"}
SEEDS = range(examples(1, 1 / 500))
"""Of the random writes."""


def streamed(shop: Shop, **contract: Any) -> Table:
    """A new table of which Redshift reads the stream."""
    return shop.table(stream={"name": shop.stream, **VIEW}, **contract)


def of(shop: Shop, query: str) -> list[tuple[object, ...]]:
    """The answer to a query; `{}` is the schema."""
    return shop.rows(query.format(shop.schema))


def rows(shop: Shop, relation: str) -> list[dict[str, Any]]:
    """The rows of a relation as dictionaries, JSON parsed, in the order of what identifies them."""
    with open_warehouse(shop.url) as warehouse:
        names = list(warehouse.columns([relation.removesuffix("_live")]).get(relation.removesuffix("_live"), ()))
    if not names:
        return []  # no item has had such a list
    shown = [name for name in names if name not in {"_ddb_deleted_at", "_ddb_stale_since"}]
    found = of(shop, f"SELECT {', '.join(map(quoted, shown))} FROM {{}}.{relation}")
    made = (dict(zip(shown, row, strict=True)) for row in found)
    return sorted(made, key=lambda row: (row["pk"], row.get("_ddb_index_1", 0), row.get("_ddb_index", 0)))


def values(shop: Shop, table: Table) -> dict[str, object]:
    return {str(key): value for key, value in of(shop, f"SELECT pk, v FROM {{}}.{table.name}_live")}


def say(shop: Shop, table: Table, stamp: int, text: str | None, key: str = "a") -> None:
    """The stream says a write of an item, or with None its delete, whatever is in the table."""
    item: dict[str, Any] = {"Keys": {"pk": {"S": key}}, "ApproximateCreationDateTime": stamp}
    if text is not None:
        item["NewImage"] = {"pk": {"S": key}, "v": {"S": text}}
    event = "REMOVE" if text is None else "MODIFY"
    data = json.dumps({"tableName": table.table, "eventName": event, "dynamodb": item}).encode()
    shop.sandbox.kinesis().put_record(StreamName=shop.stream, Data=data, PartitionKey=key)


def test_changes_are_in_the_live_table_without_a_drain(redshift_shop: Shop) -> None:
    shop, orders = redshift_shop, streamed(redshift_shop)
    for key in "abc":
        shop.put(orders, key, v={"S": "old"})
    shop.load(orders, shop.now())
    shop.put(orders, "a", v={"S": "new"})
    shop.put(orders, "d", v={"S": "new"})
    shop.delete(orders, "b")
    found = shop.refresh(orders)
    assert values(shop, orders) == {"a": "new", "c": "old", "d": "new"}
    assert (found.read, found.unparsed, found.unreadable, found.problems) == (6, 0, {}, ())
    assert shop.refresh(orders).read == 0


def test_a_stream_that_is_read_before_any_load_waits_for_it(redshift_shop: Shop) -> None:
    shop, orders = redshift_shop, streamed(redshift_shop)
    shop.put(orders, "a", v={"S": "old"})
    assert shop.refresh(orders).waiting == (orders.name,)
    shop.load(orders, shop.now())
    shop.put(orders, "a", v={"S": "new"})
    assert shop.refresh(orders).waiting == ()
    assert values(shop, orders) == {"a": "new"}


# --- the same rows as drains bring

EVERY: dict[str, Callable[[random.Random], Any]] = {
    "S": lambda r: "".join(r.choices(string.printable + "äß🙂'\"\\", k=r.randrange(9))),
    "N": lambda r: r.choice(
        ["0", "-7", "1.5", "9223372036854775807", "-9223372036854775809", "1" * 38, "0.00012", "5e-7"]
    ),
    "B": lambda r: base64.b64encode(r.randbytes(r.randrange(1, 6))).decode(),
    "BOOL": lambda r: r.random() < 0.5,
    "NULL": lambda _: True,
    "SS": lambda r: r.sample(["a", "b", "ä", "1"], 2),
    "NS": lambda r: r.sample(["1", "2.5", "-3"], 2),
    "BS": lambda r: [base64.b64encode(one).decode() for one in r.sample([b"a", b"b", b"\0"], 2)],
}


def anything(r: random.Random, depth: int = 0) -> dict[str, Any]:
    """A value of any of the ten types, nested."""
    kind = r.choice([*EVERY, *(["L", "M"] if depth < 3 else [])])
    if kind == "L":
        return {"L": [anything(r, depth + 1) for _ in range(r.randrange(4))]}
    if kind == "M":
        return {"M": {name: anything(r, depth + 1) for name in r.sample(["x", "X", "a.b", 'q"', "é"], r.randrange(4))}}
    return {kind: EVERY[kind](r)}


def plain(r: random.Random) -> dict[str, Any]:
    """An item of which SQL types everything; each attribute is missing now and then."""
    day = f"20{r.randrange(10, 40)}-0{r.randrange(1, 9)}-{r.randrange(10, 28)}"
    parts = {"L": [{"S": "p"}, {"S": "q"}]}
    item: dict[str, Any] = {
        "userName": {"S": EVERY["S"](r)},
        "count": {"N": str(r.randrange(-(10**18), 10**18))},
        "price": {"N": f"{r.randrange(10**6)}.{r.randrange(1, 10)}"},
        "ok": {"BOOL": r.random() < 0.5},
        "at": {"S": f"{day}T1{r.randrange(10)}:00:59.{r.randrange(1000):03}Z"},
        "local": {"S": f"{day} 0{r.randrange(10)}:30:00"},
        "day": {"S": day},
        "address": {"M": {"City": {"S": "x" * r.randrange(1, 20)}, "geo": {"M": {"lat": {"N": "1.25"}}}}},
        "lines": {"L": [{"M": {"Sku": {"S": f"s{n}"}, "parts": parts}} for n in range(r.randrange(1, 4))]},
        "tags": {"L": [{"S": tag} for tag in r.sample("abcd", r.randrange(1, 3))]},
    }  # fmt: skip
    return {name: value for name, value in item.items() if r.random() < 0.9}


NESTED = {"lines": "child", "lines[].parts": "child", "tags": "child"}
CHILDREN = ("lines", "lines__parts", "tags")


def both(shop: Shop, **contract: Any) -> tuple[Table, Table]:
    """One DynamoDB table under two contracts: of drains, and of a stream that Redshift reads."""
    drained = shop.table(nested=NESTED, **contract)
    name = f"r{drained.name[:20]}"
    return drained, Table.model_validate(
        {"table": drained.table, "name": name, "nested": NESTED, "stream": {"name": shop.stream, **VIEW}}
    )


def write(
    shop: Shop, table: Table, r: random.Random, make: Callable[[random.Random], dict[str, Any]], count: int
) -> None:
    for _ in range(count):
        key = f"k{r.randrange(12)}"
        shop.delete(table, key) if r.random() < 0.25 else shop.put(table, key, **make(r))


def compared(
    shop: Shop, drained: Table, itself: Table, relation: str = ""
) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """The rows of a live relation in both, in pairs."""
    suffix = f"__{relation}_live" if relation else "_live"
    pairs = list(zip(rows(shop, f"{drained.name}{suffix}"), rows(shop, f"{itself.name}{suffix}"), strict=True))
    assert all(one.keys() == other.keys() for one, other in pairs)
    return pairs


def identity(row: dict[str, Any]) -> tuple[object, ...]:
    return row["pk"], row.get("_ddb_index_1"), row["_ddb_index"]


def same(one: object, other: object) -> bool:
    """Whether two values are equal. The column of `one` may have been widened to texts, or be one of JSON."""
    if one == other or not isinstance(one, str):
        return one == other
    with suppress(ValueError):
        return bool(json.loads(one, parse_float=Decimal, parse_int=Decimal) == other)
    return False


@pytest.mark.soak
@pytest.mark.parametrize("seed", SEEDS)
def test_rows_of_plain_values_are_those_of_drains(redshift_shop: Shop, seed: int) -> None:
    """With deletes, records that come twice, late and with milliseconds, and two tables on the stream, one of them unknown."""
    shop, r = redshift_shop, random.Random(seed)
    drained, itself = both(shop)
    other = shop.table()
    for place in range(8):
        shop.put(drained, f"k{place}", **plain(random.Random(place)))
    shop.pass_time(minutes=5)
    begin = shop.now()
    for table in (drained, itself):
        shop.load(table, begin)
    shop.pass_time(minutes=2)
    shop.sandbox.set_stream_faults(shop.arn, Faults(repeated=0.3, late=0.3, milliseconds=0.4, seed=seed))
    for _ in range(3):
        write(shop, drained, r, plain, 12)
        shop.put(other, "k1", userName={"S": "another table"})
        shop.follow(drained)
        shop.refresh(itself)
    shop.sandbox.set_stream_faults(shop.arn, Faults())
    shop.follow(drained)
    shop.refresh(itself)
    for relation in ("", *CHILDREN):
        for one, other_row in compared(shop, drained, itself, relation):
            assert one == other_row


@pytest.mark.soak
@pytest.mark.parametrize("seed", SEEDS)
def test_values_of_any_type_are_those_of_drains_or_shown_raw(redshift_shop: Shop, seed: int) -> None:
    """Where a column lacks what a drain brings, the whole item is in `_ddb_extra`, and so is what no column has."""
    shop, r = redshift_shop, random.Random(100 + seed)

    def odd(r: random.Random) -> dict[str, Any]:
        names = ["userName", "count", "ok", "at", "address", "lines", "tags", "new", "New", "x y", "ä"]
        return {name: anything(r) for name in r.sample(names, 4)}

    drained, itself = both(shop)
    odd_names: dict[str, Any] = {"new": {"N": "1"}, "New": {"S": "n"}, "x y": {"BOOL": True}, "ä": {"L": []}}
    for place in range(8):  # one type each: with several, columns depend on the order of the items in the export
        shop.put(drained, f"k{place}", **plain(random.Random(place)), **odd_names)
    shop.load(drained, begin := shop.now())
    shop.load(itself, begin)
    write(shop, drained, r, odd, 25)
    write(shop, drained, r, plain, 3)
    shop.follow(drained)
    shop.refresh(itself)
    known = {str(row["pk"]): row for row in rows(shop, f"{drained.name}_live")}
    ours = {str(row["pk"]): row for row in rows(shop, f"{itself.name}_live")}
    assert known.keys() == ours.keys()
    raw = 0
    for key, row in ours.items():
        if row["_ddb_version"] <= to_micros(begin):
            continue  # the table's own row
        extra = json.loads(row["_ddb_extra"] or "{}")
        if "$raw" not in extra:
            brought = {name: value for name, value in known[key].items() if value is not None}
            assert brought.keys() == {name for name, value in row.items() if value is not None}
            assert all(same(value, row[name]) for name, value in brought.items())
            continue
        raw += 1
        found = shop.sandbox.dynamodb().get_item(TableName=drained.table, Key={"pk": {"S": key}})["Item"]
        assert extra["$raw"].keys() == found.keys()
        for name, value in row.items():
            assert name == "_ddb_extra" or value is None or same(known[key][name], value), name
    assert raw
    for relation in CHILDREN:
        children = {identity(row): row for row in rows(shop, f"{drained.name}__{relation}_live")}
        for row in rows(shop, f"{itself.name}__{relation}_live"):
            one = children.get(identity(row), {})  # inference may have made other relations of odd lists
            both_have = one.keys() & row.keys() - {"_ddb_extra"}
            assert all(row[name] is None or same(one[name], row[name]) for name in both_have)


# --- what windows settle


def test_what_the_stream_lost_is_put_right_by_the_load_of_the_next_window(redshift_shop: Shop) -> None:
    shop, orders = redshift_shop, streamed(redshift_shop)
    shop.put(orders, "a", v={"S": "old"})
    shop.put(orders, "b", v={"S": "old"})
    shop.pass_time(minutes=5)
    begin = shop.now()
    shop.load(orders, begin)
    shop.refresh(orders)
    shop.pass_time(minutes=2)
    shop.sandbox.set_stream_faults(shop.arn, Faults(lost=1.0))
    shop.put(orders, "a", v={"S": "lost"})
    shop.delete(orders, "b")
    shop.sandbox.set_stream_faults(shop.arn, Faults())
    say(shop, orders, shop.sandbox.clock.tick() + 50_000_000, "stamped after its delete", key="b")
    say(shop, orders, shop.sandbox.clock.tick(), "never written", key="c")
    shop.refresh(orders)
    assert values(shop, orders) == {"a": "old", "b": "stamped after its delete", "c": "never written"}
    shop.pass_time(minutes=30)
    shop.load(orders, begin + timedelta(minutes=20), begin)
    assert values(shop, orders) == {"a": "lost"}, "before any refresh"


def test_records_that_expired_before_a_refresh_are_a_gap_until_windows_cover_it(redshift_shop: Shop) -> None:
    shop, orders = redshift_shop, streamed(redshift_shop)
    shop.put(orders, "a", v={"S": "old"})
    shop.load(orders, begin := shop.now())
    earlier = shop.sandbox.clock.tick()
    assert shop.refresh(orders).gaps == {}
    before = shop.sandbox.clock.tick()
    shop.pass_time(minutes=1)
    shop.put(orders, "a", v={"S": "expired"})
    shop.pass_time(hours=24, minutes=13)
    gap = shop.refresh(orders).gaps[orders.name]
    assert earlier - 1_000_000 < gap.since <= before
    assert gap.until > before + 9 * 60_000_000
    assert values(shop, orders) == {"a": "old"}
    assert shop.refresh(orders).gaps == {orders.name: gap}, "it stays"
    shop.load(orders, until := begin + timedelta(minutes=15), begin)
    assert shop.refresh(orders).gaps == {orders.name: gap}, "it ends a minute later"
    shop.load(orders, until + timedelta(minutes=15), until)
    assert shop.refresh(orders).gaps == {}
    assert values(shop, orders) == {"a": "expired"}


def test_what_a_table_does_not_write_to_its_stream_is_a_gap_until_it_writes_again(redshift_shop: Shop) -> None:
    shop, orders = redshift_shop, streamed(redshift_shop)
    shop.put(orders, "a", v={"S": "old"})
    shop.load(orders, shop.now())
    shop.refresh(orders)
    client = shop.sandbox.dynamodb()
    client.disable_kinesis_streaming_destination(TableName=orders.table, StreamArn=shop.arn)
    shop.pass_time(minutes=1)
    gap = shop.refresh(orders).gaps[orders.name]
    assert str(gap).endswith("and it goes on")
    client.enable_kinesis_streaming_destination(TableName=orders.table, StreamArn=shop.arn)
    shop.pass_time(minutes=1)
    before = shop.sandbox.clock.tick()
    assert before < shop.refresh(orders).gaps[orders.name].until < before + 60_000_000


def test_a_stream_that_was_created_again_has_a_gap(redshift_shop: Shop) -> None:
    shop, orders = redshift_shop, streamed(redshift_shop)
    shop.put(orders, "a", v={"S": "old"})
    shop.load(orders, shop.now())
    shop.refresh(orders)
    shop.sandbox.kinesis().delete_stream(StreamName=shop.stream, EnforceConsumerDeletion=True)
    shop.pass_time(minutes=1)
    shop.sandbox.kinesis().create_stream(StreamName=shop.stream, ShardCount=1)
    enable(shop.sandbox.dynamodb(), orders.table, shop.arn)
    shop.pass_time(minutes=1)
    shop.put(orders, "a", v={"S": "new"})
    assert shop.server
    with closing(connect(shop.server)) as connection, closing(connection.cursor()) as cursor:
        view = default_name(shop.stream)[:80]
        cursor.execute(f'DROP MATERIALIZED VIEW {shop.schema}."_ddb_records__{view}" CASCADE')
    assert "was created again" in shop.refresh(orders).gaps[orders.name].reason
    assert values(shop, orders) == {"a": "new"}


def test_settled_records_are_forgotten_when_every_table_of_the_stream_has_settled_them(redshift_shop: Shop) -> None:
    shop = redshift_shop
    one, two = streamed(shop), streamed(shop)
    for table in (one, two):
        shop.put(table, "a", v={"S": "old"})
    shop.pass_time(minutes=5)
    begin = shop.now()
    shop.load(one, begin)
    assert shop.refresh(one, two).kept == 2, "the other table has no load"
    shop.load(two, begin)
    assert shop.refresh(one, two).settled_before is not None
    shop.pass_time(minutes=2)
    for number in range(3):
        shop.put(one, "a", v={"S": f"new {number}"})
    shop.put(two, "a", v={"S": "new"})
    assert shop.refresh(one).read == 4
    shop.pass_time(minutes=30)
    until = begin + timedelta(minutes=20)
    shop.load(one, until, begin)
    shop.put(one, "b", v={"S": "newest"})
    assert shop.refresh(one).kept >= 5, "a refresh for one table forgets nothing that the other one needs"
    shop.load(two, until, begin)
    kept = shop.refresh(one, two).kept
    assert 1 <= kept <= 2, "the newest record of each shard stays"
    assert values(shop, one) == {"a": "new 2", "b": "newest"}
    assert values(shop, two) == {"a": "new"}
    assert shop.refresh(one, two).read == 0


def test_a_new_attribute_is_shown_raw_until_a_window_brings_its_column(redshift_shop: Shop) -> None:
    shop, orders = redshift_shop, streamed(redshift_shop)
    shop.put(orders, "a", v={"S": "old"})
    shop.pass_time(minutes=5)
    begin = shop.now()
    shop.load(orders, begin)
    shop.pass_time(minutes=2)
    shop.put(orders, "a", v={"S": "new"}, colour={"S": "red"})
    shop.refresh(orders)
    query = f"SELECT _ddb_extra FROM {{}}.{orders.name}_live"
    assert json.loads(str(of(shop, query)[0][0]))["$raw"]["colour"] == {"S": "red"}
    shop.pass_time(minutes=30)
    shop.load(orders, begin + timedelta(minutes=20), begin)
    shop.put(orders, "a", v={"S": "newest"}, colour={"S": "blue"})
    shop.refresh(orders)
    assert of(shop, f"SELECT v, colour, _ddb_extra FROM {{}}.{orders.name}_live") == [("newest", "blue", None)]


def test_views_for_people_show_the_records_too(redshift_shop: Shop) -> None:
    shop = redshift_shop
    people = f"p{shop.bucket[:12]}"
    orders = streamed(shop, warehouse={"views": people})
    shop.put(orders, "a", v={"S": "old"})
    shop.load(orders, shop.now())
    shop.put(orders, "a", v={"S": "new"})
    shop.refresh(orders)
    assert shop.rows(f"SELECT * FROM {people}.{orders.name}") == [("a", "new")]
    shop.load(orders, shop.now())
    assert shop.rows(f"SELECT * FROM {people}.{orders.name}") == [("a", "new")]


# --- what cannot be shown


def test_records_that_cannot_be_shown_are_counted(redshift_shop: Shop) -> None:
    shop, orders = redshift_shop, streamed(redshift_shop)
    shop.put(orders, "a", v={"S": "old"})
    shop.load(orders, shop.now())
    shop.put(orders, "b", v={"S": "\0 is no text of SUPER"})
    good = {"tableName": orders.table, "eventName": "INSERT", "dynamodb": {"ApproximateCreationDateTime": 1}}
    for data in (b"no JSON", b"[1]", json.dumps(good).encode(), json.dumps({**good, "dynamodb": 7}).encode()):
        shop.sandbox.kinesis().put_record(StreamName=shop.stream, Data=data, PartitionKey="k")
    found = shop.refresh(orders)
    assert (found.unparsed, found.unreadable) == (3, {orders.name: 2})
    assert values(shop, orders) == {"a": "old"}


def test_what_redshift_skipped_is_a_problem_until_windows_cover_it(redshift_shop: Shop) -> None:
    shop, orders = redshift_shop, streamed(redshift_shop)
    assert shop.server
    shop.put(orders, "a", v={"S": "old"})
    shop.server.faults.skip_records(1)
    found = shop.refresh(orders)
    assert any("skipped 1 records" in problem for problem in found.problems)
    assert any("SYS_STREAM_SCAN_ERRORS" in problem for problem in found.problems)


# --- what is refused


def test_only_redshift_reads_streams(shop: Shop) -> None:
    orders = streamed(shop)
    with pytest.raises(WarehouseError, match="only Redshift reads streams itself") as refused:
        shop.refresh(orders)
    assert str(refused.value) == NO_OWN_STREAMS.format(stream=shop.stream)


@pytest.mark.parametrize(
    "contract",
    [
        {"columns": {"a": {"mask": "sha256"}}},
        {"columns": {"a.b": {"exclude": True}}},
        {"contract": "freeze"},
        {"columns": {"a": {"contract": "discard_value"}}},
        {"oversize": "truncate"},
    ],
)
def test_a_contract_that_sql_cannot_keep_is_refused(contract: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="which Redshift cannot do exactly: take `tail` out"):
        Table.model_validate({"table": "Orders", "stream": {"name": "s", **VIEW}, **contract})


def test_tables_of_one_stream_have_one_kind_of_tail() -> None:
    tables = [Table(table="A", stream="s"), Table.model_validate({"table": "B", "stream": {"name": "s", **VIEW}})]
    with pytest.raises(MixedTailsError, match=r"a \(table\), b \(materialized_view\)"):
        streams_of(tables)


def test_a_table_has_one_kind_of_tail(redshift_shop: Shop) -> None:
    shop = redshift_shop
    drained = shop.table()
    shop.put(drained, "a", v={"S": "x"})
    shop.follow(drained)
    itself = Table.model_validate({"table": drained.table, "stream": {"name": shop.stream, **VIEW}})
    with pytest.raises(LoadError, match="has a tail that drains"):
        shop.refresh(itself)
    other = streamed(shop)
    shop.put(other, "a", v={"S": "x"})
    shop.refresh(other)
    again = Table.model_validate({"table": other.table, "stream": shop.stream})
    error = shop.follow(again).tables[again.name].error
    assert "Redshift reads the stream of" in str(error)


def test_all_that_was_made_for_a_table_is_forgotten_with_it(redshift_shop: Shop) -> None:
    shop, orders = redshift_shop, streamed(redshift_shop, nested={"tags": "child"})
    shop.put(orders, "a", tags={"L": [{"S": "x"}]})
    shop.load(orders, shop.now())
    shop.refresh(orders)
    with open_warehouse(shop.url) as warehouse:
        warehouse.forget(orders.name, warehouse.holdings(orders.name))
    left = f"SELECT relname FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname = '{shop.schema}'"
    assert [name for (name,) in shop.rows(left) if orders.name in str(name)] == []
    shop.load(orders, shop.now())
    shop.put(orders, "a", tags={"L": [{"S": "y"}]})
    shop.refresh(orders)
    assert of(shop, f"SELECT pk, value FROM {{}}.{orders.name}__tags_live") == [("a", "y")]


def test_the_newer_write_is_shown_whatever_the_order_and_an_old_stamp_is_not(redshift_shop: Shop) -> None:
    """Sequence numbers are compared as numbers, and milliseconds as the beginning of theirs."""
    shop, orders = redshift_shop, streamed(redshift_shop)
    shop.put(orders, "a", v={"S": "old"})
    shop.pass_time(minutes=5)
    shop.load(orders, shop.now())
    micros = shop.sandbox.clock.tick() // 1000 * 1000

    say(shop, orders, micros + 500, "newest")
    say(shop, orders, micros // 1000, "the same millisecond, said later")
    say(shop, orders, micros - 400, None)
    say(shop, orders, micros - 10 * 60_000_000, "settled long ago", key="b")
    for number in range(12):
        say(shop, orders, micros + 1000, f"tie {number}", key="c")
    shop.refresh(orders)
    assert values(shop, orders) == {"a": "newest", "c": "tie 11"}
