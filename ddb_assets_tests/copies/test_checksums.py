"""Checksums: equal for equal items however written and in whatever order, different for everything else."""

import random
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ddb_assets.copies.verify import Checksums, bucket_of
from ddb_assets.dynamodb.item import canonical, item_digest

texts = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=6)
integers = st.integers(-(10**38) + 1, 10**38 - 1).map(str)
numbers = st.one_of(
    integers,
    st.tuples(st.integers(1, 10**6), st.integers(-100, 100)).map(lambda parts: f"{parts[0]}E{parts[1]}"),
    st.sampled_from(["0", "-0", "0.0", "1", "1.0", "1E0", "10", "1E1", "01"]),
)
scalars = st.one_of(
    texts.map(lambda text: {"S": text}),
    numbers.map(lambda text: {"N": text}),
    st.sampled_from([{"B": "eA=="}, {"B": ""}, {"BOOL": True}, {"BOOL": False}, {"NULL": True}]),
    st.lists(texts, min_size=1, max_size=4, unique=True).map(lambda members: {"SS": members}),
    st.lists(integers, min_size=1, max_size=4, unique=True).map(lambda members: {"NS": members}),
)
values: st.SearchStrategy[Any] = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda members: {"L": members}),
        st.dictionaries(texts, inner, max_size=3).map(lambda members: {"M": members}),
    ),
    max_leaves=6,
)
items = st.dictionaries(texts, values, max_size=4)


@pytest.mark.slow
@given(items, items)
def test_digests_are_equal_exactly_for_equal_items(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert (item_digest(one) == item_digest(other)) == (canonical({"M": one}) == canonical({"M": other}))


@given(items, st.randoms())
def test_neither_the_order_of_names_nor_of_members_counts(item: dict[str, Any], rng: random.Random) -> None:
    def shuffled(value: Any) -> Any:
        ((descriptor, payload),) = value.items()
        match descriptor:
            case "SS" | "NS":
                return {descriptor: rng.sample(payload, len(payload))}
            case "M":
                names = rng.sample(list(payload), len(payload))
                return {"M": {name: shuffled(payload[name]) for name in names}}
            case "L":
                return {"L": [shuffled(member) for member in payload]}
        return value

    assert item_digest(shuffled({"M": item})["M"]) == item_digest(item)


def test_thirty_eight_digits_count() -> None:
    one, other = "1" * 38, "1" * 37 + "2"
    assert item_digest({"n": {"N": one}}) != item_digest({"n": {"N": other}})
    assert item_digest({"n": {"N": f"-0.{one}"}}) != item_digest({"n": {"N": f"-0.{other}"}})
    assert item_digest({"n": {"N": "1E+125"}}) == item_digest({"n": {"N": "1" + "0" * 125}})


keyed = st.lists(items, max_size=12).map(
    lambda found: [{**item, "id": {"S": str(number)}} for number, item in enumerate(found)]
)


@pytest.mark.slow
@given(keyed, st.randoms())
def test_tables_are_equal_in_any_order_and_in_any_parts(found: list[dict[str, Any]], rng: random.Random) -> None:
    whole, first, second = Checksums(), Checksums(), Checksums()
    for item in found:
        whole.include(item, ("id",))
    for item in rng.sample(found, len(found)):
        (first if rng.random() < 0.5 else second).include(item, ("id",))
    first.add(second)
    assert first.differing(whole) == set()
    assert first.count == len(found)


@pytest.mark.slow
@given(keyed, values)
def test_a_change_differs_in_the_bucket_of_its_key(found: list[dict[str, Any]], changed: Any) -> None:
    assume(found)
    before, after = Checksums(), Checksums()
    new = {**found[0], "changed": changed}
    assume(canonical({"M": new}) != canonical({"M": found[0]}))
    for item in found:
        before.include(item, ("id",))
    for item in [new, *found[1:]]:
        after.include(item, ("id",))
    assert before.differing(after) == {bucket_of(new, ("id",))}
