"""Tables that a stream fills alone (`source: stream`), from YAML and writes in DynamoDB to rows of the table."""

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from ddb_assets.aws.clients import AWS
from ddb_assets.contract.contract_yaml import read_table
from ddb_assets.contract.table import Table
from ddb_assets.definitions import build_defs
from ddb_assets.live.checks import check_results
from ddb_assets.live.follow import Followed
from ddb_assets.live.streams import streams_of
from ddb_assets.settings import LAKE, WAREHOUSE
from ddb_assets.warehouse.connect import open_warehouse
from ddb_assets.windows.table_assets import INITIAL_LOAD
from ddb_assets_tests.cli.test_commands import call
from ddb_assets_tests.components.test_dynamodb_table import lineage
from ddb_assets_tests.live.shop import Shop
from ddb_assets_tests.live.test_assets import facts, resources, ticked
from ddb_assets_tests.support.instances import in_memory


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with in_memory() as found:
        yield found


def of_stream(shop: Shop, **contract: Any) -> Table:
    return shop.table(name="orders", source="stream", **contract)


def rows(shop: Shop) -> dict[object, object]:
    return {found[0]: found[1] for found in shop.rows("SELECT pk, v FROM orders")}


def write(folder: Path, *tables: Table) -> Path:
    """A dg project that declares these tables."""
    package = folder / f"project_{uuid.uuid4().hex}"
    (folder / "pyproject.toml").write_text(
        f'[tool.dg]\ndirectory_type = "project"\n[tool.dg.project]\nroot_module = "{package.name}"\n'
    )
    for table in tables:
        place = package / "defs" / table.name / "defs.yaml"
        place.parent.mkdir(parents=True)
        attributes = table.model_dump(mode="json", exclude_defaults=True)
        place.write_text(yaml.safe_dump({"type": "ddb_assets.components.DynamoDBTable", "attributes": attributes}))
    for name in ("__init__.py", "definitions.py"):
        (package / name).touch()
    return package


