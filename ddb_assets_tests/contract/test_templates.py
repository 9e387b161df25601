"""Templates in a contract's YAML mean to the command line what they mean to Dagster."""

import uuid
from pathlib import Path

import dagster as dg
import pytest

from ddb_assets.components.dynamodb_table import DynamoDBTable
from ddb_assets.contract.contract_yaml import read_table
from ddb_assets.contract.table import Table
from ddb_assets.contract.templates import TemplateError

TYPE = "ddb_assets.components.DynamoDBTable"


PROJECT = '[tool.dg]\ndirectory_type = "project"\n\n[tool.dg.project]\nroot_module = "{}"\n'


def written(folder: Path, attributes: str) -> Path:
    path = folder / "defs.yaml"
    path.write_text(f"type: {TYPE}\nattributes:\n{attributes}")
    return path


def read_by_dagster(folder: Path, attributes: str) -> Table:
    """The table of a project that has this contract only."""
    package = folder / f"project_{uuid.uuid4().hex}"
    (package / "defs/shop").mkdir(parents=True)
    (folder / "pyproject.toml").write_text(PROJECT.format(package.name))
    written(package / "defs/shop", attributes)
    for name in ("__init__.py", "definitions.py"):
        (package / name).touch()
    (found,) = dg.ComponentTree.for_project(package).get_all_components(of_type=DynamoDBTable)
    return found.table


@pytest.mark.parametrize(
    "attributes",
    [
        "  table: '{{ env.SHOP_TABLE }}'\n",
        "  table: shop-{{ env('SHOP_STAGE', 'dev') }}\n  start: \"{{ env('SHOP_START', '2026-02-01') }}\"\n",
        "  table: Orders\n  max_depth: '{{ env.SHOP_DEPTH }}'\n  nested: {items: \"{{ env('SHOP_NESTED') }}\"}\n",
        "  table: Orders\n  soft_delete: \"{{ env('SHOP_SOFT', 'x') == 'x' }}\"\n",
        "  table: Orders\n  name: '{{ env.SHOP_NOT_SET }}'\n",
        "  table: Orders\n  export: {bucket: my-bucket, prefix: p, bucket_owner: '123456789012'}\n",
        "  table: Orders\n  export: {bucket: my-bucket, prefix: p, bucket_owner: '{{ env.SHOP_ACCOUNT }}'}\n",
        "  table: '12345'\n  name: orders\n  warehouse: {sortkey: ['1e5']}\n",
        "  table: 'Orders{# the first one #}'\n",
    ],
)
def test_both_read_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, attributes: str) -> None:
    for name, value in {
        "SHOP_TABLE": "Shop",
        "SHOP_DEPTH": "3",
        "SHOP_NESTED": "child",
        "SHOP_ACCOUNT": "123456789012",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.syspath_prepend(tmp_path)
    assert read_table(written(tmp_path, attributes)) == read_by_dagster(tmp_path, attributes)


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{{ env('SHOP_NOT_SET') }}", "SHOP_NOT_SET is not set; set it, or give a default"),
        ("{{ project.name }}", "the command line knows only env.NAME"),
        ("{{ project_name }}", "the command line knows only env.NAME"),
        ("{{ env.NAME", "unexpected end of template"),
        ("{{ ['a', 'b'] }}", "gives a list, not one value"),
        ("{{ env.__class__.__mro__ }}", "is unsafe"),
    ],
)
def test_what_cannot_be_filled_in_names_file_and_line(tmp_path: Path, template: str, said: str) -> None:
    path = written(tmp_path, f'  table: Orders\n  name: "{template}"\n')
    with pytest.raises(TemplateError, match=r"defs\.yaml:4: ") as caught:
        read_table(path)
    assert said in str(caught.value)
