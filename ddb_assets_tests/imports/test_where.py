"""Which rows an import takes, compared with SQLite, whose rules DMS follows; and what becomes of those that it leaves out."""

import json
import sqlite3
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from ddb_assets.bulk.rows import Row
from ddb_assets.bulk.writing.operation import RejectedItemError
from ddb_assets.contract.contract_yaml import ConfigError
from ddb_assets.imports import import_job
from ddb_assets.imports.account import Progress
from ddb_assets.imports.import_config import ImportConfig, read_import_config
from ddb_assets.imports.mapping.item_mapping import MappingError
from ddb_assets.imports.mapping.row_choice import RowChoice
from ddb_assets.imports.mapping.where import Filter
from ddb_assets.sandbox.server import Sandbox
from ddb_assets_tests.imports.importing import imported, job
from ddb_assets_tests.support.tables import items_of, new_table

TEXTS = st.sampled_from(["", "a", "A", "aa", "b", "é", "ß", "z", "10", "9", " a", "𝄞", "\uffee"])
NUMBERS = (
    st.integers(-20, 20).map(str) | st.decimals(-3, 3, places=2).map(str) | st.sampled_from(["1E1", "007", "+5", "-0"])
)
DATES = st.sampled_from(
    ["2024-01-01", "2024-01-01 00:00:00", "2024-01-01 12:30:00", "2023-12-31 23:59:59", "2024-02-29"]
)
SQL = {"eq": "v = ?", "not_eq": "v <> ?", "gte": "v >= ?", "lte": "v <= ?"}
VALUES = {"S": TEXTS, "N": NUMBERS, "date": DATES}
BY_KIND: dict[str, type] = {"S": str, "N": float, "date": str}


@st.composite
def filters(draw: st.DrawFn) -> tuple[dict[str, Any], list[str | None]]:
    """A filter, and values of a column to try it with."""
    kind = draw(st.sampled_from(sorted(VALUES)))
    values = VALUES[kind]
    pairs = st.tuples(values, values).map(lambda pair: sorted(pair, key=_order(kind)))
    one = st.one_of(
        st.tuples(st.sampled_from(sorted(SQL)), values).map(lambda pair: {pair[0]: pair[1]}),
        pairs.map(lambda pair: {"between": pair}),
        pairs.map(lambda pair: {"not_between": pair}),
        st.booleans().map(lambda missing: {"missing": missing}),
    )
    found = {"column": "v", "type": kind, "any": draw(st.lists(one, min_size=1, max_size=4))}
    return found, draw(st.lists(st.none() | values, min_size=1, max_size=8))


def _order(kind: str) -> Any:
    return Decimal if kind == "N" else _moment if kind == "date" else str


def _moment(text: str) -> str:
    return text if len(text) > 10 else f"{text} 00:00:00"


def by_sqlite(found: dict[str, Any], values: list[str | None]) -> list[bool]:
    """Whether each of the values passes, as SQLite says."""

    def plain(value: str) -> Any:
        return float(value) if found["type"] == "N" else _moment(value) if found["type"] == "date" else value

    parts: list[str] = []
    arguments: list[Any] = []
    for condition in found["any"]:
        ((name, operand),) = condition.items()
        if name == "missing":
            parts.append("v IS NULL" if operand else "v IS NOT NULL")
        elif name.endswith("between"):
            parts.append(f"v {'NOT ' if name.startswith('not') else ''}BETWEEN ? AND ?")
            arguments += map(plain, operand)
        else:
            parts.append(SQL[name])
            arguments.append(plain(operand))
    with sqlite3.connect(":memory:") as db:
        db.execute(f"CREATE TABLE t (n INTEGER, v {'REAL' if found['type'] == 'N' else 'TEXT'})")
        rows = [(n, None if value is None else plain(value)) for n, value in enumerate(values)]
        db.executemany("INSERT INTO t VALUES (?, ?)", rows)
        taken = {n for (n,) in db.execute(f"SELECT n FROM t WHERE {' OR '.join(parts)}", arguments)}
    db.close()
    return [n in taken for n in range(len(values))]


@given(filters())
@example(({"column": "v", "type": "S", "any": [{"not_eq": "a"}]}, [None, "a", "b"]))
def test_a_filter_takes_the_rows_that_sqlite_takes(case: tuple[dict[str, Any], list[str | None]]) -> None:
    found, values = case
    where = RowChoice([Filter.model_validate(found)])
    assert [where.chosen(Row(0, 1, {"v": value})) is not None for value in values] == by_sqlite(found, values)
    again = RowChoice([Filter.model_validate_json(json.dumps(found))])  # as in a reject file
    assert [again.chosen(Row(0, 1, {"v": value})) is not None for value in values] == by_sqlite(found, values)


