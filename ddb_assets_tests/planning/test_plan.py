"""Changes that a contract alone does not make: of the code, of the table, of what fills it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ddb_assets.contract.table import Table
from ddb_assets.warehouse.duckdb.connection import DuckDBEngine
from ddb_assets_tests.planning.oracle import ITEMS, World, check


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with DuckDBEngine(":memory:") as engine:
        yield World(tmp_path, engine)


def orders(**contract: Any) -> Table:
    return Table.model_validate({"table": "Orders", **contract})


def test_code_that_writes_rows_in_another_format(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.load(orders(), "full")
    monkeypatch.setattr("ddb_assets.contract.identity.FORMAT", 2)
    plan = check(world, orders())
    assert [one.way for one in plan.tried] == ["window", "full", "restart"]
    assert "its rows were written in format 1, this version of ddb_assets writes 2" in plan.refused[0].reason
    assert check(world, orders()).is_empty


def test_a_table_that_was_dropped_and_made_again(world: World) -> None:
    world.load(orders(), "full")
    world.table_id = "another"
    plan = world.plan(orders())
    assert (plan.way, [one.way for one in plan.refused]) == ("full", ["window"])
    assert "window NEXT belongs to table id another" in plan.refused[0].reason
    assert plan.todo.startswith("load a full export first")


def test_another_dynamodb_table_is_no_way_to_go_on(world: World) -> None:
    world.load(orders(), "full")
    world.arn += "2"
    plan = check(world, orders())
    assert (plan.way, plan.todo, plan.commands) == (None, "", [])
    assert [one.way for one in plan.refused] == ["window", "full", "restart"]
    assert "give one of the two tables another name" in plan.refused[-1].reason


def test_a_list_that_the_contract_no_longer_declares(world: World) -> None:
    world.load(orders(nested={"l": "child"}), "full")
    plan = check(world, orders())
    assert plan.undeclared == ["orders__l"]
    assert (plan.way, plan.statements, plan.other_contract) == ("window", (), True)


def test_a_table_that_is_replaced_as_a_whole(world: World) -> None:
    world.load(orders(load="replace"), "full")
    assert check(world, orders(load="replace")).is_empty
    plan = check(world, orders(load="replace", columns={"n": {"type": "DECIMAL(20,2)"}}))
    assert (plan.way, plan.todo, plan.brings_all) == ("full", "", True)
    assert [(one.column, one.how) for one in plan.columns] == [("n", "widened")]


def test_a_table_that_a_stream_is_to_fill(world: World) -> None:
    filled = orders(source="stream", stream="orders-cdc")
    plan = world.plan(filled)
    assert (plan.way, plan.commands, plan.statements) == ("records", [], ())
    assert plan.todo == "load it for the first time: materialize the asset of stream orders-cdc"
    world.load(orders(), "full")
    plan = world.plan(filled)
    assert plan.way == "restart"
    assert "times of exports and those of the stream are not of one clock" in plan.refused[0].reason
    assert plan.todo.startswith("start the table over with what the stream still has")


def test_a_type_that_loses_values_is_in_doubt_even_if_the_table_starts_over(world: World) -> None:
    world.load(orders(), "full")
    plan = check(world, orders(columns={"b": {"type": "SUPER"}}))
    assert [one.way for one in plan.refused] == ["window", "full"]
    assert "b: its values are in column b, and the contract now says `type: SUPER`" in plan.refused[0].reason
    assert "is BOOLEAN, the export has SUPER, no type holds the values of both" in plan.doubt


def test_what_a_frozen_contract_does_not_know(world: World) -> None:
    world.load(orders(contract="discard_value"), "full", ITEMS[:1])
    world.load(orders(contract="discard_value"), "window")
    plan = check(world, orders(contract="freeze"))
    assert plan.doubt.startswith("the frozen contract of Orders does not know what the newest profile has at mix:")
    assert not plan.is_empty


def test_a_warehouse_that_cannot_rehearse(world: World) -> None:
    world.load(orders(nested={"m": "json"}), "full")
    changed = orders(nested={"m": "flatten"}, columns={"n": {"type": "DECIMAL(20,2)"}})
    plan, blind = world.plan(changed), world.plan(changed, rehearsed=False)
    assert [one.reason for one in blind.refused] == [one.reason for one in plan.refused] != []
    assert (blind.way, blind.changes, blind.unknowns) == (plan.way, plan.changes, plan.unknowns)
    assert (blind.columns, blind.statements) == ([], ())
