"""A stream followed without Dagster: from writes in DynamoDB to rows of the live table, and back to the truth by a window."""

from collections.abc import Sequence
from datetime import timedelta

import dagster as dg
import pytest

from ddb_assets.aws.clients import AWS
from ddb_assets.aws.storage import Storage
from ddb_assets.bulk.raw_call import BULK_CLIENT
from ddb_assets.contract.report import Relation
from ddb_assets.contract.table import Table
from ddb_assets.flatten.kept import parquet_files
from ddb_assets.live import follow
from ddb_assets.sandbox.stream_faults import Faults
from ddb_assets.streams.drain import drain
from ddb_assets.streams.drained import Drained
from ddb_assets.streams.landing import Landed, StreamedTable, land
from ddb_assets.streams.position import BEGINNING_OF_STREAM
from ddb_assets.warehouse.checks import AGREED, check_results
from ddb_assets.warehouse.facts import load_facts
from ddb_assets.warehouse.results import Inspection
from ddb_assets_tests.live.shop import Shop


def live(shop: Shop, table: Table) -> dict[str, object]:
    return {str(key): value for key, value in shop.rows(f"SELECT pk, v FROM {table.name}_live")}


def truth(shop: Shop, table: Table) -> dict[str, object]:
    return {str(key): value for key, value in shop.rows(f"SELECT pk, v FROM {table.name}")}


def test_changes_are_in_the_live_table_before_any_window(shop: Shop) -> None:
    orders = shop.table()
    for key in "abc":
        shop.put(orders, key, v={"S": "old"})
    shop.load(orders, shop.now())
    shop.put(orders, "a", v={"S": "new"})
    shop.put(orders, "d", v={"S": "new"})
    shop.delete(orders, "b")
    done = shop.follow(orders)
    assert done.last.caught_up
    assert live(shop, orders) == {"a": "new", "c": "old", "d": "new"}
    assert truth(shop, orders) == dict.fromkeys("abc", "old")
    again = shop.follow(orders)
    assert (again.records, again.tables[orders.name].result) == (0, None)


def test_looking_again_and_again_writes_nothing_for_a_while(shop: Shop) -> None:
    """`ddb-assets follow` looks every second. Without records only the time of the look changes, which matters to nobody."""
    orders = shop.table()
    shop.put(orders, "a", v={"S": "x"})
    shop.follow(orders)
    position = f"SELECT max(read_at) FROM _ddb_stream__{orders.name}"
    before = shop.rows(position)
    shop.follow(orders)
    assert shop.rows(position) == before
    shop.pass_time(minutes=14)
    shop.follow(orders)
    assert shop.rows(position) == before
    shop.pass_time(minutes=2)
    shop.follow(orders)
    assert shop.rows(position) > before