@given(
    st.integers(1 - 10**38, 10**38 - 1)
    | st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=-(10**9), max_value=10**9)
)
def test_numbers_are_compared_exactly(number: Decimal) -> None:
    where = RowChoice([Filter.model_validate({"column": "v", "type": "N", "any": [{"gte": str(number)}]})])
    if abs(number) < 10**20:
        assert where.chosen(Row(0, 1, {"v": str(number)}))
        assert not where.chosen(Row(0, 1, {"v": str(number - Decimal("0.01"))}))
        assert where.chosen(Row(0, 1, {"v": {"N": str(number)}}))


@pytest.mark.parametrize(
    ("found", "cell", "said"),
    [
        ({"type": "N", "any": [{"eq": 5}]}, "five", "'five' is not a number"),
        ({"type": "date", "any": [{"gte": "2024-01-01"}]}, "4-Jun-14", "'4-Jun-14' is not a date such as"),
        ({"type": "date", "any": [{"gte": "2024-01-01"}]}, "2024-02-30", "'2024-02-30' is not a date: "),
        ({"type": "date", "any": [{"gte": "2024-01-01"}]}, "2024-02-03T04:05:06Z", "is not a date such as"),
        ({"any": [{"eq": True}]}, "maybe", "'maybe' is neither true nor false"),
        ({"any": [{"eq": "x"}]}, {"M": {}}, "M cannot become S"),
    ],
)
def test_a_row_that_cannot_be_compared_is_rejected_and_not_left_out(found: Any, cell: Any, said: str) -> None:
    where = RowChoice([Filter.model_validate({"column": "v", **found})])
    with pytest.raises(RejectedItemError, match=f"column v cannot be compared as `where` says: .*{said}"):
        where.chosen(Row(0, 1, {"v": cell}))
    assert where.chosen(Row(0, 1, {"k": "x"}, deleted=True))  # it has only its key
    assert where.chosen(Row(0, 1, {"v": None}, deleted=True))


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({"any": []}, "at least 1 item"),
        ({"any": [{}]}, "give exactly one of eq, not_eq, gte, lte, between, not_between, missing; here are none"),
        ({"any": [{"eq": 1, "lte": 5}]}, "here are eq, lte"),
        ({"any": [{"eq": 1}, {"eq": "x"}]}, "the values are of several types: say with `type`"),
        ({"type": "N", "any": [{"eq": "x"}]}, "'x' is not a number"),
        ({"type": "date", "any": [{"eq": "1.1.2024"}]}, "is not a date such as"),
        ({"type": "BOOL", "any": [{"eq": "true"}]}, "'true' is neither true nor false"),
        ({"type": "S", "any": [{"eq": True}]}, "true is not of type S"),
        ({"any": [{"gte": True}]}, "true and false have no order"),
        ({"any": [{"between": [5, 1]}]}, "5 is greater than 1: nothing is between them"),
        ({"any": [{"like": "x"}]}, "Extra inputs are not permitted"),
    ],
)
def test_a_filter_that_cannot_work_is_refused(found: Any, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Filter.model_validate({"column": "v", **found})


def test_a_mistake_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "import.yaml"
    path.write_text("where:\n- column: year\n  type: N\n  any:\n  - {eq: soon}\n")
    with pytest.raises(ConfigError, match=r"import\.yaml:2: where\.0: 'soon' is not a number"):
        read_import_config(path)


def test_rows_that_are_left_out_are_counted_and_the_rest_is_written(sandbox: Sandbox, tmp_path: Path) -> None:
    target = new_table(sandbox)
    path = tmp_path / "films.csv"
    path.write_text("pk,year,kind\na,1999,film\nb,2004,film\nc,,film\nd,2005,series\ne,soon,film\n")
    config = tmp_path / "import.yaml"
    config.write_text(
        "where:\n- {column: year, any: [{gte: 2000}, {missing: true}]}\n- {column: kind, any: [eq: film]}\n"
    )
    settings = read_import_config(config).model_dump(exclude_unset=True) | {"exclude": ["kind"]}
    report = job(sandbox.endpoint_url, target, path, settings, max_rejects=1).run()
    assert report.problem is None
    assert (report.rows, report.written, report.left_out, report.rejected) == (5, 2, 2, 1)
    assert report.unused_columns == []
    assert sorted(item["pk"]["S"] for item in items_of(sandbox, target)) == ["b", "c"]
    kept = [json.loads(line) for line in Path(str(report.reject_file)).read_text().splitlines()]
    assert "kind" in json.dumps(kept[0]["settings"]["where"])
    mended = tmp_path / "mended.jsonl"
    mended.write_text(Path(str(report.reject_file)).read_text().replace('"soon"', '"2020"'))
    again = imported(sandbox.endpoint_url, target, mended, redrive=True)
    assert (again.written, again.left_out) == (1, 0)
    mended.write_text(Path(str(report.reject_file)).read_text().replace('"soon"', '"1980"'))
    assert imported(sandbox.endpoint_url, target, mended, redrive=True).left_out == 1


def test_a_column_that_is_masked_and_chooses_rows_is_kept_for_the_redrive(sandbox: Sandbox, tmp_path: Path) -> None:
    """Without it the redriven row would be left out."""
    target = new_table(sandbox)
    path = tmp_path / "rows.csv"
    path.write_text("pk,mail,n\na,ann@example.com,1\nb,bob@example.com,soon\n")
    config = {
        "where": [{"column": "mail", "any": [{"missing": False}]}],
        "attributes": {"pk": "pk", "who": {"expression": "sha256(mail)"}, "n": {"column": "n", "type": "N"}},
    }
    report = job(sandbox.endpoint_url, target, path, config, max_rejects=1).run()
    assert (report.written, report.rejected) == (1, 1)
    mended = tmp_path / "mended.jsonl"
    mended.write_text(Path(str(report.reject_file)).read_text().replace("soon", "2"))
    assert imported(sandbox.endpoint_url, target, mended, redrive=True).written == 1


def test_an_item_whose_row_is_left_out_is_only_in_the_table(sandbox: Sandbox, tmp_path: Path) -> None:
    target = new_table(sandbox)
    path = tmp_path / "rows.jsonl"
    path.write_text('{"pk": "a", "n": 1}\n{"pk": "b", "n": 2}\n{"pk": "c"}\n')
    assert imported(sandbox.endpoint_url, target, path).written == 3
    where = {"where": [{"column": "n", "any": [{"lte": 1}]}]}
    report = imported(sandbox.endpoint_url, target, path, where, report_extra=True)
    assert (report.written, report.left_out) == (1, 2)
    assert report.only_in_table
    assert report.only_in_table.count == 2


def test_an_import_that_was_ended_goes_on_with_the_same_choice(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that are left out, and deletes, before and after the moment at which it ended."""
    monkeypatch.setattr(import_job, "PROGRESS_SECONDS", 0.0)
    target, path, rows = new_table(sandbox), tmp_path / "rows.csv", 400
    words = ["I", "u", "D"]
    path.write_text("Op,pk,n\n" + "".join(f"{words[n % 3]},k{n % 50},{n}\n" for n in range(rows)))
    config = {"where": [{"column": "n", "any": [{"not_between": [100, 150]}]}], "changes": {"column": "Op"}}

    def end(now: Progress) -> None:
        if now.rows == rows // 2:
            now.rows += 1  # once
            raise KeyboardInterrupt

    told = (sandbox.endpoint_url, target, path, config)
    with pytest.raises(KeyboardInterrupt):
        job(*told, folder=tmp_path / "state", on_progress=end).run()
    report = imported(*told, folder=tmp_path / "state", report_extra=True)
    assert report.rows_before > 0
    assert report.rows_before + report.rows == rows
    expected = {f"k{n % 50}": n for n in range(rows) if not 100 <= n <= 150}
    left = {key: n for key, n in expected.items() if n % 3 != 2}
    assert {item["pk"]["S"]: int(item["n"]["N"]) for item in items_of(sandbox, target)} == left
    assert report.only_in_table
    assert report.only_in_table.count == 0


def test_a_column_that_no_file_has_is_refused(sandbox: Sandbox, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("pk,year\na,1\n")
    with pytest.raises(MappingError, match="`where` names a column 'yaer', which no row has"):
        job(sandbox.endpoint_url, new_table(sandbox), path, {"where": [{"column": "yaer", "any": [{"eq": 1}]}]}).run()


def test_no_filter_takes_every_row() -> None:
    assert RowChoice(ImportConfig().where).chosen(Row(0, 1, {}))
