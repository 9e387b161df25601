"""`forget` on ClickHouse has no transaction: whoever dies, what is left is found, and the next one drops it."""

import pytest

from ddb_assets.contract.history import HistoryOptions
from ddb_assets.warehouse.clickhouse.warehouse import ClickHouseWarehouse
from ddb_assets.warehouse.protocol import LoadOptions
from ddb_assets.warehouse.results import Holdings
from ddb_assets_tests.support.clickhouse import again
from ddb_assets_tests.support.examples import SOAK
from ddb_assets_tests.warehouse.exports import (
    BASE_MICROS,
    KEY,
    NOTE,
    VERSION,
    Item,
    Source,
    at,
    relation,
    report,
    write,
)
from ddb_assets_tests.warehouse.test_clickhouse import KilledError, dying, watched
from ddb_assets_tests.warehouse.test_clickhouse_streams import HOUR, Read

KINDS = {"rows", "versions", "history", "tail", "stream", "unread", "loads"}


def fill(clickhouse: ClickHouseWarehouse, folder: Source) -> None:
    """`orders` with a list, an unread item, a history and a tail, and what a load of it has staged and left."""
    source = Source(folder.folder, hashed=True)
    source.put(1, "a", "first", "x", "y")
    source.put(2, "b", "unreadable")
    clickhouse.load(source.full(10, unread="b"), LoadOptions(history=HistoryOptions(), max_quarantined=1))
    clickhouse.load_tail(*Read(folder).landing(("a", HOUR, Item("newer", ("z",)))))
    clickhouse.server.execute("CREATE TABLE _ddb_stage__left (x Int8) ENGINE = Memory COMMENT 'orders'")


def names(clickhouse: ClickHouseWarehouse) -> set[str]:
    return {
        str(name) for (name,) in clickhouse.query("SELECT name FROM system.tables WHERE database = currentDatabase()")
    }


@pytest.fixture
def others(clickhouse: ClickHouseWarehouse, source: Source) -> set[str]:
    """Another table that was loaded, and tables that nobody has loaded."""
    row = {"order_id": "c", "_ddb_version": BASE_MICROS + 10}
    root = write(source.folder / "others", relation("orders_too", [KEY, VERSION, NOTE]), [row])
    arn = "arn:aws:dynamodb:eu-west-1:123456789012:table/orders_too"
    clickhouse.load(report([root], export_time=at(10), table_arn=arn).model_copy(update={"name": "orders_too"}))
    for name in ("orders__notes", "_ddb_stage__of_another"):
        clickhouse.server.execute(f"CREATE TABLE {name} (x Int8) ENGINE = Memory COMMENT 'orders_too'")
    return names(clickhouse)


@pytest.mark.soak
def test_what_is_left_is_held_after_every_statement(
    clickhouse: ClickHouseWarehouse, source: Source, others: set[str]
) -> None:
    """Outside of a soak after those that put something else in the place of a table."""
    fill(clickhouse, source)
    expected = clickhouse.holdings("orders")
    assert {name.split("__")[0].removeprefix("_ddb_") for name in expected.tables} == KINDS
    left: list[int] = []
    with again(clickhouse) as reader:

        def look(statement: str) -> None:
            if not (SOAK or statement.startswith("EXCHANGE")):
                return
            found = reader.holdings("orders")
            assert found.tables.keys() <= expected.tables.keys()
            left.append(len(found.tables) + len(found.views))

        watched(clickhouse, look)
        clickhouse.forget("orders", expected)
    assert left == sorted(left, reverse=True)
    assert clickhouse.holdings("orders") == Holdings()
    assert len(left) >= len(expected.tables)
    assert names(clickhouse) == others


@pytest.mark.soak
@pytest.mark.slow
def test_whoever_dies_leaves_what_the_next_one_drops(
    clickhouse: ClickHouseWarehouse, source: Source, others: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a soak after every third statement of a `forget` of all; otherwise each one goes on where the one before has died."""
    monkeypatch.setattr("ddb_assets.warehouse.clickhouse.lock.LEASE_SECONDS", 0.1)
    fill(clickhouse, source)
    last, died = 1 if SOAK else 6, 0
    while (held := clickhouse.holdings("orders")).tables:
        with again(clickhouse) as mortal:
            dying(mortal, last)
            try:
                mortal.forget("orders", held, patience=5.0)
            except KilledError:
                died += 1
            else:
                break
        if SOAK:
            clickhouse.forget("orders", clickhouse.holdings("orders"), patience=5.0)
            assert names(clickhouse) == others
            fill(clickhouse, source)
        last += 3 if SOAK else 1
    assert died > (15 if SOAK else 4)
    # whoever comes next takes away the lock of one that died
    assert names(clickhouse) - {"_ddb_lock__orders"} == others
    clickhouse.forget("orders", Holdings(), patience=5.0)
    assert names(clickhouse) == others
