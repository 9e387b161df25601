"""The kinds of warehouses: one registry, and nothing outside it that tells them apart."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import ddb_assets
from ddb_assets.infrastructure.wanted import Login
from ddb_assets.warehouse.adapter import Opening
from ddb_assets.warehouse.adapters import ADAPTERS, FORMS
from ddb_assets.warehouse.connect import login, open_warehouse, table_name
from ddb_assets.warehouse.duckdb.connection import DuckDBEngine
from ddb_assets.warehouse.errors import WarehouseError
from ddb_assets.warehouse.protocol import Warehouse
from ddb_assets.warehouse.sql.warehouse import SqlWarehouse
from ddb_assets.warehouse.url import in_iceberg, local_file, reads_s3, warehouse_kind, warehouse_place, warehouse_pool


class Elsewhere:
    """The adapter of a warehouse that the package does not know."""

    scheme = "elsewhere"
    form = "elsewhere://HOST/DATABASE"
    iceberg_tables = False
    cold_tier = False
    schema_is_database = False

    def local_file(self, url: str) -> Path | None:
        return None

    def needs_aws(self, url: str) -> bool:
        return "s3" in url

    def place(self, url: str) -> str:
        return url.removeprefix("elsewhere://").partition("?")[0]

    def table_name(self, url: str, relation: str, schema: str) -> str:
        return f"{self.place(url)}.{schema or 'here'}.{relation}"

    def login(self, url: str) -> Login | None:
        return Login(secret="elsewhere")

    def open(self, url: str, opening: Opening) -> Warehouse:
        assert (url, opening.label) == ("elsewhere://host/db", "x")
        return SqlWarehouse(DuckDBEngine(":memory:"))


def test_an_adapter_in_the_registry_is_all_that_a_warehouse_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    url = "elsewhere://host/db"
    with pytest.raises(WarehouseError, match="not the URL of a warehouse"):
        open_warehouse(url)
    monkeypatch.setitem(ADAPTERS, "elsewhere", Elsewhere())
    with open_warehouse(url, label="x") as opened:
        assert opened.recorded("orders").loads == ()
    assert table_name(url, "orders") == "host/db.here.orders"
    assert login(url) == Login(secret="elsewhere")
    assert (reads_s3(url), reads_s3(f"{url}?s3"), in_iceberg(url), local_file(url)) == (False, True, False, None)
    assert (warehouse_kind(url), warehouse_pool(url)) == ("elsewhere", "warehouse_host_db")
    assert warehouse_place(url, "sales") == "elsewhere://host/db/sales"


def test_every_kind_says_what_its_url_looks_like() -> None:
    for scheme, adapter in ADAPTERS.items():
        assert adapter.form.startswith(f"{scheme}://")
        assert adapter.form in FORMS


def test_what_is_no_warehouse_is_said_before_anything_is_read() -> None:
    for url in ("postgres://me:geheim@host/db", "warehouse.duckdb", "redshift:/x", ""):
        assert (reads_s3(url), in_iceberg(url), warehouse_pool(url)) == (False, False, "warehouse")
        for ask in (local_file, login, open_warehouse):
            with pytest.raises(WarehouseError, match="is not the URL of a warehouse: write duckdb:///FILE") as caught:
                ask(url)
            assert "geheim" not in str(caught.value)


def distinctions(module: Path) -> Iterator[str]:
    """The lines that compare something with the scheme or with the beginning of the URL of a kind of warehouse."""
    tree = ast.parse(module.read_text())
    for node in ast.walk(tree):
        match node:
            case ast.Compare():
                compared = [node.left, *node.comparators]
            case ast.Call(func=ast.Attribute(attr="startswith" | "removeprefix" | "partition")):
                compared = node.args
            case ast.MatchValue():
                compared = [node.value]
            case _:
                continue
        for found in (one for given in compared for one in ast.walk(given)):
            if isinstance(found, ast.Constant) and isinstance(found.value, str) and _names_a_kind(found.value):
                yield f"{module.name}:{node.lineno}"


def _names_a_kind(text: str) -> bool:
    scheme, _, rest = text.partition(":")
    # `lake: iceberg` is the format of the lake's tables of changes
    return scheme in ADAPTERS and rest in ("", "//", "///") and text != "iceberg"


def test_nothing_outside_the_adapters_tells_warehouses_apart(tmp_path: Path) -> None:
    root = Path(ddb_assets.__file__).parent
    adapters = tuple(root / "warehouse" / scheme for scheme in ADAPTERS)
    # the stand-ins of servers, and how the URL of a catalog is read
    own = (*adapters, root / "sandbox", root / "iceberg")
    modules = [path for path in root.rglob("*.py") if not any(path.is_relative_to(folder) for folder in own)]
    assert len(modules) > 400
    assert [line for module in modules for line in distinctions(module)] == []
    telling = tmp_path / "x.py"
    telling.write_text("if url.startswith('redshift://') or kind in ('duckdb', 'x'):\n    pass\n")
    assert list(distinctions(telling)) == ["x.py:1", "x.py:1"]
