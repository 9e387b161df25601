"""Sizes, checks and keys of items."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddb_assets.dynamodb.attribute_value import AttributeValueError
from ddb_assets.dynamodb.item import Item, KeyAttribute, attribute_sizes, canonical, item_key
from ddb_assets.sandbox import image
from ddb_assets_tests.flatten.items import attributes


def unique(item: Item) -> bool:
    """Whether no set has two texts for the same number; DynamoDB refuses such a set."""
    try:
        attribute_sizes(item)
    except AttributeValueError:
        return False
    return True


@given(item=attributes.filter(unique))
def test_an_item_is_the_same_however_its_numbers_and_sets_are_written(item: Item) -> None:
    stored = image.decode(image.encode(item, [])[0])
    assert canonical({"M": stored}) == canonical({"M": item})


@pytest.mark.parametrize(
    ("item", "size"),
    [
        ({"a": {"S": "é"}}, 3),
        ({"a": {"N": "0"}}, 2),
        ({"a": {"N": "-12.50"}}, 4),
        ({"a": {"N": "1E+10"}}, 3),
        ({"a": {"B": "AAEC"}}, 4),
        ({"a": {"NULL": True}}, 2),
        ({"a": {"L": []}}, 4),
        ({"a": {"M": {"b": {"S": "c"}}}}, 7),
        ({"a": {"SS": ["x", "yy"]}}, 4),
    ],
)
def test_sizes_by_awss_rules(item: Item, size: int) -> None:
    assert attribute_sizes(item) == {"a": size}


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"M": {"x.y": {"L": [{"S": "ok"}, {"N": "abc"}]}}}, r"a\.x\\\.y\[1\]: N 'abc' is not a number"),
        ({"L": [{"S": 5}]}, r"a\[0\]: S cannot hold int"),
        ({"M": {"b": {"S": "x", "N": "1"}}}, r"a\.b: expected one object with one type descriptor"),
        ({"NS": ["1", "x"]}, r"a\[1\]: N 'x' is not a number"),
        ("text", "a: expected one object"),
    ],
)
def test_what_is_wrong_is_named_by_its_path(value: object, said: str) -> None:
    with pytest.raises(AttributeValueError, match=said):
        attribute_sizes({"a": value})


@given(number=st.integers(-(10**12), 10**12), zeros=st.integers(0, 3))
def test_a_number_is_one_key_however_it_is_written(number: int, zeros: int) -> None:
    key = [KeyAttribute("n", "N", 1024)]
    texts = [str(number), f"{number}.{'0' * (zeros + 1)}", f"{number}{'0' * zeros}E-{zeros}"]
    assert len({item_key({"n": {"N": text}}, key) for text in texts}) == 1


def test_a_binary_is_one_key_however_it_is_padded() -> None:
    key = [KeyAttribute("b", "B", 1024)]
    assert item_key({"b": {"B": "AAEC"}}, key) == (b"\x00\x01\x02",)
    with pytest.raises(AttributeValueError, match="is empty"):
        item_key({"b": {"B": ""}}, key)
