"""The exports of `cases/`, built from reports about other tools. Each must come out equal to the last value.

It is compared with the export itself, as boto3 reads it.
"""

import gzip
import json
from pathlib import Path
from typing import Any

import click.testing
import duckdb
import pytest

from ddb_assets.cli import main
from ddb_assets.contract.report import Report
from ddb_assets.flatten.schema import Schema
from ddb_assets_tests.flatten.items import decoded
from ddb_assets_tests.flatten.rebuild import items_in, rebuild

CASES = Path(__file__).parent / "cases"
OK = sorted(case.name for case in CASES.glob("ok_*"))
KEYS = {"ok_boto4636_1e50_nested": ("PK", "SK")}
Item = dict[str, Any]


def export_of(case: str) -> Path:
    (summary,) = (CASES / case).rglob("manifest-summary.json")
    return summary.parent


def expected(case: str) -> list[Item]:
    """The items as boto3 reads them."""
    lines = [line for file in export_of(case).rglob("*.gz") for line in gzip.decompress(file.read_bytes()).splitlines()]
    assert lines
    return [decoded({"M": json.loads(line)["Item"]}) for line in lines]


def by_key(case: str, items: list[Item]) -> dict[tuple[Any, ...], Item]:
    found = {tuple(item[name] for name in KEYS.get(case, ("id",))): item for item in items}
    assert len(found) == len(items)
    return found


def call(*arguments: str) -> Any:
    result = click.testing.CliRunner().invoke(main, [*arguments, "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_there_are_cases() -> None:
    assert len(OK) >= 11


@pytest.mark.parametrize("case", OK)
def test_a_reported_export_comes_out_exactly(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compares the Parquet, and DuckDB after the load."""
    monkeypatch.setenv("DDB_ASSETS_STATE", str(tmp_path / "state"))
    key, wanted = ",".join(KEYS.get(case, ("id",))), by_key(case, expected(case))
    printed = call("flatten", str(export_of(case)), "--key", key, "--out", str(tmp_path / "out"))
    assert (printed["items_in_manifest"], printed["quarantined"]) == (len(wanted), 0)
    assert by_key(case, rebuild(str(tmp_path / "out"))) == wanted
    loaded = call("load", str(export_of(case)), "--key", key, "--warehouse", f"duckdb:///{tmp_path / 'w.duckdb'}")
    assert loaded["load"]["rows_in"] == len(wanted)
    assert by_key(case, in_warehouse(tmp_path)) == wanted


def in_warehouse(folder: Path) -> list[Item]:
    """The items as the tables of the warehouse have them. Columns have the names of the Parquet beside it."""
    report = Report.model_validate_json((folder / "out" / "report.json").read_bytes())
    schema = Schema.model_validate_json((folder / "out" / "schema.json").read_bytes())
    with duckdb.connect(str(folder / "w.duckdb"), read_only=True) as connection:
        tables = {}
        for relation in report.relations:
            rows = connection.execute(f'SELECT * FROM "{relation.name}"')
            names = [name for name, *_ in rows.description]
            tables[relation.name] = [dict(zip(names, row, strict=True)) for row in rows.fetchall()]
    return items_in(schema, report.root, tables)


def test_files_downloaded_one_by_one_into_a_folder_are_found() -> None:
    printed = call("profile", str(export_of("downloaded_flat")))
    assert printed["items"] == 5


def test_a_table_with_a_long_name_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DynamoDB's table names have up to 255 characters, and CloudFormation makes long ones."""
    monkeypatch.setenv("DDB_ASSETS_STATE", str(tmp_path / "state"))
    warehouse = f"duckdb:///{tmp_path / 'w.duckdb'}"
    printed = call("load", str(export_of("table_name_over_100")), "--key", "pk", "--warehouse", warehouse)
    ((name, rows),) = printed["load"]["table_rows"].items()
    assert (len(name), rows) == (100, 1)
