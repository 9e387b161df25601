"""The names of clones: one `*` in both names stands for the same text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddb_assets.copies.attribute_mapping import CopyRefusedError
from ddb_assets.copies.cloning.clone_names import clone_names, is_pattern

PART = st.text("ab-", max_size=3)


@given(PART, PART, PART, PART, PART)
def test_what_stands_for_the_star_is_kept(
    before: str, after: str, new_before: str, new_after: str, middle: str
) -> None:
    table, clone = f"x-{before}{middle}{after}", f"y-{new_before}{middle}{new_after}"
    if len(clone) < 3:
        return
    found = dict(clone_names(f"x-{before}*{after}", f"y-{new_before}*{new_after}", [table, "other"], together=False))
    assert found[table] == clone
    assert "other" not in found


@given(PART, PART, PART, PART, st.lists(PART, min_size=1, max_size=4, unique=True))
def test_the_next_run_finds_the_same_tables(
    before: str, after: str, new_before: str, new_after: str, middles: list[str]
) -> None:
    """A clone is never a source, unless it is refused or in another place."""
    source, target = f"{before}*{after}", f"long-{new_before}*{new_after}"
    tables = {f"{before}{middle}{after}" for middle in middles} | {"other"}
    try:
        found = clone_names(source, target, sorted(tables), together=True)
    except CopyRefusedError:
        assert clone_names(source, target, sorted(tables), together=False)
        return
    again = clone_names(source, target, sorted(tables | {clone for _, clone in found}), together=False)
    assert again == found


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        ("a-*", "b", "both have one *"),
        ("a-*-*", "b-*-*", "both have one *"),
        ("a", "arn:aws:dynamodb:eu-west-1:123456789012:table/b", "is an ARN"),
    ],
)
def test_names_that_do_not_go_together_are_refused(source: str, target: str, message: str) -> None:
    with pytest.raises(CopyRefusedError) as refused:
        is_pattern(source, target)
    assert message in str(refused.value)


@pytest.mark.parametrize(("source", "target"), [("a-*", "a-b-*"), ("*", "b-*"), ("*-a", "*-b-a"), ("a-*", "a-*")])
def test_clones_that_would_be_cloned_in_turn_are_refused(source: str, target: str) -> None:
    with pytest.raises(CopyRefusedError, match="would clone it in turn"):
        clone_names(source, target, ["a-a", "a-c"], together=True)


def test_a_name_that_dynamodb_refuses_is_refused() -> None:
    with pytest.raises(CopyRefusedError, match="would be cloned to 'b!x'"):
        clone_names("a-*", "b!*", ["a-x"], together=True)
    with pytest.raises(CopyRefusedError, match=r"no table .* is called a-\*"):
        clone_names("a-*", "b-*", ["c"], together=True)
