"""What an import says of the table when it is done, as other loaders do not."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddb_assets.bulk import delivery
from ddb_assets.imports.read_back import KeySet
from ddb_assets.sandbox.server import Sandbox
from ddb_assets_tests.imports.importing import imported, job
from ddb_assets_tests.support.fault_proxy import Fault, Schedule, fault_proxy
from ddb_assets_tests.support.tables import client_of, items_of, new_table, sandbox

__all__ = ["sandbox"]

keys = st.lists(st.tuples(st.integers(0, 50)), max_size=40)


@given(added=keys, asked=keys)
def test_keys_are_known_again(added: list[tuple[object, ...]], asked: list[tuple[object, ...]]) -> None:
    seen = KeySet()
    for key in added:
        seen.add(key)
    assert seen.lacks(asked) == [key not in added for key in asked]
    assert seen.repeated() == len(added) - len(set(added))


def rows(path: Path, numbers: range) -> None:
    path.write_text("".join(json.dumps({"pk": f"k{n}", "sk": n, "v": "x"}) + "\n" for n in numbers))


def test_a_second_import_reports_the_items_that_only_the_table_has(sandbox: Sandbox, tmp_path: Path) -> None:
    """Importing again replaces equal keys and removes nothing; what stays behind can be asked for, and is only reported."""
    target = new_table(sandbox, ("pk", "S"), ("sk", "N"))
    path = tmp_path / "rows.jsonl"
    rows(path, range(300))
    assert imported(sandbox.endpoint_url, target, path).only_in_table is None
    rows(path, range(5, 310))
    for dry_run in (True, False):
        report = imported(sandbox.endpoint_url, target, path, report_extra=True, dry_run=dry_run)
        assert report.only_in_table
        assert report.only_in_table.count == 5
        assert {json.dumps(key, sort_keys=True) for key in report.only_in_table.sample} == {
            json.dumps({"pk": {"S": f"k{n}"}, "sk": {"N": str(n)}}) for n in range(5)
        }
    assert len(items_of(sandbox, target)) == 310


def test_a_resumed_import_knows_the_rows_that_were_settled_before(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "GRACE_SECONDS", 0.05)
    target = new_table(sandbox, ("pk", "S"), ("sk", "N"))
    client_of(sandbox.endpoint_url).put_item(TableName=target.name, Item={"pk": {"S": "own"}, "sk": {"N": "1"}})
    path, folder = tmp_path / "rows.jsonl", tmp_path / "state"
    rows(path, range(300))
    with fault_proxy(sandbox.endpoint_url) as proxy:
        proxy.schedule = Schedule(rate=1.0, spared=4, faults=frozenset({Fault.THROTTLED}))
        assert job(proxy.endpoint_url, target, path, folder=folder, deadline=0.1, in_flight=1).run().problem
    report = imported(sandbox.endpoint_url, target, path, folder=folder, report_extra=True)
    assert report.rows_before
    assert report.only_in_table
    assert (report.only_in_table.count, report.only_in_table.sample) == (1, [{"pk": {"S": "own"}, "sk": {"N": "1"}}])


def test_what_was_written_stays_written_when_the_table_cannot_be_read_afterwards(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    target = new_table(sandbox, ("pk", "S"), ("sk", "N"))
    path = tmp_path / "rows.jsonl"
    rows(path, range(30))
    with fault_proxy(sandbox.endpoint_url) as proxy:
        proxy.schedule = Schedule(rate=1.0, faults=frozenset({Fault.THROTTLING}), operations=frozenset({"Scan"}))
        report = job(proxy.endpoint_url, target, path, report_extra=True, deadline=0.2).run()
    assert report.complete
    assert report.written == 30
    assert report.problem
    assert "everything is written, but the table could not be read afterwards: dynamodb:Scan" in report.problem
