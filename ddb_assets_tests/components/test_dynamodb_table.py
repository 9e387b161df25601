"""From a few lines of YAML to a table's assets, as Dagster itself loads them."""

import re
import socket
import uuid
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest
from pydantic import BaseModel

from ddb_assets.components import DynamoDBTable
from ddb_assets.components.dynamodb_table import COMMENTED_YAML, TableScaffolder
from ddb_assets.contract.contract_yaml import read_table
from ddb_assets.contract.stages import Stage
from ddb_assets.definitions import build_defs
from ddb_assets.orchestration.metadata import asset_key

PROJECT = '[tool.dg]\ndirectory_type = "project"\n[tool.dg.project]\nroot_module = "{}"\n'
TYPE = "ddb_assets.components.DynamoDBTable"
IMPORT = "ddb_assets.components.DynamoDBImport"

REPLACE = "  load: replace\n"
STAGES: tuple[Stage, ...] = ("full_export", "window_parquet", "initial_load", "warehouse")

Loader = Callable[[dict[str, str]], dg.Definitions]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Loader:
    """Loads a dg project with these files in its defs folder, as a deployment does."""

    def loaded(files: dict[str, str]) -> dg.Definitions:
        package = tmp_path / f"project_{uuid.uuid4().hex}"  # another name each time, for Python keeps modules
        (tmp_path / "pyproject.toml").write_text(PROJECT.format(package.name))
        for name, text in files.items():
            path = package / "defs" / name / "defs.yaml"
            path.parent.mkdir(parents=True)
            path.write_text(text)
        (package / "__init__.py").touch()
        (package / "definitions.py").touch()
        monkeypatch.syspath_prepend(tmp_path)
        return build_defs(package)

    return loaded


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No connection can be made."""

    def refuse(*_: object) -> None:
        raise AssertionError("a connection was attempted while definitions load")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def declared(table: str, more: str = "") -> str:
    return f"type: {TYPE}\nattributes:\n  table: {table}\n{more}"


def lineage(definitions: dg.Definitions) -> dict[str, set[str]]:
    graph = definitions.resolve_asset_graph()
    return {
        key.to_user_string(): {parent.to_user_string() for parent in graph.get(key).parent_keys}
        for key in graph.get_all_asset_keys()
    }


def test_a_table_name_alone_gives_the_whole_chain(load: Loader, offline: None) -> None:
    assert lineage(load({"orders": declared("Orders")})) == {
        "dynamodb/orders_table": set(),
        "exports/orders_full_export": {"dynamodb/orders_table"},
        "parquet/orders_full_parquet": {"exports/orders_full_export"},
        "loads/orders_initial_load": {"parquet/orders_full_parquet"},
        "exports/orders_window_export": {"dynamodb/orders_table", "loads/orders_initial_load"},
        "parquet/orders_window_parquet": {"exports/orders_window_export"},
        "warehouse/orders": {"parquet/orders_window_parquet", "loads/orders_initial_load"},
    }


def test_a_table_that_is_only_replaced_has_no_windows(load: Loader) -> None:
    assert lineage(load({"orders": declared("Orders", REPLACE)})) == {
        "dynamodb/orders_table": set(),
        "exports/orders_full_export": {"dynamodb/orders_table"},
        "parquet/orders_full_parquet": {"exports/orders_full_export"},
        "warehouse/orders": {"parquet/orders_full_parquet"},
    }


def test_no_step_has_a_name_that_an_asset_of_others_may_have(load: Loader) -> None:
    @dg.asset
    def chain_orders() -> None: ...

    both = dg.Definitions.merge(load({"orders": declared("Orders")}), dg.Definitions(assets=[chain_orders]))
    names = {node.name for node in both.resolve_implicit_global_asset_job_def().graph.nodes}
    assert {name for name in names if "__" not in name} == {"chain_orders"}


def test_a_declared_list_becomes_relations_of_its_own(load: Loader) -> None:
    nested = REPLACE + "  nested:\n    lineItems: child\n    lineItems[].serials: child\n    tags: json\n"
    graph = load({"orders": declared("Orders", nested)}).resolve_asset_graph()
    children = ["orders__line_items", "orders__line_items__serials"]
    for child in children:
        assert graph.get(asset_key("warehouse", child)).parent_keys == {asset_key("full_parquet", child)}
        assert graph.get(asset_key("full_parquet", child)).parent_keys == {asset_key("full_export", "orders")}
    assert len(graph.get_all_asset_keys()) == 4 + 2 * len(children)


def test_the_assets_of_a_table_are_a_group_with_kinds_owners_and_blocking_checks(
    load: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DDB_ASSETS_WAREHOUSE", "redshift://somewhere")
    owners = REPLACE + "  owners: [team:sales, ann@example.com]\n"
    graph = load({"orders": declared("Orders", owners)}).resolve_asset_graph()
    kinds = {}
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        assert node.group_name == "orders"
        assert list(node.owners) == ["team:sales", "ann@example.com"]
        assert "dagster/code_references" in node.metadata
        kinds[key.path[0]] = node.kinds
    assert kinds == {
        "dynamodb": {"dynamodb"},
        "exports": {"dynamodb", "s3"},
        "parquet": {"s3", "parquet", "polars"},
        "warehouse": {"redshift"},
    }
    blocking = {key.to_user_string() for key in graph.asset_check_keys if graph.get(key).blocking}
    assert blocking >= {
        "exports/orders_full_export:export_verified",
        "parquet/orders_full_parquet:rows_reconcile",
        "warehouse/orders:ledger_explains_rows",
    }


def test_what_is_known_before_anything_runs_is_on_the_definition(
    load: Loader, monkeypatch: pytest.MonkeyPatch, offline: None
) -> None:
    monkeypatch.setenv("DDB_ASSETS_LAKE", "s3://bucket/lake")
    monkeypatch.setenv("DDB_ASSETS_WAREHOUSE", "redshift://loader@host:5439/analytics?schema=shop")
    specs = {spec.key: spec for spec in load({"orders": declared("Orders")}).resolve_all_asset_specs()}
    shown = {stage: specs[asset_key(stage, "orders")] for stage in STAGES}
    assert shown["warehouse"].metadata["dagster/table_name"] == "analytics.shop.orders"
    assert shown["initial_load"].metadata["dagster/table_name"] == "analytics.shop.orders"
    assert shown["full_export"].metadata["dagster/uri"] == "s3://bucket/lake/exports/AWSDynamoDB"
    assert shown["window_parquet"].metadata["dagster/uri"] == "s3://bucket/lake/parquet/orders"
    assert shown["warehouse"].freshness_policy == dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=2))
    assert shown["initial_load"].freshness_policy is None


def test_a_definition_without_settings_loads_and_says_less(load: Loader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DDB_ASSETS_LAKE", raising=False)
    monkeypatch.setenv("DDB_ASSETS_WAREHOUSE", "redshift://nonsense")
    specs = {spec.key: spec for spec in load({"orders": declared("Orders")}).resolve_all_asset_specs()}
    assert "dagster/uri" not in specs[asset_key("full_export", "orders")].metadata
    assert "dagster/table_name" not in specs[asset_key("warehouse", "orders")].metadata


def test_the_code_version_follows_what_decides_the_rows(load: Loader) -> None:
    def version(more: str, stage: Stage = "warehouse") -> str | None:
        specs = load({"orders": declared("Orders", more)}).resolve_all_asset_specs()
        return next(spec.code_version for spec in specs if spec.key == asset_key(stage, "orders"))

    stages: tuple[Stage, ...] = ("full_parquet", "window_parquet", "initial_load", "warehouse")
    for stage in stages:
        assert version("", stage) == version("  owners: [team:sales]\n", stage)
        assert version("", stage) != version("  timestamps: false\n", stage)
        assert version("", stage) != version("  key: id\n", stage)
        changed = version("", stage) != version("  soft_delete: true\n", stage)
        assert changed == (stage in {"initial_load", "warehouse"})
    assert version("", "full_export") is None


def test_imports_and_copies_are_joined_to_the_tables_that_they_fill(load: Loader) -> None:
    source = "  source: s3://bucket/products.csv\n"
    graph = lineage(
        load(
            {
                "orders": declared("Orders"),
                "products": declared("Products"),
                "archive": declared("Orders-archive"),
                "into": f"type: {IMPORT}\nattributes:\n  name: price_list\n  table: Products\n{source}",
                "copy": "type: ddb_assets.components.DynamoDBCopy\nattributes:\n  name: nightly\n  source: Orders\n"
                "  destination: Orders-archive\n",
            }
        )
    )
    assert graph["dynamodb/products_table"] == {"imports/price_list"}
    assert graph["copies/nightly"] == {"dynamodb/orders_table"}
    assert graph["dynamodb/orders_archive_table"] == {"copies/nightly"}


def test_steps_that_share_something_are_in_its_pool(load: Loader) -> None:
    graph = load({"orders": declared("Orders", REPLACE)}).resolve_asset_graph()
    pools = {key.path[0]: graph.get(key).pools for key in graph.get_all_asset_keys()}
    assert pools["exports"] == {"dynamodb_exports"}
    assert pools["warehouse"] == {"warehouse"}


def test_templates_are_filled_in_before_the_contract_counts(load: Loader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORDERS_ARN", "arn:aws:dynamodb:eu-west-1:123456789012:table/Orders-live")
    graph = load({"orders": declared('"{{ env.ORDERS_ARN }}"')}).resolve_asset_graph()
    assert graph.has(dg.AssetKey(["warehouse", "orders_live"]))


def test_a_template_without_its_variable_is_told_with_the_file(load: Loader) -> None:
    with pytest.raises(Exception, match="Error while loading component orders") as refused:
        load({"orders": declared('"{{ env.NOT_THERE_AT_ALL }}"')})
    cause = str(refused.value.__cause__)
    assert "orders" in cause
    assert "table: Input should be a valid string" in cause


@pytest.mark.parametrize(
    ("more", "line", "message"),
    [
        ("  nestd: {}\n", 4, "unknown key; allowed here: table, name,"),
        ("  nested:\n    items: rows\n", 5, "'flatten', 'json' or 'child'"),
    ],
)
def test_a_wrong_yaml_names_file_line_and_what_is_allowed(load: Loader, more: str, line: int, message: str) -> None:
    with pytest.raises(Exception, match="Error while loading component orders") as refused:
        load({"orders": declared("Orders", more)})
    cause = str(refused.value.__cause__)
    assert f"orders/defs.yaml:{line}" in cause
    assert message in cause


def test_two_hundred_tables_load_without_a_connection(load: Loader, offline: None) -> None:
    graph = load(
        {f"t{n}": declared(f"Table{n}", "  nested: {items: child}\n") for n in range(200)}
    ).resolve_asset_graph()
    loaded = {key.path[1] for key in graph.get_all_asset_keys() if key.path[0] == "warehouse"}
    assert loaded == {f"table{n}{child}" for n in range(200) for child in ("", "__items")}


def test_the_scaffolded_file_is_a_contract_and_so_is_each_of_its_comments(tmp_path: Path) -> None:
    folder = tmp_path / "orders"
    folder.mkdir()
    request: dg.ScaffoldRequest[BaseModel] = dg.ScaffoldRequest(
        type_name=TYPE, target_path=folder, scaffold_format="yaml", project_root=None, params=dg.Model()
    )
    TableScaffolder().scaffold(request)
    path = folder / "defs.yaml"
    assert read_table(path).name == "orders"
    path.write_text(re.sub(r"^  # (?!Maps)", "  ", path.read_text(), flags=re.MULTILINE))
    table = read_table(path)
    assert table.nested == {"items": "child", "address": "json"}
    assert table.key
    assert table.key.attributes == ("PK", "SK")
    assert table.export
    assert table.owners


def test_every_field_of_the_contract_is_in_the_scaffolded_file() -> None:
    assert [name for name in DynamoDBTable.get_model_cls().model_fields if f"{name}:" not in COMMENTED_YAML] == []
