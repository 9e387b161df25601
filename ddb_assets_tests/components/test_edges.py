"""Lineage: which imports and copies write into a table, and which tables a copy reads."""

import dagster as dg

from ddb_assets.components.edges import Edges, edges
from ddb_assets.contract.table import Table
from ddb_assets.copies.copy_config import CopyConfig

ARN = "arn:aws:dynamodb:eu-west-1:123456789012:table/Orders"
ELSEWHERE = ARN.replace("123456789012", "210987654321")


def copy(source: object, destination: object) -> CopyConfig:
    return CopyConfig.model_validate({"source": source, "destination": destination})


def made(
    tables: dict[str, str], imports: dict[str, str] | None = None, copies: dict[str, CopyConfig] | None = None
) -> Edges:
    return edges([Table(table=table, name=name) for name, table in tables.items()], imports or {}, copies or {})


def shown(keys: object) -> list[str]:
    assert isinstance(keys, list)
    return [key.to_user_string() for key in keys if isinstance(key, dg.AssetKey)]


def test_an_import_writes_into_every_contract_of_its_table() -> None:
    tables = {"orders": "Orders", "masked": ARN, "other": ELSEWHERE, "customers": "Customers"}
    writers = made(tables, imports={"by_name": "Orders", "by_arn": ARN}).writers
    assert shown(writers["orders"]) == ["imports/by_name", "imports/by_arn"]
    assert shown(writers["masked"]) == ["imports/by_name", "imports/by_arn"]
    assert shown(writers["other"]) == ["imports/by_name"]
    assert writers["customers"] == []


def test_a_copy_reads_its_source_and_writes_into_its_destination() -> None:
    found = made({"shop_orders": "Orders", "orders_copy": "Orders-copy"}, copies={"c": copy("Orders", "Orders-copy")})
    assert shown(found.sources["c"]) == ["dynamodb/shop_orders_table"]
    assert shown(found.writers["orders_copy"]) == ["copies/c"]
    assert found.writers["shop_orders"] == []


def test_a_source_that_no_contract_declares_is_shown_by_its_name() -> None:
    assert shown(made({}, copies={"c": copy("Orders", "X")}).sources["c"]) == ["dynamodb/orders_table"]


def test_a_source_that_is_another_table_than_the_declared_one_of_its_key_is_not_shown() -> None:
    for declared, source in ((ARN, ELSEWHERE), (ARN, ARN.replace("eu-west-1", "us-east-1")), ("Orders", "orders")):
        assert shown(made({"orders": declared}, copies={"c": copy(source, "X")}).sources["c"]) == []
    assert shown(made({"orders": ARN}, copies={"c": copy("Orders", "X")}).sources["c"]) == ["dynamodb/orders_table"]


def test_a_table_that_other_settings_lead_to_is_not_ours() -> None:
    theirs = {"table": "Orders", "profile": "theirs"}
    found = made({"orders": "Orders"}, copies={"from": copy(theirs, "X"), "into": copy("Y", theirs)})
    assert found.sources["from"] == []
    assert found.writers["orders"] == []


def test_copies_in_a_circle_show_no_circle() -> None:
    copies = {"a_to_b": copy("A", "B"), "b_to_c": copy("B", "C"), "c_to_a": copy("C", "A")}
    found = made({"a": "A", "b": "B", "c": "C"}, copies=copies)
    assert shown(found.writers["b"]) == ["copies/a_to_b"]
    assert shown(found.writers["c"]) == ["copies/b_to_c"]
    assert found.writers["a"] == []
    assert shown(found.sources["c_to_a"]) == ["dynamodb/c_table"]
