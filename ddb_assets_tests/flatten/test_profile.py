"""A profile says again what was seen."""

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ddb_assets.flatten.profile import Seen, observe, profile_document, seen_of
from ddb_assets_tests.support.examples import examples

SCALARS = st.one_of(
    st.sampled_from(("", "x", "é" * 40, "2026-01-01T00:00:00Z", "2026-01-01")).map(lambda text: {"S": text}),
    st.sampled_from(("0", "7", "-12.50", "9223372036854775807", "9223372036854775808")).map(lambda text: {"N": text}),
    st.booleans().map(lambda truth: {"BOOL": truth}),
    st.just({"NULL": True}),
    st.just({"B": "aGVsbG8="}),
    st.just({"SS": ["p", "q"]}),
)
NAMES = st.sampled_from(("a", "b.c", "d[]", "e"))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.dictionaries(NAMES, inner, max_size=3).map(lambda members: {"M": members}),
        st.lists(inner, max_size=3).map(lambda members: {"L": members}),
    ),
    max_leaves=6,
)
ITEMS = st.lists(
    st.dictionaries(NAMES, VALUES, max_size=4).map(lambda item: {"M": {"id": {"S": "k"}, **item}}), max_size=4
)


def told(seen: Seen) -> list[object]:
    """What flattening takes from it, without zeros."""
    return [
        (path, +here.counts, +here.forms, here.max_bytes, here.integer_digits, here.scale, here.fits_bigint, here.width)
        for path, here in seen.walk()
    ]


@settings(max_examples=examples(60))
@given(ITEMS)
def test_a_profile_is_read_back(items: list[dict[str, object]]) -> None:
    seen = Seen()
    for number, item in enumerate(items):
        observe(seen, item, str(number))
    again = seen_of(profile_document("e", seen), "profile.json")
    assert again is not None
    assert told(again) == told(seen)


def test_a_profile_of_an_earlier_version_says_too_little() -> None:
    row = {"path": "a", "types": {"S": 1}, "values": 1, "null": 0}
    assert seen_of(orjson.dumps({"export_id": "e", "paths": [row]}), "profile.json") is None


@pytest.mark.parametrize("document", [b"", b"{}", b"[]", b'{"paths": [{"forms": {}, "path": "a["}]}'])
def test_what_is_no_profile_is_an_error(document: bytes) -> None:
    with pytest.raises(ValueError, match="it is no profile"):
        seen_of(document, "profile.json")
