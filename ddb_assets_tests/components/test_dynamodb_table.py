"""From a few lines of YAML to a table's assets, as Dagster itself loads them."""

import re
import socket
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition
from dagster._utils.error import serializable_error_info_from_exc_info
from pydantic import BaseModel

from ddb_assets.components.dynamodb_table import COMMENTED_YAML, TableScaffolder, TableYaml
from ddb_assets.contract.contract_yaml import ConfigError, read_table
from ddb_assets.contract.stages import Stage
from ddb_assets.definitions import build_defs
from ddb_assets.orchestration.metadata import asset_key

PROJECT = '[tool.dg]\ndirectory_type = "project"\n[tool.dg.project]\nroot_module = "{}"\n'
TYPE = "ddb_assets.components.DynamoDBTable"
IMPORT = "ddb_assets.components.DynamoDBImport"
COPY = "ddb_assets.components.DynamoDBCopy"

REPLACE = "  load: replace\n"
STAGES: tuple[Stage, ...] = ("full_export", "window_parquet", "initial_load", "warehouse")

Loader = Callable[[dict[str, str]], dg.Definitions]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Loader:
    """Loads a dg project with these files in its defs folder, as a deployment does."""

    def loaded(files: dict[str, str]) -> dg.Definitions:
        package = tmp_path / f"project_{uuid.uuid4().hex}"  # another name each time, because Python caches modules
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
    """Makes every connection fail."""

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
        "status/orders_status": {"warehouse/orders"},
    }


