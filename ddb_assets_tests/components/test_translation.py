"""`translation` changes a table's assets as a project wants, and sensors, schedules and checks still find them."""

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ddb_assets.components import DynamoDBTable
from ddb_assets.components.shared import shared
from ddb_assets.contract.contract_yaml import ConfigError, read_table
from ddb_assets.orchestration import metadata
from ddb_assets.orchestration.metadata import key_of
from ddb_assets.windows.chain import find_initial_load, no_initial_load


def component(translation: object, **more: Any) -> DynamoDBTable:
    attributes = {"table": "Orders", "nested": {"items": "child"}, "translation": translation, **more}
    made = DynamoDBTable.from_attributes_dict(attributes=attributes)
    assert isinstance(made, DynamoDBTable)
    return made


def lineage(definitions: dg.Definitions) -> dict[str, set[str]]:
    graph = definitions.resolve_asset_graph()
    return {
        key.to_user_string(): {parent.to_user_string() for parent in graph.get(key).parent_keys}
        for key in graph.get_all_asset_keys()
    }


def test_keys_change_and_lineage_sensors_and_job_follow() -> None:
    table = component({"key_prefix": "shop"})
    definitions = dg.Definitions.merge(dg.build_defs_for_component(table), shared([table]))
    found = lineage(definitions)
    assert all(key.startswith("shop/") for key in found)
    assert found["shop/warehouse/orders"] == {"shop/parquet/orders_window_parquet", "shop/loads/orders_initial_load"}
    repository = definitions.get_repository_def()
    chosen = repository.get_job("ddb_assets_initial_load").asset_layer.selected_asset_keys
    assert key_of(table.table, "full_parquet", "orders__items") in chosen
    automated = repository.get_sensor_def("ddb_assets_automation").asset_selection
    assert automated
    assert automated.resolve(repository.asset_graph) == repository.asset_graph.materializable_asset_keys
    assert "materialize shop/exports/orders_full_export, " in no_initial_load(table.table)


def test_live_tables_are_translated_too() -> None:
    """They belong to their table, although all tables of a stream share one step."""
    one = component({"key_prefix": "shop", "group_name": "sales", "tags": {"tier": "gold"}}, stream="orders-cdc")
    two = DynamoDBTable.from_attributes_dict(attributes={"table": "Customers", "stream": "orders-cdc"})
    assert isinstance(two, DynamoDBTable)
    definitions = dg.Definitions.merge(*map(dg.build_defs_for_component, (one, two)), shared([one, two]))
    specs = {spec.key.to_user_string(): spec for spec in definitions.resolve_all_asset_specs()}
    for name in ("orders", "orders__items"):
        live = specs[f"shop/warehouse/{name}_live"]
        assert (live.group_name, live.tags["tier"]) == ("sales", "gold")
    assert (specs["warehouse/customers_live"].group_name, specs["streams/orders_cdc"].group_name) == (
        "customers",
        "streams",
    )
    assert lineage(definitions)["shop/warehouse/orders_live"] == {"streams/orders_cdc", "shop/warehouse/orders"}
    sensor = definitions.get_repository_def().get_sensor_def("ddb_assets_stream_orders_cdc").asset_selection
    assert sensor
    assert dg.AssetKey(["shop", "warehouse", "orders_live"]) in sensor.resolve(definitions.resolve_asset_graph())


def test_a_template_may_choose_by_stage() -> None:
    raw = "{{ 'raw/' + spec.key.path[-1] if stage == 'warehouse' else spec.key.to_user_string() }}"
    found = lineage(dg.build_defs_for_component(component({"key": raw})))
    assert {"raw/orders", "raw/orders__items", "exports/orders_full_export"} <= found.keys()
    assert found["raw/orders"] == {"parquet/orders_window_parquet", "loads/orders_initial_load"}


def test_other_attributes_change_as_in_other_components() -> None:
    changes = {
        "group_name": "sales",
        "tags": {"tier": "gold"},
        "deps": ["elsewhere"],
        "automation_condition": "{{ dg.AutomationCondition.on_missing() }}",
    }
    definitions = dg.build_defs_for_component(component(changes, load="replace"))
    for spec in definitions.resolve_all_asset_specs():
        if spec.key == dg.AssetKey("elsewhere"):
            continue
        assert spec.group_name == "sales"
        assert spec.tags["tier"] == "gold"
        assert spec.tags[metadata.LOAD_TAG] == "replace"
        assert [dep.asset_key for dep in spec.deps] == [dg.AssetKey("elsewhere")]
        assert spec.automation_condition == dg.AutomationCondition.on_missing()


def test_one_key_for_two_assets_is_refused() -> None:
    with pytest.raises(ConfigError, match="translation of orders: orders would be the key of two assets"):
        component({"key": "orders"})


def test_the_state_of_a_table_is_looked_up_by_the_new_keys() -> None:
    table = component({"key_prefix": "shop"}).table
    facts: dict[str, Any] = {
        "export_id": "b",
        "table_arn": "arn",
        "table_id": "id",
        "initial_load_time": dg.MetadataValue.timestamp(1.0),
    }
    with dg.DagsterInstance.ephemeral() as instance:
        for key in ("loads/orders_initial_load", "shop/loads/orders_initial_load"):
            assert find_initial_load(instance, table) is None
            asset = dg.AssetKey(key.split("/"))
            instance.report_runless_asset_event(dg.AssetMaterialization(asset, metadata=facts))
        assert find_initial_load(instance, table) is not None


def test_commands_read_the_same_yaml(tmp_path: Path) -> None:
    path = tmp_path / "defs.yaml"
    path.write_text(
        "type: ddb_assets.components.DynamoDBTable\nattributes:\n  table: Orders\n  translation: {key_prefix: shop}\n"
    )
    assert read_table(path).name == "orders"
