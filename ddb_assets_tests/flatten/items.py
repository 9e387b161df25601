"""Hypothesis strategies for DynamoDB items, and how boto3 reads them: the oracle for flattening."""

import base64
import json
from collections.abc import Callable, Hashable
from decimal import Decimal
from typing import Any

from boto3.dynamodb.types import Binary, TypeDeserializer
from hypothesis import strategies as st

AWKWARD = [
    "S",
    "N",
    "B",
    "BOOL",
    "NULL",
    "SS",
    "L",
    "M",
    "Item",
    "$types",
    "$value",
    "_ddb_version",
    "_ddb_extra",
    "value",
]
AWKWARD += [
    "*",
    "^a.*$",
    "a.b",
    "a b",
    "a-b",
    "A",
    "a",
    "aB",
    "a_b",
    "[]",
    "x[0]",
    "\\",
    'q"',
    "{",
    "}",
    ":",
    "\0",
    "é",
    "🙂",
    "select",
    "oid",
]
names = st.sampled_from(AWKWARD) | st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    [
        '"',
        "\\",
        '\\":',
        '":',
        '{"S":"x"}',
        '"}',
        "\n\t\0",
        "null",
        "2024-05-14T11:14:20Z",
        "a ",
        " ",
        "\u2028",
        "42",
        "eA==",
    ]
)


def _number(sign: str, digits: str, exponent: int) -> str:
    value = Decimal(sign + digits).scaleb(exponent)
    return str(value) if value and -130 <= value.adjusted() <= 125 else sign.replace("-", "") + "0"


numbers = (
    st.integers(-(10**6), 10**6).map(str)
    | st.decimals(-1000, 1000, places=2).map(str)
    | st.integers(-(1 << 64), 1 << 64).map(str)
    | st.builds(
        _number,
        st.sampled_from(["", "-"]),
        st.integers(1, 10**38 - 1).map(str),
        st.integers(-130, 125) | st.integers(-40, 5),
    )
    | st.sampled_from(
        ["0", "-0", "1E+2", "1e100", "0.10", "+5", "007", ".5", "5.", "9223372036854775808", "1E-130", "1E125"]
    )
)
binaries = st.binary(max_size=6).map(lambda raw: base64.b64encode(raw).decode())


def scalars(
    texts: st.SearchStrategy[str], numbers: st.SearchStrategy[str], binaries: st.SearchStrategy[str], most: int = 3
) -> st.SearchStrategy[dict[str, Any]]:
    """Scalar values of these payloads, and sets of up to `most` of them. DynamoDB refuses a set with two equal members."""

    def members(
        descriptor: str, payloads: st.SearchStrategy[str], same: Callable[[str], Hashable] = str
    ) -> st.SearchStrategy[dict[str, Any]]:
        return st.lists(payloads, min_size=1, max_size=most, unique_by=same).map(lambda found: {descriptor: found})

    return st.one_of(
        texts.map(lambda v: {"S": v}),
        numbers.map(lambda v: {"N": v}),
        binaries.map(lambda v: {"B": v}),
        st.booleans().map(lambda v: {"BOOL": v}),
        st.just({"NULL": True}),
        members("SS", texts),
        members("NS", numbers, Decimal),
        members("BS", binaries),
    )


values = st.recursive(
    scalars(texts, numbers, binaries),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda v: {"L": v})
        | st.dictionaries(names, inner, max_size=3).map(lambda v: {"M": v})
    ),
    max_leaves=6,
)
attributes = st.dictionaries(names.filter(lambda n: n != "pk"), values, max_size=5)
similar = st.lists(attributes, min_size=1, max_size=3).flatmap(
    lambda shapes: st.lists(st.sampled_from(shapes) | attributes, min_size=1, max_size=16)
)
"""Attribute maps, several of them alike, so that the fast path can decode them."""


def line_writers() -> st.SearchStrategy[Any]:
    """Ways to write the same JSON: compact like AWS, with blanks, or in ASCII."""
    return st.sampled_from(
        [
            lambda v: json.dumps(v, separators=(",", ":"), ensure_ascii=False),
            lambda v: json.dumps(v, ensure_ascii=False),
            lambda v: json.dumps(v, separators=(" , ", " : "), ensure_ascii=True),
            lambda v: json.dumps(v, separators=(",", ":"), ensure_ascii=True),
        ]
    )


class _Exact(TypeDeserializer):
    """boto3's deserializer, also for numbers of DynamoDB that its decimal context refuses (boto3 issue 2500)."""

    def _deserialize_n(self, value: str) -> Decimal:
        return Decimal(value)


def decoded(value: Any) -> Any:
    """A value in DynamoDB JSON as boto3 reads it; binary is bytes."""
    return _plain(_Exact().deserialize(_with_bytes(value)))


def _with_bytes(value: Any) -> Any:
    ((descriptor, payload),) = value.items()
    match descriptor:
        case "B":
            return {"B": base64.b64decode(payload)}
        case "BS":
            return {"BS": [base64.b64decode(p) for p in payload]}
        case "L":
            return {"L": [_with_bytes(p) for p in payload]}
        case "M":
            return {"M": {n: _with_bytes(p) for n, p in payload.items()}}
        case _:
            return value


def _plain(value: Any) -> Any:
    if isinstance(value, Binary):
        return bytes(value)  # type: ignore[call-overload]
    if isinstance(value, set):
        return {_plain(v) for v in value}
    if isinstance(value, list):
        return [_plain(v) for v in value]
    return {n: _plain(v) for n, v in value.items()} if isinstance(value, dict) else value
