"""`forget`: what is left of a table that no YAML declares, on disk and DuckDB, and on S3 and Redshift."""

import uuid
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pytest

from ddb_assets.aws.clients import AWS
from ddb_assets.aws.storage import Storage, join
from ddb_assets.changes.tables import RELATION, TABLE_ARN
from ddb_assets.cli.forget_iceberg import Left
from ddb_assets.cli.sandbox import REAL_ACCOUNT
from ddb_assets.iceberg.catalog import open_catalog
from ddb_assets.iceberg.properties import COLD_OWNER
from ddb_assets.iceberg.url import CatalogUrl
from ddb_assets.sandbox.redshift.server import RedshiftServer
from ddb_assets.settings import ICEBERG, LAKE, STATE, WAREHOUSE
from ddb_assets.warehouse.receipts import leave
from ddb_assets.warehouse.redshift.connection import RedshiftEngine
from ddb_assets.warehouse.redshift.settings import PASSWORD
from ddb_assets_tests.changes.test_append import Log
from ddb_assets_tests.cli.test_commands import answer, call
from ddb_assets_tests.support.engines import select
from ddb_assets_tests.support.loading import load
from ddb_assets_tests.support.written_export import ID, write_export
from ddb_assets_tests.warehouse.cold_store import BUCKET, AgedSource, ColdStore, cold
from ddb_assets_tests.warehouse.conftest import cold_aws, cold_engine, cold_store
from ddb_assets_tests.warehouse.exports import Source
from ddb_assets_tests.warehouse.test_receipts import of

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

__all__ = ["cold_aws", "cold_engine", "cold_store"]  # fixtures
DECLARED = "type: ddb_assets.components.DynamoDBTable\nattributes:\n  table: {}\n"


@dataclass
class World:
    """A lake and a warehouse with one loaded table, Orders, and a project that declares only Customers."""

    storage: Storage
    lake: str
    warehouse: str
    project: Path

    @property
    def arguments(self) -> tuple[str, ...]:
        return ("--warehouse", self.warehouse, "--lake", self.lake, "--project", str(self.project))

    @property
    def parquet(self) -> str:
        return join(self.lake, "parquet/orders/full", ID)

    def fill(self) -> "World":
        source = write_export(self.storage, self.lake)
        call("flatten", source, "--key", "id", "--out", self.parquet)
        schemas = join(self.lake, "schemas")
        call("load", source, "--key", "id", "--warehouse", self.warehouse, "--schemas", schemas)
        leave(self.storage, join(self.lake, "receipts"), of(1))
        return self

    def files(self) -> list[str]:
        return [entry.uri for entry in self.storage.list(self.lake)]

    def left(self) -> set[str]:
        return {uri for uri in self.files() if "/exports/" not in uri}


@pytest.fixture
def other_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    package = tmp_path / f"shop_{uuid.uuid4().hex}"
    (package / "defs/customers").mkdir(parents=True)
    for name in ("__init__.py", "definitions.py"):
        (package / name).touch()
    (package / "defs/customers/defs.yaml").write_text(DECLARED.format("Customers"))
    (tmp_path / "pyproject.toml").write_text(
        f'[tool.dg]\ndirectory_type = "project"\n[tool.dg.project]\nroot_module = "{package.name}"\n'
    )
    monkeypatch.syspath_prepend(tmp_path)
    for name in (LAKE, WAREHOUSE, ICEBERG):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(STATE, str(tmp_path / "state"))
    return package


@pytest.fixture
def on_disk(other_project: Path, tmp_path: Path) -> World:
    return World(Storage(), str(tmp_path / "lake"), f"duckdb:///{tmp_path}/w.duckdb", other_project).fill()


