"""Files of changes: rows that put their item or delete it, as one column says."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from ddb_assets.imports.mapping.where import Changes
from ddb_assets.sandbox.server import Sandbox
from ddb_assets_tests.imports.importing import imported, job
from ddb_assets_tests.support.tables import items_of, new_table


def test_a_change_of_another_kind_is_a_reject_and_no_put(sandbox: Sandbox, tmp_path: Path) -> None:
    target = new_table(sandbox, ("pk", "S"))
    path = tmp_path / "changes.csv"
    path.write_text("Op,pk,n\nI,a,1\nX,b,2\n,c,3\nd,a,\nU,e,5\n")
    config = {"changes": {"column": "Op"}}
    report = job(sandbox.endpoint_url, target, path, config).run()
    assert (report.rows, report.rejected, report.deleted + report.superseded + report.written) == (5, 2, 3)
    assert [reject.reason.partition(",")[0] for reject in report.rejects] == [
        "column Op has 'X'",
        "column Op has None",
    ]
    assert items_of(sandbox, target) == [{"pk": {"S": "e"}, "n": {"N": "5"}}]
    mended = tmp_path / "mended.jsonl"
    mended.write_text(Path(str(report.reject_file)).read_text().replace('"X"', '"D"').replace('"Op":null', '"Op":"u"'))
    again = imported(sandbox.endpoint_url, target, mended, redrive=True)
    assert (again.deleted, again.written) == (1, 1)


def test_a_delete_is_rejected_when_existing_items_are_kept(sandbox: Sandbox, tmp_path: Path) -> None:
    target = new_table(sandbox)
    path = tmp_path / "changes.csv"
    path.write_text("Op,pk\nI,a\nD,a\n")
    report = job(sandbox.endpoint_url, target, path, {"changes": {"column": "Op"}, "mode": "if-not-exists"}).run()
    assert (report.written, report.rejected) == (1, 1)
    assert "never" in report.rejects[0].reason


def test_the_column_of_changes_is_no_attribute_and_no_unused_column(sandbox: Sandbox, tmp_path: Path) -> None:
    target = new_table(sandbox)
    path = tmp_path / "changes.csv"
    path.write_text("Op,pk,secret\nI,a,x\n")
    configs: list[tuple[dict[str, Any], set[str]]] = [
        ({"rest": True}, {"pk", "secret"}),
        ({"exclude": ["secret", "Op"]}, {"pk"}),
        ({"attributes": {"pk": "pk", "secret": "secret"}}, {"pk", "secret"}),
    ]
    for config, attributes in configs:
        report = imported(sandbox.endpoint_url, target, path, {"changes": {"column": "Op"}, **config})
        assert report.unused_columns == []
        assert items_of(sandbox, target)[0].keys() == attributes


def test_texts_of_changes_are_of_one_kind() -> None:
    with pytest.raises(ValidationError, match="'D' cannot both put and delete"):
        Changes(column="Op", put=("d", "I"))
    assert Changes(column="Op", put=("c",), delete=("x",)).meanings == {"C": False, "X": True}


WORDS = st.sampled_from(["I", "u", "UPDATE", "d", "DELETE"])
CHANGES = st.lists(st.tuples(WORDS, st.sampled_from("abc"), st.integers(0, 99)), min_size=1, max_size=9)


@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(found=CHANGES)
def test_after_any_changes_the_table_has_what_the_last_ones_say(
    sandbox: Sandbox, tmp_path: Path, found: list[tuple[str, str, int]]
) -> None:
    target = new_table(sandbox)
    path = tmp_path / "changes.csv"
    path.write_text("Op,pk,n\n" + "".join(f"{op},{key},{number}\n" for op, key, number in found))
    imported(sandbox.endpoint_url, target, path, {"changes": {"column": "Op"}, "types": {"n": "N"}})
    model: dict[str, int] = {}
    for op, key, number in found:
        if op.upper().startswith("D"):
            model.pop(key, None)
        else:
            model[key] = number
    assert {item["pk"]["S"]: int(item["n"]["N"]) for item in items_of(sandbox, target)} == model