def test_a_table_that_is_only_replaced_has_no_windows(load: Loader) -> None:
    assert lineage(load({"orders": declared("Orders", REPLACE)})) == {
        "dynamodb/orders_table": set(),
        "exports/orders_full_export": {"dynamodb/orders_table"},
        "parquet/orders_full_parquet": {"exports/orders_full_export"},
        "warehouse/orders": {"parquet/orders_full_parquet"},
        "status/orders_status": {"warehouse/orders"},
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
    assert len(graph.get_all_asset_keys()) == 5 + 2 * len(children)


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
        "parquet": {"s3", "parquet"},
        "warehouse": {"redshift"},
        "status": set(),
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


@pytest.mark.slow
def test_the_code_version_follows_what_decides_the_rows(load: Loader) -> None:
    def versions(more: str = "") -> dict[dg.AssetKey, str | None]:
        specs = load({"orders": declared("Orders", more)}).resolve_all_asset_specs()
        return {spec.key: spec.code_version for spec in specs}

    plain, owned = versions(), versions("  owners: [team:sales]\n")
    untimed, keyed, soft = (versions(f"  {said}\n") for said in ("timestamps: false", "key: id", "soft_delete: true"))
    stages: tuple[Stage, ...] = ("full_parquet", "window_parquet", "initial_load", "warehouse")
    for stage in stages:
        key = asset_key(stage, "orders")
        assert plain[key] == owned[key]
        assert plain[key] != untimed[key]
        assert plain[key] != keyed[key]
        assert (plain[key] != soft[key]) == (stage in {"initial_load", "warehouse"})
    assert plain[asset_key("full_export", "orders")] is None


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


ENV = "{{ env.NOT_THERE_AT_ALL }}"
MISTAKES = [
    ("Orders", "  nestd: {}\n", r":4: nestd: unknown key; allowed here: table, name,"),
    ("Orders", "  nested:\n    items: rows\n", r":5: nested.items: Input should be 'flatten', 'json' or 'child'"),
    ("Orders", "  columns:\n    a:\n      tpe: TEXT\n", r":6: columns.a.tpe: unknown key; allowed here: rename, type,"),
    ("Orders", "  max_depth: many\n", r":4: max_depth: Input should be a valid integer"),
    ("Orders", "  cadence: 7 min\n", r":4: cadence: cadence '7 min' is not possible: choose 15 min,"),
    ("Orders", "  owners: [nobody]\n", r":4: owners.0: owner 'nobody' must be an e-mail address or team:<name>"),
    ("Orders", "  translation: {grop_name: x}\n", r":4: translation.* Extra inputs are not permitted"),
    (f'"{ENV}"', "", rf":3: table: Input should be a valid string \(from {ENV}: is the environment variable set\?\)"),
    ('"{{ envi.TABLE }}"', "", r":3 - attributes.table(.|\n)*'envi' not found in scope"),
]


@pytest.mark.parametrize(("table", "more", "message"), MISTAKES)
def test_a_mistake_is_one_message_with_file_line_and_key(load: Loader, table: str, more: str, message: str) -> None:
    with pytest.raises(ConfigError, match=f"orders/defs.yaml{message}") as refused:
        load({"orders": declared(table, more)})
    shown = serializable_error_info_from_exc_info((refused.type, refused.value, refused.tb))
    assert (shown.cause, shown.context) == (None, None)
    assert "pydantic" not in shown.message


def test_every_mistake_of_a_file_is_named_at_once(load: Loader) -> None:
    with pytest.raises(ConfigError) as refused:
        load({"orders": declared("Orders", "  max_depth: many\n  load: upsrt\n")})
    assert [line.partition("orders/defs.yaml")[2][:12] for line in str(refused.value).splitlines()] == [
        ":4: max_dept",
        ":5: load: In",
    ]


@pytest.mark.parametrize(
    ("type_", "attributes", "message"),
    [
        (IMPORT, "  name: i\n  table: Orders\n  source: /a.csv\n  mode: puut\n", ":6: mode: Input should be 'put'"),
        (COPY, "  name: c\n  source: A\n  destination: B\n  verify: some\n", ":6: verify: .*neither a number"),
        (COPY, "  name: c\n  source: A\n  destination: B\n  to: B\n", ":6: to: Extra inputs are not permitted"),
    ],
)
def test_so_is_one_of_an_import_or_a_copy(load: Loader, type_: str, attributes: str, message: str) -> None:
    with pytest.raises(ConfigError, match=f"other/defs.yaml{message}"):
        load({"other": f"type: {type_}\nattributes:\n{attributes}"})


def test_what_is_wrong_with_two_files_together_is_one_message_too(load: Loader) -> None:
    with pytest.raises(ConfigError, match="would have one name in the warehouse, orders") as refused:
        load({"orders": declared("Orders"), "others": declared("Others", "  name: orders\n")})
    assert refused.value.__cause__ is None


def switches(definitions: dg.Definitions) -> dict[str, str]:
    repository = definitions.get_repository_def()
    found = {made.name: made.default_status.value for made in repository.schedule_defs}
    return found | {made.name: made.default_status.value for made in repository.sensor_defs}


def test_nothing_runs_by_itself_until_somebody_says_so(load: Loader) -> None:
    files = {"orders": declared("Orders"), "events": declared("Events"), "rates": declared("Rates", REPLACE)}
    names = {"orders_windows", "events_windows", "rates_full_exports", "ddb_assets_exports", "ddb_assets_automation"}
    assert switches(load(files)) == dict.fromkeys(names, "STOPPED")


def test_one_setting_switches_on_what_all_tables_have(load: Loader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DDB_ASSETS_AUTOMATION", "on")
    files = {"orders": declared("Orders"), "events": declared("Events"), "rates": declared("Rates", REPLACE)}
    on = switches(load(files))
    assert len(on) == 5
    assert set(on.values()) == {"RUNNING"}


def test_a_setting_that_is_neither_is_an_error(load: Loader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DDB_ASSETS_AUTOMATION", "yes")
    with pytest.raises(ConfigError, match="DDB_ASSETS_AUTOMATION is 'yes': write on, or off"):
        load({"orders": declared("Orders")})


def test_the_ui_shows_selections_and_conditions_in_words(load: Loader) -> None:
    """A selection that cannot be written as Dagster's selection syntax is shown as Python there."""
    files = {"orders": declared("Orders", "  nested: {items: child}\n"), "rates": declared("Rates", REPLACE)}
    repository = load(files).get_repository_def()
    for sensor in repository.sensor_defs:
        assert sensor.asset_selection
        assert str(sensor.asset_selection & dg.AssetSelection.all()).startswith('(key:"')
    (job,) = [job for job in repository.get_all_jobs() if job.name == "ddb_assets_initial_load"]
    assert job.description
    for schedule in repository.schedule_defs:
        assert isinstance(schedule.target.resolvable_to_job, UnresolvedAssetJobDefinition)
        assert 'key:"' in str(schedule.target.resolvable_to_job.selection)
    automated = repository.get_sensor_def("ddb_assets_automation").asset_selection
    assert automated
    graph = repository.asset_graph
    assert automated.resolve(graph) == graph.materializable_asset_keys
    assert automated.resolve_checks(graph) == graph.asset_check_keys
    condition = graph.get(asset_key("warehouse", "orders")).automation_condition
    assert condition
    assert condition.get_label() == "as_parquet_passes"
    labels = [part.get_label() for part in condition.children]
    assert labels == [None, "of_the_last_35_days", None, "all_sources_ready"]
    assert [part.get_label() for part in condition.children[0].children] == ["parquet_is_new", "missing_on_the_hour"]
    assert graph.get(asset_key("warehouse", "orders__items")).automation_condition is None


@pytest.mark.slow
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
    scaffolded = read_table(path)
    assert scaffolded.name == "orders"
    assert abs(scaffolded.start - datetime.now(UTC).date()) <= timedelta(days=1)
    path.write_text(re.sub(r"^  # (?!Maps)", "  ", path.read_text(), flags=re.MULTILINE))
    table = read_table(path)
    assert table.nested == {"items": "child", "address": "json"}
    assert table.key
    assert table.key.attributes == ("PK", "SK")
    assert table.export
    assert table.owners


def test_every_field_of_the_contract_is_in_the_scaffolded_file() -> None:
    names = [field.alias or name for name, field in TableYaml.model_fields.items()]
    assert [name for name in names if f"{name}:" not in COMMENTED_YAML] == []