@pytest.fixture
def on_s3(
    other_project: Path,
    redshift: RedshiftServer,
    over_redshift: RedshiftEngine,
    s3: "S3Client",
    monkeypatch: pytest.MonkeyPatch,
) -> World:
    for name in REAL_ACCOUNT:
        monkeypatch.delenv(name, raising=False)
    for name, value in {
        PASSWORD: redshift.password,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": s3.meta.endpoint_url,
    }.items():
        monkeypatch.setenv(name, value)
    bucket = f"forget-{uuid.uuid4().hex}"
    redshift.storage.s3.create_bucket(Bucket=bucket)
    url = f"{redshift.url}?sslmode=disable&staging=s3://staging/copy"
    return World(redshift.storage, f"s3://{bucket}/lake", url, other_project).fill()


def test_it_lists_and_deletes_only_when_it_is_told(on_disk: World) -> None:
    before = on_disk.files()
    listed = answer("forget", "orders", *on_disk.arguments)
    assert listed["deleted"] is False
    assert listed["tables"] == {"orders": 3, "_ddb_tombstones__orders": 0, "_ddb_loads__orders": 2}
    assert listed["files"] == {
        join(on_disk.lake, "parquet/orders"): len([uri for uri in before if "/parquet/" in uri]),
        join(on_disk.lake, "schemas/orders"): 2,
        join(on_disk.lake, "receipts/orders"): 1,
    }
    assert "nothing was deleted: --yes deletes what is listed" in call("forget", "orders", *on_disk.arguments).output
    assert on_disk.files() == before

    said = call("forget", "orders", *on_disk.arguments, "--yes").output
    assert "DynamoDB's exports stay" in said
    assert on_disk.left() == set()
    assert len(on_disk.files()) == len([uri for uri in before if "/exports/" in uri]) > 0
    assert not Path(on_disk.lake, "parquet/orders").exists()
    with duckdb.connect(on_disk.warehouse.removeprefix("duckdb:///")) as file:
        assert file.execute("SELECT table_name FROM information_schema.tables").fetchall() == []
    assert "nothing is left of orders" in call("forget", "orders", *on_disk.arguments, "--yes").output


def test_on_s3_and_redshift_too(on_s3: World, over_redshift: RedshiftEngine) -> None:
    on_s3.storage.write(join(on_s3.lake, "parquet/orders2/full/x/report.json"), b"another table's")
    listed = answer("forget", "orders", *on_s3.arguments, "--yes")
    assert listed["deleted"] is True
    assert listed["tables"].keys() == {"orders", "_ddb_tombstones__orders", "_ddb_loads__orders"}
    assert on_s3.left() == {join(on_s3.lake, "parquet/orders2/full/x/report.json")}
    assert select(over_redshift, "SELECT COUNT(*) FROM pg_class WHERE relname LIKE '%orders%'") == [(0,)]
    assert "nothing is left of orders" in call("forget", "orders", *on_s3.arguments).output


@pytest.mark.parametrize(
    "place", ["parquet/orders/notes.txt", f"parquet/orders/full/{ID}/mine.parquet", "schemas/orders/mine.json"]
)
def test_a_file_of_somebody_else_stops_it_before_anything_is_touched(on_disk: World, place: str) -> None:
    on_disk.storage.write(join(on_disk.lake, place), b"mine")
    before = on_disk.files()
    said = call("forget", "orders", *on_disk.arguments, "--yes", code=1).output
    assert place in said
    assert "files that ddb_assets has not written there" in said
    assert on_disk.files() == before
    assert (
        "orders"
        in answer("forget", "orders", "--schemas", "/none", *on_disk.arguments[:2], *on_disk.arguments[4:])["tables"]
    )


def test_the_parquet_of_another_table_is_not_taken_for_ours(on_disk: World) -> None:
    report = join(on_disk.parquet, "report.json")
    on_disk.storage.write(report, on_disk.storage.read(report).replace(b'"orders"', b'"others"'))
    assert (
        "is of the table others, not of orders" in call("forget", "orders", *on_disk.arguments, "--yes", code=1).output
    )