def test_a_landing_that_another_process_has_replaced_is_not_loaded(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both read from one position, and this one found more. With the other's records its position would skip some."""
    orders = shop.table()
    shop.put(orders, "a", v={"S": "x"})
    client = AWS().kinesis(shop.stream, BULK_CLIENT)
    shorter = drain(client, shop.stream, BEGINNING_OF_STREAM, now=shop.sandbox.clock.tick)
    shop.put(orders, "b", v={"S": "x"})

    def replaced(storage: Storage, folder: str, drained: Drained, tables: Sequence[StreamedTable]) -> Landed:
        landed = land(storage, folder, drained, tables)
        land(storage, folder, shorter, tables)  # between landing and loading
        return landed

    with monkeypatch.context() as patch:
        patch.setattr(follow, "land", replaced)
        error = shop.follow(orders).tables[orders.name].error
    assert "another process follows" in str(error)
    shop.follow(orders)
    assert live(shop, orders) == {"a": "x", "b": "x"}


def test_what_following_leaves_in_the_lake_is_known_as_ours(shop: Shop) -> None:
    """`ddb-assets forget` deletes nothing where anything is not."""
    orders = shop.table()
    shop.put(orders, "a", v={"S": "x"})
    shop.follow(orders)
    found = parquet_files(AWS().storage(), f"{shop.lake}/parquet/{orders.name}", orders.name)
    assert sum(uri.endswith(".parquet") for uri in found) == 1


def test_two_tables_on_one_stream_keep_their_own_values(shop: Shop) -> None:
    """Both have the same key and attribute. A third table writes to the stream, and nobody has declared it."""
    one, two, other = shop.table(), shop.table(), shop.table()
    for table, value in ((one, "1"), (two, "2"), (other, "3")):
        shop.put(table, "k", v={"S": value})
    done = shop.follow(one, two)
    assert (live(shop, one), live(shop, two)) == ({"k": "1"}, {"k": "2"})
    (_, landed), *_ = done.drains
    assert landed.undeclared == {other.table: 1}


def test_what_the_stream_lost_is_put_right_by_the_next_window(shop: Shop) -> None:
    orders = shop.table()
    shop.put(orders, "a", v={"S": "old"})
    shop.put(orders, "b", v={"S": "old"})
    shop.pass_time(minutes=5)  # so that the full export covers them by any clock
    begin = shop.now()
    shop.load(orders, begin)
    shop.pass_time(minutes=2)
    shop.sandbox.set_stream_faults(shop.arn, Faults(lost=1.0))
    shop.put(orders, "a", v={"S": "lost"})
    shop.delete(orders, "b")
    shop.sandbox.set_stream_faults(shop.arn, Faults())
    shop.put(orders, "c", v={"S": "new"})
    shop.follow(orders)
    assert live(shop, orders) == {"a": "old", "b": "old", "c": "new"}
    shop.pass_time(minutes=30)
    shop.follow(orders)
    result = shop.load(orders, begin + timedelta(minutes=20), begin)
    assert live(shop, orders) == truth(shop, orders) == {"a": "lost", "c": "new"}
    assert (result.agreed, result.healed, result.stream_missed) == (1, 0, 2)
    root = Relation(name=orders.name, path=(), columns=())
    shown = load_facts(result, root, orders.name, [], soft_delete=False)
    assert {name: shown[name].value for name in ("agreed", "healed", "stream_missed")} == {
        "agreed": 1,
        "healed": 0,
        "stream_missed": 2,
    }
    seen = Inspection(recorded={}, counted={}, twice=0, leftovers=())
    (check,) = (
        check
        for check in check_results(orders, result, seen, root.name, dg.AssetKey("x"))
        if check.check_name == AGREED
    )
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "2 items were never named by the stream" in str(check.description)


def test_a_table_that_cannot_be_loaded_holds_up_no_other(shop: Shop) -> None:
    good, bad = shop.table(), shop.table(columns={"v": {"type": "BIGINT", "contract": "discard_row"}})
    shop.put(bad, "a", v={"N": "1"})
    shop.put(good, "a", v={"S": "x"})
    assert shop.follow(good, bad).tables[bad.name].error is None
    shop.put(bad, "a", v={"S": "no number"})
    shop.put(good, "a", v={"S": "y"})
    error = shop.follow(good, bad).tables[bad.name].error
    assert error is not None
    assert "max_quarantined" in str(error)
    assert live(shop, good) == {"a": "y"}
    shop.put(good, "a", v={"S": "z"})
    done = shop.follow(good, bad)
    assert (live(shop, good), live(shop, bad)) == ({"a": "z"}, {"a": 1})
    assert done.tables[bad.name].error is not None, "what was refused is read again"
    mended = bad.model_copy(update={"max_quarantined": 1})
    assert shop.follow(good, mended).tables[bad.name].error is None


def test_what_a_table_does_not_write_to_its_stream_is_a_gap_until_windows_cover_it(shop: Shop) -> None:
    orders = shop.table()
    shop.pass_time(minutes=5)
    begin = shop.now()
    shop.load(orders, begin)
    assert shop.follow(orders).tables[orders.name].gap is None
    client = shop.sandbox.dynamodb()
    client.disable_kinesis_streaming_destination(TableName=orders.table, StreamArn=shop.arn)
    shop.pass_time(minutes=1)
    shop.put(orders, "a", v={"S": "not sent"})
    gap = shop.follow(orders).tables[orders.name].gap
    assert gap is not None
    assert "did not write to the stream: since" in str(gap)
    assert str(gap).endswith("and it goes on")
    shop.pass_time(minutes=18)
    shop.load(orders, until := begin + timedelta(minutes=15), begin)
    assert truth(shop, orders) == {"a": "not sent"}
    assert shop.follow(orders).tables[orders.name].gap == gap, "windows do not end it while it goes on"
    client.enable_kinesis_streaming_destination(TableName=orders.table, StreamArn=shop.arn)
    shop.pass_time(minutes=1)
    shop.put(orders, "b", v={"S": "sent"})
    ended = shop.follow(orders).tables[orders.name].gap
    assert ended is not None
    assert ended.since == gap.since
    assert "and it goes on" not in str(ended)
    assert live(shop, orders) == {"a": "not sent", "b": "sent"}
    shop.pass_time(minutes=30)
    shop.load(orders, until + timedelta(minutes=30), until)
    assert shop.follow(orders).tables[orders.name].gap is None


def test_a_stream_that_expired_is_a_gap_until_windows_cover_it(shop: Shop) -> None:
    orders = shop.table()
    shop.pass_time(minutes=5)
    begin = shop.now()
    shop.load(orders, begin)
    shop.follow(orders)
    shop.put(orders, "a", v={"S": "expires"})
    shop.pass_time(hours=23)
    shop.pass_time(hours=6)
    shop.put(orders, "b", v={"S": "new"})
    gap = shop.follow(orders).tables[orders.name].landing.end.gap
    assert gap is not None
    assert "expired" in gap.reason
    assert live(shop, orders) == {"b": "new"}
    shop.load(orders, begin + timedelta(hours=24), begin)
    shop.pass_time(hours=1)
    shop.load(orders, begin + timedelta(hours=29, minutes=30), begin + timedelta(hours=24))
    assert live(shop, orders) == {"a": "expires", "b": "new"}
    assert shop.follow(orders).tables[orders.name].landing.start.gap is None
