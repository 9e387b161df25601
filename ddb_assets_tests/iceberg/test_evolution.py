"""Columns of landings and fields of tables: every value has a field, and reads under the name of its column."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddb_assets.contract.column_type import SqlType
from ddb_assets.iceberg.evolution import FORMER, former, holds, name_now, plan

KINDS = [
    "BIGINT",
    "DECIMAL(18,2)",
    "DECIMAL(38,2)",
    "DECIMAL(38,10)",
    "DOUBLE PRECISION",
    "VARCHAR(16)",
    "VARCHAR(64)",
    "VARBYTE(64)",
    "BOOLEAN",
    "SUPER",
    "TIMESTAMP",
    "DATE",
]


def kind(text: str) -> SqlType:
    return SqlType.parse(text)


@pytest.mark.parametrize(
    ("present", "new", "fields"),
    [
        ("BIGINT", "BIGINT", {"n": "BIGINT"}),
        ("DECIMAL(18,2)", "DECIMAL(38,2)", {"n": "DECIMAL(38,2)"}),
        ("DECIMAL(38,2)", "BIGINT", {"n": "DECIMAL(38,2)"}),
        ("BIGINT", "DECIMAL(38,2)", {"n": "DECIMAL(38,2)", "_ddb_was__n__bigint": "BIGINT"}),
        ("DECIMAL(18,2)", "VARCHAR(16)", {"n": "VARCHAR(16)", "_ddb_was__n__decimal_18_2": "DECIMAL(18,2)"}),
        ("VARCHAR(16)", "BIGINT", {"n": "VARCHAR(16)"}),
        ("VARCHAR(16)", "VARCHAR(64)", {"n": "VARCHAR(16)"}),
        ("BOOLEAN", "BIGINT", {"n": "BIGINT", "_ddb_was__n__boolean": "BOOLEAN"}),
        ("SUPER", "VARCHAR(16)", {"n": "VARCHAR(16)", "_ddb_was__n__super": "SUPER"}),
    ],
)
def test_a_type_changes(present: str, new: str, fields: dict[str, str]) -> None:
    assert after({"n": kind(present)}, [("n", kind(new), False)]) == {name: kind(one) for name, one in fields.items()}


def after(
    have: dict[str, SqlType], columns: list[tuple[str, SqlType, bool]], hidden: tuple[str, ...] = ()
) -> dict[str, SqlType]:
    """The fields that a table with these has once it was changed as planned."""
    found, fields = plan(have, columns, hidden), dict(have)
    for name in found.dropped:
        del fields[name]
    for name, aside in found.renamed.items():
        assert aside not in fields
        fields[aside] = fields.pop(name)
    fields |= found.widened
    assert not fields.keys() & found.added.keys()
    fields |= found.added
    for name, (target, type_) in found.targets.items():
        assert fields[target] == type_ or holds(fields[target], type_)
        assert target == name or target in former(name, fields)
    return fields


def test_a_column_without_values_gets_no_field_and_takes_none() -> None:
    assert after({}, [("n", kind("VARCHAR(16)"), True)]) == {}
    assert after({"n": kind("BIGINT")}, [("n", kind("VARCHAR(16)"), True)]) == {"n": kind("BIGINT")}


def test_a_late_landing_of_a_former_type_finds_the_former_field() -> None:
    have = {"n": kind("BIGINT"), "_ddb_was__n__boolean": kind("BOOLEAN")}
    found = plan(have, [("n", kind("BOOLEAN"), False)], ())
    assert (bool(found), found.targets) == (False, {"n": ("_ddb_was__n__boolean", kind("BOOLEAN"))})


def test_hidden_fields_are_made_anew_and_former_ones_go() -> None:
    have = {"n": kind("DECIMAL(38,2)"), "_ddb_was__n__bigint": kind("BIGINT"), "m": kind("BIGINT")}
    found = plan(have, [("n", kind("VARCHAR(64)"), False), ("m", kind("BIGINT"), False)], ["n"])
    assert found.dropped == ["n", "_ddb_was__n__bigint"]
    assert (found.added, found.renamed) == ({"n": kind("VARCHAR(64)")}, {})


@given(
    st.lists(
        st.lists(
            st.tuples(st.sampled_from("ab"), st.sampled_from(KINDS), st.booleans()),
            max_size=2,
            unique_by=lambda c: c[0],
        ),
        max_size=6,
    )
)
def test_no_field_is_lost_and_each_column_has_one(landings: list[list[tuple[str, str, bool]]]) -> None:
    have: dict[str, SqlType] = {}
    for landing in landings:
        columns = [(name, kind(text), provisional) for name, text, provisional in landing]
        found = after(have, columns)
        assert len(found) >= len(have)
        assert {name_now(name) if name.startswith(FORMER) else name for name in found} <= {"a", "b"}
        targets = plan(have, columns, ()).targets
        for name, type_, provisional in columns:
            assert provisional or holds(targets[name][1], type_) or targets[name][1] == type_
        have = found
        again = plan(have, columns, ())
        assert not again