@pytest.fixture
def project(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(LAKE, shop.lake)
    monkeypatch.setenv(WAREHOUSE, shop.url)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def followed(
    definitions: dg.Definitions, shop: Shop, instance: dg.DagsterInstance, *restart: str
) -> dg.ExecuteInProcessResult:
    """The run of the stream's assets, as the sensor starts it."""
    (asset,) = [one for one in definitions.assets or () if isinstance(one, dg.AssetsDefinition) and one.op.pool]
    config = {"ops": {asset.op.name: {"config": {"restart": list(restart)}}}} if restart else None
    tags = {"ddb_assets/stream": str(asset.op.pool).removeprefix("stream_")}
    return dg.materialize(
        [asset], instance=instance, resources=resources(shop), run_config=config, tags=tags, raise_on_error=False
    )


def checks(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    return {check.check_name: check for check in result.get_asset_check_evaluations() if not check.passed}


def test_a_project_of_such_tables_only_has_a_stream_and_its_tables(
    shop: Shop, instance: dg.DagsterInstance, project: Path
) -> None:
    orders = of_stream(shop, nested={"lines": "child"})
    definitions = build_defs(write(project, orders))
    upstream = lineage(definitions)
    stream = next(key for key in upstream if key.startswith("streams/"))
    assert upstream == {
        "dynamodb/orders_table": set(),
        stream: {"dynamodb/orders_table"},
        "warehouse/orders": {stream},
        "warehouse/orders__lines": {stream},
        "status/orders_status": {"warehouse/orders"},
    }
    repository = definitions.get_repository_def()
    assert not repository.has_job(INITIAL_LOAD)
    assert repository.get_sensor_def("ddb_assets_automation")
    shop.put(orders, "a", v={"S": "x"}, lines={"L": [{"S": "1"}, {"S": "2"}]})
    shop.put(orders, "b", v={"S": "y"})
    result = followed(definitions, shop, instance)
    assert result.success
    assert checks(result) == {}
    said = facts(result, "warehouse/orders")
    assert (said["records"], said["upserted"], said["dagster/row_count"]) == (2, 2, 2)
    assert facts(result, "warehouse/orders__lines")["dagster/row_count"] == 2
    assert shop.rows("SELECT pk, value FROM orders__lines ORDER BY 2") == [("a", "1"), ("a", "2")]
    idle = followed(definitions, shop, instance)
    said = facts(idle, "warehouse/orders")
    assert (said["records"], said["dagster/row_count"]) == (0, 2), "the page keeps what it showed"
    assert "dagster/column_schema" in said
    skipped = ticked(shop, instance, orders)
    assert isinstance(skipped, dg.SkipReason)
    shop.delete(orders, "b")
    request = ticked(shop, instance, orders)
    assert isinstance(request, dg.RunRequest)
    keys = {key.to_user_string() for key in request.asset_selection or ()}
    assert keys == {stream, "warehouse/orders", "warehouse/orders__lines"}


def test_a_table_of_exports_and_one_of_the_stream_share_a_stream(
    shop: Shop, instance: dg.DagsterInstance, project: Path
) -> None:
    orders, customers = of_stream(shop), shop.table(name="customers")
    definitions = build_defs(write(project, customers, orders))
    job = definitions.resolve_job_def(INITIAL_LOAD)
    assert {key.to_user_string() for key in job.asset_layer.selected_asset_keys} == {
        "exports/customers_full_export",
        "parquet/customers_full_parquet",
        "loads/customers_initial_load",
    }
    for table in (orders, customers):
        shop.put(table, "a", v={"S": table.name})
    done = shop.follow(orders, customers)
    assert done.records == 2
    assert rows(shop) == {"a": "orders"}
    assert shop.rows("SELECT pk, v FROM customers_live") == [("a", "customers")]


def test_rows_that_somebody_changed_are_noticed(shop: Shop, instance: dg.DagsterInstance, project: Path) -> None:
    orders = of_stream(shop)
    definitions = build_defs(write(project, orders))
    shop.put(orders, "a", v={"S": "x"})
    assert followed(definitions, shop, instance).success
    with open_warehouse(shop.url) as warehouse:
        warehouse.query("DELETE FROM orders")
    found = checks(followed(definitions, shop, instance))
    assert found.keys() == {"rows_as_in_ledger"}
    assert found["rows_as_in_ledger"].severity == dg.AssetCheckSeverity.WARN
    assert checks(followed(definitions, shop, instance, "orders")) == {}
    assert rows(shop) == {"a": "x"}


def test_a_gap_stays_until_the_table_starts_over(shop: Shop) -> None:
    """The table started over has what the stream still has, and no row that may be older than its item."""
    orders = of_stream(shop)
    (stream,) = streams_of([orders])

    def gap(done: Followed) -> dg.AssetCheckResult | None:
        found = check_results(AWS(), stream, done)
        return next((one for one in found if one.check_name == "stream_has_no_gap" and not one.passed), None)

    shop.put(orders, "a", v={"S": "deleted unseen"})
    assert gap(shop.follow(orders)) is None
    shop.delete(orders, "a")
    shop.pass_time(hours=30)
    shop.put(orders, "b", v={"S": "new"})
    for _ in range(2):
        found = gap(shop.follow(orders))
        assert found is not None
        assert found.severity == dg.AssetCheckSeverity.ERROR
        assert "nothing puts this right by itself" in str(found.description)
        assert "restart" in str(found.description)
    assert rows(shop) == {"a": "deleted unseen", "b": "new"}
    assert gap(shop.follow(orders, restart=["orders"])) is None
    assert rows(shop) == {"b": "new"}
    shop.put(orders, "c", v={"S": "later"})
    assert gap(shop.follow(orders)) is None
    assert rows(shop) == {"b": "new", "c": "later"}


def test_a_table_that_the_stream_does_not_name_does_not_start_over(shop: Shop) -> None:
    """It would be empty."""
    orders = of_stream(shop)
    shop.put(orders, "a", v={"S": "x"})
    shop.follow(orders)
    shop.pass_time(hours=30)
    error = shop.follow(orders, restart=["orders"]).tables["orders"].error
    assert "so the table does not start over" in str(error)
    assert rows(shop) == {"a": "x"}


def test_the_command_starts_a_table_over(shop: Shop, tmp_path: Path) -> None:
    orders = of_stream(shop)
    config = write(tmp_path, orders) / "defs" / "orders" / "defs.yaml"
    assert read_table(config) == orders
    target = ("--config", str(config), "--warehouse", shop.url, "--lake", shop.lake, "--once")
    shop.put(orders, "a", v={"S": "x"})
    assert "orders: 1 rows, 1 upserted" in call("follow", shop.stream, *target).stdout
    with open_warehouse(shop.url) as warehouse:
        warehouse.query("UPDATE orders SET v = 'changed by hand'")
    call("follow", shop.stream, *target)
    assert rows(shop) == {"a": "changed by hand"}
    call("follow", shop.stream, *target, "--restart", "orders")
    assert rows(shop) == {"a": "x"}
    said = call("follow", shop.stream, *target, "--restart", "customers", code=1).stderr
    assert "customers: only tables of stream" in said


def test_a_changed_source_is_refused_until_the_table_starts_over(shop: Shop) -> None:
    orders = of_stream(shop)
    shop.put(orders, "a", v={"S": "x"})
    shop.follow(orders)
    exported = orders.model_copy(update={"source": "exports"})
    shop.put(orders, "a", v={"S": "y"})
    assert "can have no tail" in str(shop.follow(exported).tables["orders"].error)
    assert rows(shop) == {"a": "x"}
    assert shop.follow(orders).tables["orders"].error is None
    assert rows(shop) == {"a": "y"}


@pytest.mark.parametrize(
    ("contract", "said"),
    [({"source": "stream"}, "needs `stream: NAME`"), ({"source": "stream", "load": "replace"}, "needs `stream: NAME`")],
)
def test_what_does_not_go_together_is_refused(contract: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Table.model_validate({"table": "Orders", **contract})
