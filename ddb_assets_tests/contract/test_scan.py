"""What a contract says about scans: the defaults, and what is refused."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ddb_assets.contract.scan import Scanned, ScanOptions
from ddb_assets.contract.table import Table


def test_a_scanned_table_is_replaced_once_a_day() -> None:
    table = Table(table="Orders", source="scan")
    assert (table.load, table.cadence, table.first_stage) == ("replace", "daily", "scan")
    assert (table.has_tail, table.reads_consistently) == (False, False)
    assert Table(table="Orders", source="scan", cadence="6 h").cadence == "6 h"


def test_with_a_stream_it_has_a_tail_and_is_read_consistently() -> None:
    table = Table(table="Orders", source="scan", stream="orders-cdc")
    assert (table.load, table.has_tail, table.reads_consistently, table.stream_stage) == ("replace", True, True, "live")
    assert Table(table="Orders", source="scan", scan=ScanOptions(consistent=True)).reads_consistently


@pytest.mark.parametrize(
    ("attributes", "location", "message"),
    [
        ({"source": "scan", "load": "upsert"}, (), "`source: scan` has no windows"),
        ({"source": "scan", "export": {"bucket": "bkt"}}, (), "`export` is for exports"),
        ({"scan": {"workers": 3}}, (), "`scan` has options of `source: scan`"),
        ({"source": "stream", "stream": "s", "scan": {"max_rcu": 5}}, (), "`scan` has options of `source: scan`"),
        ({"source": "scans"}, ("source",), "'exports', 'scan' or 'stream'"),
        ({"source": "scan", "scan": {"filter": "a = b"}}, ("scan", "filter"), "allowed here: consistent, workers"),
        (
            {"source": "scan", "scan": {"projection": ["a"]}},
            ("scan", "projection"),
            "allowed here: consistent, workers",
        ),
        ({"source": "scan", "scan": {"max_rcu": "half"}}, ("scan", "max_rcu"), "neither a number of RCUs per second"),
        ({"source": "scan", "scan": {"max_rcu": "101%"}}, ("scan", "max_rcu"), "nor up to 100%"),
        ({"source": "scan", "scan": {"max_rcu": 0}}, ("scan", "max_rcu"), "neither a number of RCUs per second"),
        ({"source": "scan", "scan": {"max_rcu": True}}, ("scan", "max_rcu"), "neither a number of RCUs per second"),
        ({"source": "scan", "scan": {"segments": 0}}, ("scan", "segments"), "greater than or equal to 1"),
        (
            {"source": "scan", "stream": {"name": "s", "tail": "materialized_view"}},
            (),
            "`tail: materialized_view` is for the Kinesis stream of a table that exports fill",
        ),
    ],
)
def test_what_is_wrong_is_refused_where_it_stands(
    attributes: dict[str, Any], location: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ValidationError) as refused:
        Table.model_validate({"table": "Orders", **attributes})
    (error,) = refused.value.errors()
    assert error["loc"] == location
    assert message in error["msg"]


@given(st.integers(1, 10**9) | st.floats(0.01, 1e9).map(lambda number: round(number, 2)))
def test_a_budget_is_a_number_or_a_part_of_the_table(number: float) -> None:
    for text in (number, str(number)):
        if "e" not in str(text):
            assert ScanOptions(max_rcu=text).rate == (float(number), None)
    if number <= 100:
        assert ScanOptions(max_rcu=f"{number}%").rate == (None, float(number) / 100)
    assert ScanOptions().rate == (None, None)


def test_a_part_says_what_it_lacks() -> None:
    whole = Scanned.model_validate(
        {"started": "2026-01-01T00:00:00Z", "ended": "2026-01-01T00:01:00Z", "segments": 8, "consistent": False}
    )
    assert (whole.is_partial, whole.left_out) == (False, "")
    part = whole.model_copy(update={"projection": ("a", "b")})
    assert (part.is_partial, part.left_out) == (True, "attributes other than a, b and the key")
