"""What other importers get wrong, one test each; its docstring says how this one behaves instead.

That a second import says which items only the table has is in `test_read_back.py`, that a reject makes the run fail in
`components/test_dynamodb_import.py`, that the documentation is true in `test_docs.py`.
"""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from ddb_assets.aws import pauses
from ddb_assets.bulk.writing import delivery
from ddb_assets.sandbox.server import Sandbox
from ddb_assets_tests.imports.importing import imported, job
from ddb_assets_tests.imports.typed_items import state
from ddb_assets_tests.support.answering import answering, charge
from ddb_assets_tests.support.fault_proxy import Fault, Schedule, fault_proxy
from ddb_assets_tests.support.tables import items_of, new_table


def test_a_csv_gives_numbers_booleans_maps_and_lists_and_a_sort_key(sandbox: Sandbox, tmp_path: Path) -> None:
    """Not strings and a hash key only."""
    target = new_table(sandbox, ("customer", "S"), ("order", "N"))
    path = tmp_path / "orders.csv"
    path.write_text('customer,order,paid,total,address,lines\nc1,7,true,12.5,"{""zip"": ""00501""}","[1, ""two""]"\n')
    imported(sandbox.endpoint_url, target, path, {"types": {"address": "M", "lines": "L"}})
    assert items_of(sandbox, target) == [
        {
            "customer": {"S": "c1"},
            "order": {"N": "7"},
            "paid": {"BOOL": True},
            "total": {"N": "12.5"},
            "address": {"M": {"zip": {"S": "00501"}}},
            "lines": {"L": [{"N": "1"}, {"S": "two"}]},
        }
    ]


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, None),
        ({"write_nulls": True}, {"NULL": True}),
        ({"csv": {"no_value": []}}, {"S": ""}),
        ({"csv": {"no_value": ["-"]}}, {"S": ""}),
        ({"attributes": {"pk": "pk", "note": {"column": "note", "default": "none"}}}, {"S": "none"}),
    ],
    ids=["absent", "NULL", "empty text", "another text", "default"],
)
def test_what_becomes_of_an_empty_field_is_said_and_not_guessed(
    sandbox: Sandbox, tmp_path: Path, config: dict[str, Any], expected: Any
) -> None:
    """No column vanishes because nobody knew: absent by default, and NULL, an empty text or a default when asked for."""
    target = new_table(sandbox)
    path = tmp_path / "rows.csv"
    path.write_text("pk,note\na,\nb,x\n")
    imported(sandbox.endpoint_url, target, path, config)
    items = {item["pk"]["S"]: item for item in items_of(sandbox, target)}
    assert items["a"].get("note") == expected
    assert items["b"]["note"] == {"S": "x"}


@pytest.mark.parametrize("config", [{}, {"write_nulls": True}, {"csv": {"no_value": []}}])
def test_an_empty_key_is_a_reject_whatever_becomes_of_empty_fields(
    sandbox: Sandbox, tmp_path: Path, config: dict[str, Any]
) -> None:
    target = new_table(sandbox)
    path = tmp_path / "rows.csv"
    path.write_text("pk,n\n,1\nb,2\n")
    report = job(sandbox.endpoint_url, target, path, config).run()
    assert (report.written, report.rejected, report.rejects[0].line) == (1, 1, 2)
    assert report.problem


