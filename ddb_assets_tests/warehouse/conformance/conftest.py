"""The warehouses that must pass, and how much of the suite runs on each. `docs/dev/warehouse.md` says how to add one."""

import os
from typing import get_args

import pytest

from ddb_assets.warehouse.clickhouse.warehouse import ClickHouseWarehouse
from ddb_assets.warehouse.duckdb.connection import DuckDBEngine
from ddb_assets.warehouse.iceberg.connection import IcebergEngine
from ddb_assets.warehouse.postgres.connection import PostgresEngine
from ddb_assets.warehouse.redshift.connection import RedshiftEngine
from ddb_assets_tests.warehouse.conformance.clickhouse_subject import ClickHouseSubject
from ddb_assets_tests.warehouse.conformance.sql_subjects import SqlSubject
from ddb_assets_tests.warehouse.conformance.subject import Ability, Kind, Subject

ALL: frozenset[Ability] = frozenset(get_args(Ability))
KINDS = (
    Kind("duckdb", "duckdb_subject", can=ALL),
    Kind("redshift", "redshift_subject", "distinct", can=ALL),
    Kind("iceberg", "iceberg_subject", "chosen", can=ALL - {"history"}),
    Kind("clickhouse", "clickhouse_subject", "chosen", can=ALL - {"overlap", "other keys", "mends"}),
    Kind("postgres", "postgres_subject", "chosen", can=ALL),
)
CHOSEN = frozenset(
    {
        "test_columns_are_added_and_widened_and_keep_their_values",
        "test_a_key_that_is_widened_still_meets_its_rows",
        "test_hostile_names_and_keys_are_data",
        "test_a_dropped_table_is_not_taken_for_loaded",
        "test_a_write_in_the_initial_loads_own_microsecond_outlives_the_initial_load_loaded_again",
        "test_an_initial_load_marks_what_vanished",
        "test_a_full_export_keeps_the_rows_of_what_it_could_not_read",
        "test_old_values_are_hidden_with_the_first_load_that_hides_them",
        "test_rows_of_a_list_that_another_load_brought_meanwhile_go_with_their_item",
        "test_a_load_is_done_once_and_the_ledger_knows_it",
        "test_rows_of_every_part_are_counted",
        "test_all_that_the_ledger_lists_is_dropped_and_nothing_else",
    }
)
"""The scenarios that always run on Iceberg tables and ClickHouse too, which take several times as long as DuckDB."""


@pytest.fixture
def duckdb_subject(duckdb: DuckDBEngine, monkeypatch: pytest.MonkeyPatch) -> Subject:
    return SqlSubject(duckdb, monkeypatch)


@pytest.fixture
def redshift_subject(over_redshift: RedshiftEngine, monkeypatch: pytest.MonkeyPatch) -> Subject:
    return SqlSubject(over_redshift, monkeypatch)


@pytest.fixture
def iceberg_subject(iceberg: IcebergEngine, monkeypatch: pytest.MonkeyPatch) -> Subject:
    return SqlSubject(iceberg, monkeypatch)


@pytest.fixture
def postgres_subject(postgres: PostgresEngine, monkeypatch: pytest.MonkeyPatch) -> Subject:
    return SqlSubject(postgres, monkeypatch)


@pytest.fixture
def clickhouse_subject(clickhouse: ClickHouseWarehouse) -> Subject:
    return ClickHouseSubject(clickhouse)


@pytest.fixture(params=[pytest.param(kind.fixture, id=kind.name) for kind in KINDS])
def subject(request: pytest.FixtureRequest) -> Subject:
    found: Subject = request.getfixturevalue(request.param)
    return found


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leaves out what a warehouse cannot do, and scenarios that would tell nothing new of it."""
    only = os.environ.get("CONFORMANCE", "")
    kinds = {kind.fixture: kind for kind in KINDS}

    def runs(item: pytest.Item) -> bool:
        chosen = getattr(item, "callspec", None)
        if chosen is None or (kind := kinds.get(str(chosen.params.get("subject")))) is None:
            return True
        needed = {ability for mark in item.iter_markers("needs") for ability in mark.args}
        if needed - kind.can or (only and only != kind.name):
            return False
        if only or kind.runs == "all":
            return True
        return item.name.partition("[")[0] in CHOSEN if kind.runs == "chosen" else not item.get_closest_marker("alike")

    items[:] = [item for item in items if runs(item)]
