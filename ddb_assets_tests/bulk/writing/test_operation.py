"""What is found out about an item before it is sent."""

from typing import Any

import pytest

from ddb_assets.aws.table import TableDescription
from ddb_assets.bulk.writing.operation import RejectedItemError, put
from ddb_assets.sandbox.server import Sandbox
from ddb_assets_tests.support.tables import new_table


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ({"v": {"S": "x"}}, "key attribute 'pk' is missing"),
        ({"pk": {"S": ""}}, "key attribute 'pk' is empty"),
        ({"pk": {"N": "1"}}, "must be of type S, found N"),
        ({"pk": {"S": "k" * 2049}}, "2049 bytes"),
        ({"pk": {"S": "k"}, "v": {"S": "x" * 410_000}}, "the item has 410,"),
        ({"pk": {"S": "k"}, "v": {"SS": []}}, "must not be empty"),
        ({"pk": {"S": "k"}, "v": {"NS": ["1", "1.0"]}}, "occurs twice"),
        ({"pk": {"S": "k"}, "v": {"N": "1E126"}}, "out of range"),
        ({"pk": {"S": "k"}, "v": {"N": "1" * 39}}, "38 significant digits"),
        ({"pk": {"S": "k"}, "v": {"N": "nan"}}, "is not a number"),
        ({"pk": {"S": "k"}, "v": {"NULL": False}}, "NULL cannot hold"),
        ({"pk": {"S": "k"}, "v": {"B": "é"}}, "is not base64"),
        ({"pk": {"S": "k"}, "v": {"S": "\ud800"}}, "not valid Unicode"),
        ({"pk": {"S": "k"}, "v": {"X": "1"}}, "unknown type descriptor"),
        ({"pk": {"S": "k"}, "v": {"M": {"": {"S": "1"}}}}, "attribute name has 0 bytes"),
        ({"pk": {"S": "k"}, "index": {"N": "1"}}, "key attribute 'index' must be of type S"),
    ],
)
def test_what_dynamodb_would_refuse_a_batch_for_is_found_before(sandbox: Sandbox, item: Any, said: str) -> None:
    index = {
        "IndexName": "by_index",
        "KeySchema": [{"AttributeName": "index", "KeyType": "HASH"}],
        "Projection": {"ProjectionType": "KEYS_ONLY"},
    }
    target = new_table(sandbox, definitions=[("index", "S")], GlobalSecondaryIndexes=[index])
    with pytest.raises(RejectedItemError, match=said):
        put(target, item, None)


def test_nesting_is_allowed_to_32_levels() -> None:
    target = TableDescription.of(
        {
            "TableName": "T",
            "TableArn": "arn",
            "TableStatus": "ACTIVE",
            "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
            "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
        }
    )
    value: dict[str, Any] = {"S": "deep"}
    for _ in range(32):
        value = {"L": [value]}
    assert put(target, {"pk": {"S": "k"}, "v": value}, None).units == (1,)
    with pytest.raises(RejectedItemError, match="deeper than 32"):
        put(target, {"pk": {"S": "k"}, "v": {"M": {"x": value}}}, None)
