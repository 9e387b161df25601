"""A declared import as Dagster loads and runs it."""

import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click.testing
import dagster as dg
import pytest
import yaml
from pydantic import BaseModel

from ddb_assets.cli import main
from ddb_assets.components import DynamoDBImport
from ddb_assets.components.dynamodb_import import COMMENTED_YAML, Import, ImportScaffolder
from ddb_assets.definitions import build_defs
from ddb_assets.imports import assets
from ddb_assets.imports.bulk_put import writer
from ddb_assets.orchestration.pools import write_pool
from ddb_assets.sandbox import demo, demo_files
from ddb_assets.sandbox.server import Sandbox
from ddb_assets.settings import STATE
from ddb_assets_tests.support.fault_proxy import Fault, Schedule, fault_proxy
from ddb_assets_tests.support.http_answers import answering
from ddb_assets_tests.support.tables import client_of, items_of, new_table, target_of

KEY = dg.AssetKey(["imports", "orders_import"])


class NoParams(BaseModel):
    """The scaffolder takes no parameters."""


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


@pytest.fixture
def table(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "DDB_ASSETS_ROLE_ARN"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {**sandbox.environment(), STATE: str(tmp_path / "state")}.items():
        monkeypatch.setenv(name, value)
    return new_table(sandbox, ("id", "S")).name


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.csv"
    path.write_text("id,n\n" + "".join(f"k{n},{n}\n" for n in range(30)))
    return path


def declared(table: str, source: Path | str, **more: Any) -> dg.AssetsDefinition:
    attributes = {"name": "orders_import", "table": table, "source": str(source), **more}
    component = DynamoDBImport.from_attributes_dict(attributes=attributes)
    return dg.build_defs_for_component(component).resolve_assets_def(KEY)


def materialize(asset: dg.AssetsDefinition, **config: Any) -> dg.ExecuteInProcessResult:
    run_config = {"ops": {asset.op.name: {"config": {"write": True, **config}}}}
    return dg.materialize([asset], run_config=run_config, raise_on_error=False)


def checks(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    return {found.check_name: found.passed for found in result.get_asset_check_evaluations()}


def facts(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    (event,) = result.get_asset_materialization_events()
    return {name: value.value for name, value in event.materialization.metadata.items()}


def message(result: dg.ExecuteInProcessResult) -> str:
    (failed,) = result.get_step_failure_events()
    assert failed.step_failure_data.user_failure_data
    return str(failed.step_failure_data.user_failure_data.description)


def test_it_imports_and_shows_the_numbers(sandbox: Sandbox, table: str, rows: Path) -> None:
    result = materialize(declared(table, rows))
    assert result.success
    assert checks(result) == {"no_rejects": True, "counts_agree": True, "sample_equal": True}
    metadata = facts(result)
    assert (metadata["rows"], metadata["written"], metadata["rejected"], metadata["format"]) == (30, 30, 0, "csv")
    assert metadata["types"] == {"id": "S", "n": "N"}
    assert {"wcu", "seconds", "throttles"} <= metadata.keys()
    assert len(items_of(sandbox, target_of(sandbox, table))) == 30


def test_rows_that_filters_leave_out_are_accounted_for(sandbox: Sandbox, table: str, rows: Path) -> None:
    result = materialize(declared(table, rows, where=[{"column": "n", "any": [{"gte": 20}]}]))
    assert checks(result) == {"no_rejects": True, "counts_agree": True, "sample_equal": True}
    assert (facts(result)["rows"], facts(result)["written"], facts(result)["left_out"]) == (30, 10, 20)
    assert len(items_of(sandbox, target_of(sandbox, table))) == 10


def test_a_run_that_does_not_say_so_writes_nothing(sandbox: Sandbox, table: str, rows: Path) -> None:
    """As in *Materialize all*, which does not ask for config."""
    for config in ({}, {"delete": True, "confirm": table}):
        assert "nothing was written" in message(materialize(declared(table, rows), write=False, **config))
    assert not items_of(sandbox, target_of(sandbox, table))


def test_a_reject_makes_the_run_fail_and_is_shown(table: str, rows: Path) -> None:
    rows.write_text(rows.read_text() + ",7\n")
    result = materialize(declared(table, rows))
    assert not result.success
    assert checks(result) == {"no_rejects": False, "counts_agree": True, "sample_equal": True}
    metadata = facts(result)
    (reject,) = metadata["rejected_sample"]
    assert (reject["line"], reject["reason"]) == (32, "key attribute 'id' is missing")
    assert Path(metadata["reject_file"]).exists()
    assert materialize(declared(table, rows, max_rejects=1)).success


def test_an_import_that_ends_early_fails_with_its_reason(table: str, rows: Path) -> None:
    rows.write_text("id,n\n,1\n,2\n,3\n")
    assert "more than 1 rows were rejected" in message(materialize(declared(table, rows, max_rejects=1)))
    assert "there is no NoSuchTable" in message(materialize(declared("NoSuchTable", rows)))


def test_a_run_begins_again_where_another_one_stopped_only_when_it_says_so(table: str, rows: Path) -> None:
    whole = rows.read_text()
    rows.write_text("id,n\n,1\n,2\n,3\n")
    assert not materialize(declared(table, rows, max_rejects=1)).success
    rows.write_text(whole)
    refused = message(materialize(declared(table, rows)))
    assert f"files {rows} size: 14 before, " in refused
    assert "`restart: true` in the run's config" in refused
    assert facts(materialize(declared(table, rows), restart=True))["written"] == 30


def test_deleting_needs_the_tables_name_in_the_runs_config(sandbox: Sandbox, table: str, rows: Path) -> None:
    asset = declared(table, rows)
    assert materialize(asset).success
    client_of(sandbox.endpoint_url).put_item(TableName=table, Item={"id": {"S": "own"}})
    assert f"confirm: {table}" in message(materialize(asset, delete=True))
    assert len(items_of(sandbox, target_of(sandbox, table))) == 31
    result = materialize(asset, delete=True, confirm=table)
    assert facts(result)["deleted"] == 30
    assert [item["id"]["S"] for item in items_of(sandbox, target_of(sandbox, table))] == ["own"]


def test_it_shows_what_only_the_table_has_when_it_is_asked_to(sandbox: Sandbox, table: str, rows: Path) -> None:
    client_of(sandbox.endpoint_url).put_item(TableName=table, Item={"id": {"S": "own"}})
    assert "only_in_table" not in facts(materialize(declared(table, rows)))
    metadata = facts(materialize(declared(table, rows, report_extra=True)))
    assert (metadata["only_in_table"], metadata["only_in_table_sample"]) == (1, [{"id": {"S": "own"}}])


@pytest.mark.parametrize(("asked", "read"), [({"verify": 10}, "BatchGetItem"), ({"report_extra": True}, "Scan")])
def test_a_table_that_cannot_be_read_afterwards_fails_the_check(
    sandbox: Sandbox, table: str, rows: Path, monkeypatch: pytest.MonkeyPatch, asked: dict[str, Any], read: str
) -> None:
    with fault_proxy(sandbox.endpoint_url) as proxy:
        proxy.schedule = Schedule(rate=1.0, faults=frozenset({Fault.THROTTLED}), operations=frozenset({read}))
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint_url)
        result = materialize(declared(table, rows, deadline=0.2, **asked))
    assert checks(result) == {"no_rejects": True, "counts_agree": True, "sample_equal": False}
    problem = f"everything is written, but the table could not be read afterwards: dynamodb:{read} on {table}"
    assert problem in facts(result)["problem"]
    (failed,) = (found for found in result.get_asset_check_evaluations() if not found.passed)
    assert problem in str(failed.metadata["problem"].value)
    assert len(items_of(sandbox, target_of(sandbox, table))) == 30


def test_a_step_whose_file_broke_off_is_tried_again(
    sandbox: Sandbox, table: str, rows: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is read for its types and then for its rows; the second reading meets a proxy's page, once."""
    requests = 0

    def answer(_: str) -> Any:
        nonlocal requests
        requests += 1
        if requests == 4:
            return 200, b"<html>Log in</html>", {"Content-Type": "text/html"}
        return 200, rows.read_bytes(), {"ETag": '"a"', "x-amz-request-id": "R"}

    monkeypatch.setattr(assets, "RETRIES", dg.RetryPolicy(max_retries=1, delay=0))
    with answering(answer) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", url)
        result = materialize(declared(table, "s3://bucket/rows.csv"))
    assert result.success
    assert len(result.get_step_success_events()) == 1
    assert [event for event in result.all_events if event.is_step_up_for_retry]
    assert len(items_of(sandbox, target_of(sandbox, table))) == 30


def test_the_demos_import_takes_the_sandboxs_price_list(sandbox: Sandbox, table: str) -> None:
    """As `make dev` shows it, and a second time. It deletes nothing unless the run config says so."""
    demo.load(sandbox, 30)
    asset = build_defs().resolve_assets_def(dg.AssetKey(["imports", "products_import"]))
    for _ in range(2):
        result = materialize(asset)
        assert result.success
        assert checks(result) == {"no_rejects": True, "counts_agree": True, "sample_equal": True}
    assert (facts(result)["written"], facts(result)["rejected"]) == (demo_files.ARTICLES, 0)
    items = {item["sku"]["S"]: item for item in items_of(sandbox, target_of(sandbox, demo.PRODUCTS))}
    assert len(items) == demo_files.ARTICLES
    assert {kind for item in items.values() for value in item.values() for kind in value} == {
        "S", "N", "BOOL", "M", "SS"
    }  # fmt: skip
    assert "confirm: Products" in message(materialize(asset, delete=True))
    assert len(items_of(sandbox, target_of(sandbox, demo.PRODUCTS))) == demo_files.ARTICLES


def test_yaml_cannot_delete(table: str, rows: Path) -> None:
    with pytest.raises(Exception, match="if-not-exists"):
        declared(table, rows, mode="delete")


def test_one_table_is_written_by_one_job_at_a_time(table: str, rows: Path) -> None:
    assert declared(table, rows).op.pool == write_pool(table)


def test_nothing_is_asked_of_aws_while_definitions_load(rows: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a connection was attempted")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    declared("Orders", rows)


def test_the_scaffolded_file_is_complete_and_every_line_of_it_works(tmp_path: Path) -> None:
    request: Any = dg.ScaffoldRequest(
        type_name="ddb_assets.components.DynamoDBImport",
        target_path=tmp_path,
        scaffold_format="yaml",
        project_root=tmp_path,
        params=NoParams(),
        append=False,
    )
    ImportScaffolder().scaffold(request)
    text = (tmp_path / "defs.yaml").read_text()
    assert Import.model_validate(yaml.safe_load(text)["attributes"]).table == "Orders"
    everything = Import.model_validate(
        yaml.safe_load(re.sub(r"^  # ( *)", r"  \1", text, flags=re.MULTILINE))["attributes"]
    )
    assert everything.attributes["pk"].template == "ORDER#${id}"
    shown = set(re.findall(r"^  (?:# )?([a-z_]+):", COMMENTED_YAML, flags=re.MULTILINE))
    assert shown == set(Import.model_fields) - {"share", "in_flight", "deadline"}


def test_each_run_keeps_what_it_replaces(sandbox: Sandbox, table: str, rows: Path, tmp_path: Path) -> None:
    asset = declared(table, rows, keep_before=f"{tmp_path}/before/")
    first, second = (facts(materialize(asset, **more)) for more in ({}, {"delete": True, "confirm": table}))
    assert first["before_first_write"] <= second["before_first_write"]
    for found, left in ((second, 30), (first, 0)):
        undone = click.testing.CliRunner().invoke(main, ["undo", found["before_images"]])
        assert undone.exit_code == 0, undone.output
        assert len(items_of(sandbox, target_of(sandbox, table))) == left
    assert "point-in-time recovery" in message(materialize(declared(table, rows, require_pitr=True)))


def test_aws_puts_the_items_where_that_is_declared(
    sandbox: Sandbox, table: str, rows: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "FIRST_LOOK", 0.05)
    sandbox.s3().create_bucket(Bucket="staging")
    staging = {"staging": "s3://staging/imports"}
    asset = declared(table, rows, bulk_put=staging)
    result = materialize(asset)
    assert checks(result) == {"no_rejects": True, "counts_agree": True, "sample_equal": True}
    found = facts(result)
    assert (found["rows"], found["written"]) == (30, 30)
    assert found["bulk_operation"].startswith(target_of(sandbox, table).arn)
    assert found["bulk_put_bytes"] > 0
    deleted = facts(materialize(asset, delete=True, confirm=table))
    assert (deleted["written"], "bulk_operation" in deleted) == (0, False)
    assert not items_of(sandbox, target_of(sandbox, table))
    assert "there are no before-images" in message(
        materialize(declared(table, rows, keep_before="b/", bulk_put=staging))
    )
