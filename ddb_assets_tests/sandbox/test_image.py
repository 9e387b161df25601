"""Images: canonical numbers, sizes by DynamoDB's rules, and storage keys that sort as DynamoDB sorts."""

import base64
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddb_assets.sandbox import image

NUMBERS = st.builds(
    lambda digits, exponent, negative: Decimal((int(negative), tuple(map(int, str(digits))), exponent)),
    st.integers(0, 10**38 - 1),
    st.integers(-130, 87),
    st.booleans(),
)


@given(NUMBERS)
def test_a_number_keeps_its_value_and_has_one_text(number: Decimal) -> None:
    text = image.number_text(str(number))
    assert Decimal(text) == number
    assert "E" not in text
    assert image.number_text(f"{number:f}") == text
    assert image.number_text(text) == text
    assert text == "0" or not (text.startswith("0") and not text.startswith("0."))


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1.50", "1.5"), ("1E2", "100"), ("-0", "0"), ("007", "7"), ("1E-3", "0.001"), ("0", "0"), ("+5", "5")],
)
def test_number_texts(text: str, expected: str) -> None:
    assert image.number_text(text) == expected


@pytest.mark.parametrize("text", ["1" * 39, "abc", "", "1_0_x", "0." + "1" * 39])
def test_a_text_that_is_not_a_number_is_refused(text: str) -> None:
    with pytest.raises(image.ImageError):
        image.number_text(text)


@given(NUMBERS, NUMBERS)
def test_number_sort_keys_sort_as_numbers(one: Decimal, other: Decimal) -> None:
    partition = {"S": "p"}
    first, second = (image.storage_key(partition, {"N": str(number)}) for number in (one, other))
    assert (first < second, first == second) == (one < other, one == other)


@given(st.binary(max_size=5), st.binary(max_size=5))
def test_binary_sort_keys_sort_as_bytes(one: bytes, other: bytes) -> None:
    partition = {"S": "p"}
    first, second = (image.storage_key(partition, {"B": base64.b64encode(b).decode()}) for b in (one, other))
    assert (first < second) == (one < other)


@given(st.text(max_size=5), st.text(max_size=5))
def test_text_sort_keys_sort_as_utf8_within_their_partition(one: str, other: str) -> None:
    first, second = (image.storage_key({"N": "1.0"}, {"S": text}) for text in (one, other))
    assert (first < second) == (one.encode() < other.encode())
    low, high = image.partition_range({"N": "1"})
    assert low <= first < high


def test_segments_cover_all_keys_once() -> None:
    for total in (1, 2, 3, 7, 1_000_000):
        last = b""
        for segment in (0, total - 1) if total > 10 else range(total):
            low, high = image.segment_range(segment, total)
            assert low < high
            assert total > 10 or low == (last or b"\0\0\0\0")
            last = high
        assert last == image.KEY_END


@pytest.mark.parametrize(
    ("attributes", "size"),
    [
        ({"id": {"S": "äb"}}, 2 + 3),
        ({"n": {"N": "123"}}, 1 + 2 + 1),
        ({"b": {"B": "aGVsbG8="}}, 1 + 5),
        ({"t": {"BOOL": True}, "u": {"NULL": True}}, 2 + 2),
        ({"m": {"M": {"a": {"S": "v"}}}}, 1 + 3 + 1 + 1 + 1),
        ({"l": {"L": [{"S": "v"}, {"L": []}]}}, 1 + 3 + 2 + 1 + 3),
        ({"s": {"SS": ["a", "bc"]}, "n": {"NS": ["1", "22"]}, "b": {"BS": ["YQ=="]}}, 3 + 3 + 4 + 1),
    ],
)
def test_sizes_follow_dynamodbs_rules(attributes: dict[str, Any], size: int) -> None:
    assert image.encode({"k": {"S": ""}} | attributes, ["k"])[1] == 1 + size


def test_key_attributes_come_first_and_text_is_raw_utf8() -> None:
    stored, _ = image.encode({"z": {"S": "ü"}, "id": {"N": "01"}, "a": {"NS": ["2.0", "1"]}}, ["id", "a"])
    assert stored == '{"id":{"N":"1"},"a":{"NS":["2","1"]},"z":{"S":"ü"}}'.encode()


@pytest.mark.parametrize(
    ("value", "said"),
    [({"S": "\ud800"}, "UTF-8"), ({"SS": []}, "set must not be empty"), ({"NS": ["1", "1.0"]}, "occurs twice")],
)
def test_what_dynamodb_refuses_has_no_image(value: dict[str, Any], said: str) -> None:
    with pytest.raises(image.ImageError, match=said):
        image.encode({"id": value}, ["id"])
