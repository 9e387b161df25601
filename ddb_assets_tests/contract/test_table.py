"""The contract of a table: what is allowed, what is refused, and the defaults."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ddb_assets.contract.key_schema import KeySchema
from ddb_assets.contract.table import Table

TABLE_NAMES = st.text(string.ascii_letters + string.digits + "_.-", min_size=3, max_size=255)
"""The table names that DynamoDB allows."""


@given(TABLE_NAMES)
def test_the_name_of_any_dynamodb_table_is_a_contract_by_itself(name: str) -> None:
    by_name = Table(table=name)
    by_arn = Table(table=f"arn:aws:dynamodb:eu-west-1:123456789012:table/{name}")
    assert by_name.name == by_arn.name
    assert by_name.name.isidentifier()
    assert len(by_name.name) <= 100


def test_long_names_and_names_without_letters_stay_apart() -> None:
    """The names end with a hash of the whole table name. They are also the names of the tables in the warehouse."""
    long = "Orders" * 42
    names = {Table(table=table).name for table in (f"{long}a", f"{long}b", "---", "...", "._-", "table")}
    assert len(names) == 6
    assert Table(table="...").name == "table_ab5df625"
    assert Table(table=f"{long}a").name.startswith("orders_orders_")


@pytest.mark.parametrize(
    ("table", "name"),
    [("Orders", "orders"), ("userEvents-v2", "user_events_v2"), ("HTTPLog", "http_log"), ("2024.sales", "_2024_sales")],
)
def test_assets_are_named_after_the_table(table: str, name: str) -> None:
    assert Table(table=table).name == name


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("id", KeySchema(partition_key="id")),
        ("id, at", KeySchema(partition_key="id", sort_key="at")),
        ({"partition_key": "a,b"}, KeySchema(partition_key="a,b")),
    ],
)
def test_a_key_is_text_or_spelled_out(key: object, expected: KeySchema) -> None:
    table = Table.model_validate({"table": "Orders", "key": key})
    assert table.key == expected


@pytest.mark.parametrize(
    ("attributes", "location", "message"),
    [
        ({"table": "Orders", "nestd": {}}, ("nestd",), "unknown key; allowed here: table, name, key,"),
        ({"table": "Orders", "export": {"bukket": "b"}}, ("export", "bukket"), "allowed here: bucket, prefix"),
        (
            {"table": "Orders", "export": {"bucket": "bkt", "bucket_owner": "12"}},
            ("export", "bucket_owner"),
            "[0-9]{12}",
        ),
        ({"table": "Orders", "nested": {"items": "rows"}}, ("nested", "items"), "'flatten', 'json' or 'child'"),
        ({"table": "Orders", "nested": {"a..b": "json"}}, ("nested", "a..b", "[key]"), "attribute name is missing"),
        ({"table": "Orders", "name": "Orders!"}, (), "give a `name`"),
        ({"table": "Größe"}, (), "give a `name`"),
        ({"table": "Orders", "owners": ["nobody"]}, ("owners", 0), "e-mail address or team:<name>"),
        ({"table": "Orders", "key": ","}, ("key", "partition_key"), "at least 1 character"),
        ({}, ("table",), "required"),
    ],
)
def test_what_is_wrong_is_refused_where_it_stands(attributes: object, location: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Table.model_validate(attributes)
    (error,) = refused.value.errors()
    assert error["loc"] == location
    assert message in error["msg"]


def test_a_declared_path_is_found_by_its_steps() -> None:
    table = Table(table="Orders", nested={"items": "child", r"a\.b.c": "json"})
    assert table.nested_at(("items",)) == "child"
    assert table.nested_at(("a.b", "c")) == "json"
    assert table.nested_at(("a", "b", "c")) is None


@pytest.mark.parametrize(
    "stream", ["", "orders-cdc", "a.b_c", "arn:aws-cn:kinesis:cn-north-1:123456789012:stream/orders-cdc"]
)
def test_a_stream_is_a_name_or_an_arn_in_any_partition(stream: str) -> None:
    assert Table(table="Orders", stream=stream).stream == stream


@pytest.mark.parametrize("stream", ["bad name", "a/b", "x" * 129, "arn:aws:sqs:eu-west-1:123456789012:stream/x"])
def test_another_text_is_no_stream(stream: str) -> None:
    with pytest.raises(ValueError, match="is neither the name of a Kinesis data stream"):
        Table(table="Orders", stream=stream)


def test_a_stream_needs_windows() -> None:
    with pytest.raises(ValueError, match="stream needs `load: upsert`"):
        Table(table="Orders", stream="orders-cdc", load="replace")