def test_values_that_are_too_long_are_rejects_with_their_row_and_nothing_is_cut(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    """They are not written to a table of exceptions that nobody reads, nor cut: the import fails and names them."""
    target = new_table(sandbox)
    path = tmp_path / "rows.jsonl"
    values = {"fits": "x" * (404_000), "over": "x" * (400 * 1024), "k" * 2049: "x", "k" * 2048: "x"}
    path.write_text("".join(json.dumps({"pk": key, "v": value}) + "\n" for key, value in values.items()))
    report = job(sandbox.endpoint_url, target, path).run()
    assert report.problem
    assert "2 rows were rejected" in report.problem
    assert [(reject.line, reject.reason) for reject in report.rejects] == [
        (2, "the item has 409,607 bytes, DynamoDB takes 409,600"),
        (3, "key attribute 'pk' has 2049 bytes, DynamoDB takes 2048"),
    ]
    _, *kept = [json.loads(line) for line in Path(str(report.reject_file)).read_text().splitlines()]
    assert [json.loads(line["text"])["v"] for line in kept] == [values["over"], "x"]
    assert {len(item["v"]["S"]) for item in items_of(sandbox, target)} == {404_000, 1}


def test_rows_read_are_rows_written_and_rows_rejected(sandbox: Sandbox, tmp_path: Path) -> None:
    """The counts are compared, and a key that came twice is one of them."""
    target = new_table(sandbox)
    path = tmp_path / "rows.csv"
    path.write_text("pk,n\n" + "".join(f"{'' if n % 10 == 3 else f'k{n % 50}'},{n}\n" for n in range(100)))
    report = job(sandbox.endpoint_url, target, path, max_rejects=10).run()
    assert report.problem is None
    assert (report.rows, report.rejected) == (100, 10)
    assert report.written + report.superseded == 90
    assert len(items_of(sandbox, target)) == 45


def test_the_rate_is_in_write_capacity_units_and_the_parallelism_is_kept(sandbox: Sandbox, tmp_path: Path) -> None:
    """A rate of items or requests is none: an item of 3 KB costs three times as much. One thread is no law either."""
    target = new_table(sandbox)
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"pk": f"k{n}", "v": "x" * 900}) + "\n" for n in range(200)))
    began = time.monotonic()
    with answering(charge) as endpoint:
        report = imported(endpoint, target, path, max_wcu=100)
    assert report.consumed_wcu == 200
    assert time.monotonic() - began >= 0.7  # a second's worth and a batch at once, the other 75 after it
    assert imported(sandbox.endpoint_url, target, path, dry_run=True, max_wcu=100).expected_seconds == 2.0
    for in_flight in (1, 3):
        with fault_proxy(sandbox.endpoint_url) as proxy:
            proxy.schedule = Schedule(rate=1.0, faults=frozenset({Fault.SLOW}), delay=0.1)
            imported(proxy.endpoint_url, target, path, in_flight=in_flight)
            assert proxy.most_at_once == in_flight


def test_columns_without_a_rule_are_written_only_when_the_rest_is_asked_for(sandbox: Sandbox, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("pk,name,salary\na,Ada,7\n")
    rules: dict[str, Any] = {"attributes": {"pk": "pk", "who": "name"}}
    for config, expected in (
        (rules, {"pk", "who"}),
        ({**rules, "rest": True}, {"pk", "who", "salary"}),
        ({**rules, "rest": True, "exclude": ["salary"]}, {"pk", "who"}),
        ({}, {"pk", "name", "salary"}),
    ):
        target = new_table(sandbox)
        imported(sandbox.endpoint_url, target, path, config)
        assert {name for item in items_of(sandbox, target) for name in item} == expected


def test_an_import_that_is_throttled_for_ever_is_no_success(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loader replicated a quarter of a table and said nothing; this one fails, counts and keeps what is missing."""
    monkeypatch.setattr(pauses, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(delivery, "GRACE_SECONDS", 0.05)
    target = new_table(sandbox)
    path = tmp_path / "rows.jsonl"
    items = [{"pk": {"S": f"k{n}"}} for n in range(200)]
    path.write_text("".join(json.dumps({"Item": item}) + "\n" for item in items))
    with fault_proxy(sandbox.endpoint_url) as proxy:
        proxy.schedule = Schedule(rate=1.0, spared=2, faults=frozenset({Fault.UNPROCESSED_ALL}))
        report = job(proxy.endpoint_url, target, path, deadline=0.1, in_flight=2).run()
    assert report.problem
    assert not report.complete
    assert report.written == 50
    _, *kept = [json.loads(line) for line in Path(str(report.reject_file)).read_text().splitlines()]
    assert len(kept) == report.unprocessed == report.rows - report.written
    there = items_of(sandbox, target)
    assert state(there + [json.loads(line["text"])["Item"] for line in kept]) == state(items[: report.rows])
