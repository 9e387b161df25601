"""`check-warehouse`: its findings, faults that it detects, and that it leaves everything else as it was."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from ddb_assets.aws.storage import Storage
from ddb_assets.cli import main
from ddb_assets.sandbox.redshift.server import RedshiftServer
from ddb_assets.warehouse.duckdb.connection import DuckDBEngine
from ddb_assets.warehouse.redshift.connection import RedshiftEngine
from ddb_assets.warehouse.sql.self_test import SelfTest
from ddb_assets.warehouse.sql.statements import Statement
from ddb_assets_tests.support.engines import select

SCHEMAS = "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'ddb_check%'"


def bystanders(warehouse: DuckDBEngine | RedshiftEngine) -> None:
    """A schema and a table with names that are almost ours."""
    for statement in (
        "CREATE SCHEMA ddb_check_",
        "CREATE TABLE ddb_check_.kept (a BIGINT)",
        "CREATE TABLE loads (a BIGINT)",
    ):
        warehouse.execute(Statement(statement))
    warehouse.execute(Statement("INSERT INTO ddb_check_.kept VALUES (1)"))


def test_duckdb_does_what_loads_assume_and_keeps_what_it_has(tmp_path: Path) -> None:
    with DuckDBEngine(tmp_path / "x.duckdb") as warehouse:
        bystanders(warehouse)
    url = f"duckdb:///{tmp_path}/x.duckdb"
    result = CliRunner().invoke(main, ["check-warehouse", "--warehouse", url])
    assert (result.exit_code, "as loads assume" in result.output) == (0, True), result.output
    with DuckDBEngine(tmp_path / "x.duckdb") as warehouse:
        assert select(warehouse, "SELECT a FROM ddb_check_.kept") == [(1,)]
        assert select(warehouse, "SELECT a FROM loads") == []
        found = warehouse.connection.execute(
            "SELECT schema_name FROM duckdb_schemas() WHERE schema_name LIKE 'ddb_check%'"
        )
        assert found.fetchall() == [("ddb_check_",)]


@pytest.mark.parametrize(
    ("deviation", "differing"),
    [
        ("", []),
        ("texts", []),  # the difference is noticed, and no load sends such texts
        ("milliseconds", ["times without a zone", "times with a zone"]),
        (
            "decimals",
            [
                "decimals of 9 digits",
                "decimals of 18 digits",
                "loads: full exports, wider columns, a window with a delete",
            ],
        ),
    ],
)
def test_what_a_redshift_does_otherwise_is_found(
    redshift: RedshiftServer, over_redshift: RedshiftEngine, tmp_path: Path, deviation: str, differing: list[str]
) -> None:
    redshift.faults.deviations.update({deviation} - {""})
    test = SelfTest(over_redshift, Storage(redshift.storage.s3), str(tmp_path))
    findings = list(test.run())
    assert [finding.what for finding in findings if finding.differs] == differing, findings
    assert len(findings) > 20
    assert not list(tmp_path.iterdir())
    assert select(over_redshift, SCHEMAS) == []
    dropped = [text for text in redshift.statements if text.startswith("DROP") and "CASCADE" not in text]
    assert all(test.schema in text or "_ddb_stage_" in text or "_ddb_check_" in text for text in dropped[-20:])


def test_a_user_who_may_make_no_schema_is_told(
    over_redshift: RedshiftEngine, tmp_path: Path, redshift: RedshiftServer
) -> None:
    over_redshift.execute(Statement("CREATE SCHEMA ddb_check_mine"))
    try:
        (finding,) = SelfTest(over_redshift, Storage(), str(tmp_path), schema="ddb_check_mine").run()
        assert "nothing could be tried" in finding.differs
        assert select(over_redshift, SCHEMAS) == [("ddb_check_mine",)]  # not dropped, because it is not ours
    finally:
        over_redshift.execute(Statement("DROP SCHEMA ddb_check_mine"))