def test_a_deletion_that_was_cut_off_can_be_ended(on_disk: World, monkeypatch: pytest.MonkeyPatch) -> None:
    delete = Storage.delete

    def broken_off(storage: Storage, uris: list[str]) -> None:
        delete(storage, uris[:2])
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Storage, "delete", broken_off)
        call("forget", "orders", *on_disk.arguments, "--yes", code=1)
    assert on_disk.left()
    call("forget", "orders", *on_disk.arguments, "--yes")
    assert on_disk.left() == set()


def test_a_table_that_is_declared_is_refused(on_disk: World) -> None:
    orders = on_disk.project / "defs/orders"
    orders.mkdir()
    (orders / "defs.yaml").write_text(DECLARED.format("Orders"))
    said = call("forget", "orders", *on_disk.arguments, "--yes", code=1).output
    assert "orders is declared in" in said
    (orders / "defs.yaml").write_text(DECLARED.format("Orders") + "  cadence: 7 min\n")
    said = call("forget", "orders", *on_disk.arguments, "--yes", code=1).output
    assert "defs.yaml:4: cadence" in said.replace("\n", "")
    assert on_disk.left()


def test_nobody_can_say_what_is_declared_where_there_is_no_project(on_disk: World, tmp_path: Path) -> None:
    elsewhere = ("--warehouse", on_disk.warehouse, "--project")
    assert "is not in a Dagster project" in call("forget", "orders", *elsewhere, "/", code=1).output
    (on_disk.project / "defs/customers/defs.yaml").write_text(
        "type: ddb_assets.components.DynamoDBImport\nattributes:\n  name: i\n  table: Orders\n  source: /files/*.csv\n"
    )
    said = call("forget", "orders", *elsewhere, str(on_disk.project), code=1).output
    assert "declares a table, so this is probably the wrong one" in said


@pytest.mark.parametrize("name", ["../orders", "", "Orders", "orders/x"])
def test_what_is_no_name_is_no_path_either(on_disk: World, name: str) -> None:
    assert "is not the name of a contract" in call("forget", name, *on_disk.arguments, "--yes", code=2).output


def test_a_warehouse_that_is_not_there_is_not_made(on_disk: World, tmp_path: Path) -> None:
    arguments = ("--warehouse", f"duckdb:///{tmp_path}/typo.duckdb", *on_disk.arguments[2:])
    assert "there is no DuckDB file" in call("forget", "orders", *arguments, code=1).output
    assert not (tmp_path / "typo.duckdb").exists()


def test_a_warehouse_in_iceberg_is_forgotten_too(other_project: Path, tmp_path: Path) -> None:
    url = f"iceberg:///{tmp_path}/catalog.sqlite"
    world = World(Storage(), str(tmp_path / "lake"), url, other_project).fill()
    with open_catalog(url) as catalog:
        assert ("ddb_assets", "orders") in catalog.list_tables("ddb_assets")
    assert answer("forget", "orders", *world.arguments)["tables"]["orders"] == 3
    call("forget", "orders", *world.arguments, "--yes")
    with open_catalog(url) as catalog:
        assert catalog.list_tables("ddb_assets") == []


def changes(tmp_path: Path) -> str:
    """The catalog with the tables of changes of a table of this name and its list."""
    log, source = Log(tmp_path), Source(tmp_path / "changed")
    source.put(1, "a", "first", "x", "y")
    log.append(source.full(10))
    log.close()
    return f"iceberg:///{log.url.file}"


def test_the_tables_of_changes_go_with_their_files(on_disk: World, tmp_path: Path) -> None:
    url = changes(tmp_path)
    arguments = ("forget", "orders", *on_disk.arguments, "--iceberg", url)
    assert answer(*arguments)["iceberg_tables"] == {"orders__lines__changes": 2, "orders__changes": 1}
    assert "orders__lines__changes" in call(*arguments).output
    with open_catalog(url) as catalog:
        place = Path(catalog.load_table("ddb_assets.orders__changes").location())
        assert len(catalog.list_tables("ddb_assets")) == 2
    assert list(place.rglob("*.parquet"))
    call(*arguments, "--yes")
    with open_catalog(url) as catalog:
        assert catalog.list_tables("ddb_assets") == []
    assert not [path for path in place.rglob("*") if path.is_file()]
    assert on_disk.left() == set()


