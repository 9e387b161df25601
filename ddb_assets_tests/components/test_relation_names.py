"""Two contracts that would share a table of the warehouse are refused before anything runs."""

import pytest

from ddb_assets.components.relation_names import check_relation_names
from ddb_assets.contract.contract_yaml import ConfigError
from ddb_assets.contract.table import Table


def contract(**given: object) -> Table:
    return Table.model_validate(given)


def test_a_name_that_is_another_tables_list_is_refused() -> None:
    orders = contract(table="Orders", nested={"lines": "child", "lines[].subs": "child"})
    check_relation_names([orders, contract(table="Lines"), contract(table="orders__other")])
    for name in ("orders__lines", "orders__lines__subs", "orders"):
        for tables in ([orders, contract(table="X", name=name)], [contract(table="X", name=name), orders]):
            with pytest.raises(ConfigError, match=f"one name in the warehouse, {name}, and one would replace"):
                check_relation_names(tables)


def test_two_lists_with_one_name_are_refused() -> None:
    one = contract(table="A", nested={"b.c": "child"})
    other = contract(table="B", name="a__b", nested={"c": "child"})
    with pytest.raises(ConfigError, match=r"the list c of B and the list b\.c of A would have one name"):
        check_relation_names([one, other])


def test_the_name_of_a_live_view_is_taken() -> None:
    orders = contract(table="Orders", stream="orders-cdc", nested={"lines": "child"})
    check_relation_names([orders, contract(table="Lines")])
    for name in ("orders_live", "orders__lines_live"):
        with pytest.raises(ConfigError, match=f"the live view of .* would have one name in the warehouse, {name}"):
            check_relation_names([contract(table="X", name=name), orders])
    check_relation_names([contract(table="Orders", nested={"lines": "child"}), contract(table="X", name="orders_live")])


def test_the_name_of_the_view_of_a_history_is_taken() -> None:
    orders = contract(table="Orders", history=True, nested={"lines": "child"})
    for name in ("orders_history", "orders__lines_history"):
        with pytest.raises(ConfigError, match=f"the history of .* would have one name in the warehouse, {name}"):
            check_relation_names([contract(table="X", name=name), orders])
    check_relation_names([contract(table="Orders"), contract(table="X", name="orders_history")])


def test_the_name_of_a_view_of_hot_and_cold_rows_is_taken() -> None:
    orders = contract(table="Orders", warehouse={"retain": "400 days by created"})
    with pytest.raises(ConfigError, match=r"the view of hot and cold rows of .* one name in the warehouse, orders_all"):
        check_relation_names([contract(table="X", name="orders_all"), orders])
    check_relation_names([contract(table="Orders"), contract(table="X", name="orders_all")])
