"""`forget` on ClickHouse has no transaction: whoever dies, what is left is found, and the next one drops it."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from ddb_assets.contract.history import HistoryOptions
from ddb_assets.warehouse.clickhouse.warehouse import ClickHouseWarehouse
from ddb_assets.warehouse.errors import InterruptedLoadError, WarehouseError
from ddb_assets.warehouse.protocol import LoadOptions
from ddb_assets.warehouse.results import Holdings
from ddb_assets_tests.support.clickhouse import again, read
from ddb_assets_tests.support.examples import SOAK
from ddb_assets_tests.warehouse.conformance.worlds import items
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
from ddb_assets_tests.warehouse.landings import HOUR
from ddb_assets_tests.warehouse.test_clickhouse import (
    KilledError,
    dead_after,
    dying,
    loaded,
    of_values,
    take_away,
    watched,
)
from ddb_assets_tests.warehouse.test_clickhouse_streams import Read

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
    last, died = 1 if SOAK else 8, 0
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
        last += 3 if SOAK else 2
    assert died > (15 if SOAK else 3)
    # whoever comes next takes away the lock of one that died
    assert names(clickhouse) - {"_ddb_lock__orders"} == others
    clickhouse.forget("orders", Holdings(), patience=5.0)
    assert names(clickhouse) == others


def test_a_list_of_a_load_that_was_not_finished_is_forgotten(clickhouse: ClickHouseWarehouse, source: Source) -> None:
    source.put(1, "a", "first", "x", "y")
    dead_after(clickhouse, "ALTER TABLE `_ddb_rows__orders__lines`", lambda mortal: mortal.load(source.full(10)))
    clickhouse.forget("orders", clickhouse.holdings("orders"))
    assert names(clickhouse) == {"_ddb_loads"}
    clickhouse.load(source.full(10))
    assert read(clickhouse) == items(source, 10)


def test_a_list_from_before_the_table_started_over_is_forgotten(
    clickhouse: ClickHouseWarehouse, source: Source, tmp_path: Path
) -> None:
    loaded(clickhouse, source)
    clickhouse.load(of_values(tmp_path, {"n": ("BIGINT", 1)}, time=40), LoadOptions(restart=True))
    clickhouse.forget("orders", clickhouse.holdings("orders"))
    assert names(clickhouse) == {"_ddb_loads"}


def test_the_last_statement_about_a_table_comes_too_late(clickhouse: ClickHouseWarehouse, source: Source) -> None:
    """It reaches the server when another load has created the table again, and that is empty still."""
    clickhouse.load_tail(*Read(source).landing(("a", 1, Item("said", ("x",)))))
    held, late = clickhouse.holdings("orders"), list[str]()
    with again(clickhouse) as sleeper:
        changed: Any = sleeper.server
        execute = changed.execute

        def stopped(statement: str, data: bytes | None = None) -> None:
            if statement.startswith("DROP") and statement.endswith("`_ddb_rows__orders`"):
                late.append(statement)
                raise KilledError
            execute(statement, data)

        changed.execute = stopped
        with pytest.raises(KilledError):
            sleeper.forget("orders", held)
    take_away(clickhouse)

    def arrives() -> None:
        with suppress(WarehouseError):
            clickhouse.server.execute(late[0])

    source.put(2, "b", "new", "y")
    clickhouse.load(source.full(10), LoadOptions(before_commit=arrives))
    assert late
    assert read(clickhouse) == items(source, 10)


def test_a_forget_that_has_lost_its_lock_drops_no_empty_table(clickhouse: ClickHouseWarehouse, source: Source) -> None:
    loaded(clickhouse, source)
    held = clickhouse.holdings("orders")
    with again(clickhouse) as sleeper:
        watched(
            sleeper, lambda text: take_away(clickhouse) if text.startswith("EXCHANGE TABLES `_ddb_loads__") else None
        )
        with pytest.raises(InterruptedLoadError):
            sleeper.forget("orders", held)
    assert "_ddb_loads__orders" in names(clickhouse)