def test_an_iceberg_table_of_somebody_else_stops_it(on_disk: World, tmp_path: Path) -> None:
    url, before = changes(tmp_path), on_disk.files()
    with open_catalog(url) as catalog, catalog.load_table("ddb_assets.orders__changes").transaction() as change:
        change.set_properties({RELATION: "others"})
    said = call("forget", "orders", *on_disk.arguments, "--iceberg", url, "--yes", code=1).output
    assert "is no table of the changes of orders: rename it" in said
    assert on_disk.files() == before
    with open_catalog(url) as catalog:
        assert len(catalog.list_tables("ddb_assets")) == 2
        with catalog.load_table("ddb_assets.orders__changes").transaction() as change:
            change.set_properties({RELATION: "orders"})
        with catalog.load_table("ddb_assets.orders__lines__changes").transaction() as change:
            change.set_properties({TABLE_ARN: "arn:aws:dynamodb:eu-west-1:123456789012:table/Other"})
    assert answer("forget", "orders", *on_disk.arguments, "--iceberg", url)["iceberg_tables"] == {"orders__changes": 1}


def test_a_folder_with_files_of_another_table_stops_it(on_disk: World, tmp_path: Path) -> None:
    url, before = changes(tmp_path), on_disk.files()
    with open_catalog(url) as catalog, open_catalog(f"iceberg:///{tmp_path}/other.sqlite") as other:
        table = catalog.load_table("ddb_assets.orders__changes")
        other.create_table("ddb_assets.orders__changes", table.schema(), location=table.location())
        said = call("forget", "orders", *on_disk.arguments, "--iceberg", url, "--yes", code=1).output
        assert "there is of another table, so no file can be deleted" in said
        assert table.refresh().scan().count() == 1
    assert on_disk.files() == before


def test_the_cold_tier_goes_with_its_warehouse(
    other_project: Path,
    cold_store: ColdStore,
    cold_engine: RedshiftEngine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = AgedSource(tmp_path / "parquet")
    source.put(1, "a", "500 first", "x", "y")
    load(cold_engine, source.full(10))
    cold_store.move(cold_engine)
    warehouse = f"{cold_store.server.url}?sslmode=disable&staging=s3://staging/copy"
    places = ("--warehouse", warehouse, "--lake", f"s3://{BUCKET}/lake", "--project", str(other_project))
    arguments = ("forget", "orders", *places)
    assert "has a cold tier" in call(*arguments).output
    assert "name the catalog of its Iceberg tables" in call(*arguments, "--yes", code=1).output
    monkeypatch.setenv(ICEBERG, cold_store.catalog)
    assert answer(*arguments)["iceberg_tables"] == {"orders__lines__cold": 2, "orders__cold": 1}
    with cold_store.table() as table, table.transaction() as change:
        owner = table.properties[COLD_OWNER]
        change.set_properties({COLD_OWNER: "another"})
    assert "has no cold rows of this warehouse" in call(*arguments, "--yes", code=1).output
    assert cold_store.stored() == [("a", 1)]
    with cold_store.table() as table, table.transaction() as change:
        change.set_properties({COLD_OWNER: owner})

    def stopped(left: Left, names: Collection[str], aws: AWS) -> None:
        drop(left, list(names)[:1], aws)
        raise KeyboardInterrupt

    drop = Left.drop
    with monkeypatch.context() as patch:
        patch.setattr(Left, "drop", stopped)
        call(*arguments, "--yes", code=1)
    assert answer(*arguments)["iceberg_tables"] == {"orders__lines__cold": 2}
    assert cold(cold_engine) == {"a"}  # the warehouse still says whose the other one is
    call(*arguments, "--yes")
    with open_catalog(cold_store.catalog, cold_store.aws) as catalog:
        assert catalog.list_tables(CatalogUrl.parse(cold_store.catalog).namespace) == []
    assert "nothing is left of orders" in call(*arguments).output
