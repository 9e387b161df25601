"""`plan` as a shell sees it: a table on the sandbox, its lake and a warehouse file, and changes of its contract."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from ddb_assets.aws.clients import AWS
from ddb_assets.aws.table import describe_table
from ddb_assets.cli.sandbox import REAL_ACCOUNT, environment
from ddb_assets.contract.contract_yaml import read_table
from ddb_assets.sandbox.server import Sandbox
from ddb_assets.settings import LAKE, WAREHOUSE
from ddb_assets.warehouse.duckdb.connection import DuckDBEngine
from ddb_assets_tests.cli.test_commands import answer, call
from ddb_assets_tests.planning.oracle import World

BUCKET = "plan-lake"
SCHEMAS = f"s3://{BUCKET}/lake/schemas"


@dataclass
class Place:
    """A table that is loaded by a contract; `world` loads more of it."""

    folder: Path
    sandbox: Sandbox

    @property
    def file(self) -> Path:
        return self.folder / "w.duckdb"

    def contract(self, **attributes: Any) -> str:
        """The file of a contract."""
        path = self.folder / "defs.yaml"
        declared = {"type": "ddb_assets.components.DynamoDBTable", "attributes": {"table": "Orders", **attributes}}
        path.write_text(yaml.safe_dump(declared))
        return str(path)

    def load(self, *ways: Any, **attributes: Any) -> None:
        """Loads the table by a contract."""
        table, aws = read_table(Path(self.contract(**attributes))), AWS()
        found = describe_table(aws.dynamodb("Orders"), "Orders")
        with DuckDBEngine(self.file) as engine:
            world = World(self.folder, engine, "id", aws.storage(), SCHEMAS, found.arn, str(found.id))
            for way in ways:
                world.load(table, way)

    def content(self) -> dict[str, str]:
        """Every object of the lake, and the warehouse's file."""
        listed = self.sandbox.s3().list_objects_v2(Bucket=BUCKET).get("Contents", [])
        files = {path.name: path.read_bytes() for path in self.folder.glob("w.duckdb*")}
        return {one["Key"]: f"{one['ETag']} {one['LastModified']}" for one in listed} | {
            name: hashlib.sha256(data).hexdigest() for name, data in files.items()
        }


@pytest.fixture(scope="module")
def opened() -> Iterator[Sandbox]:
    with Sandbox(export_delay=timedelta(0)) as sandbox:
        sandbox.s3().create_bucket(Bucket=BUCKET)
        sandbox.dynamodb().create_table(
            TableName="Orders",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        yield sandbox


@pytest.fixture
def place(opened: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    for name in REAL_ACCOUNT:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment(opened).items():
        monkeypatch.setenv(name, value)
    for one in opened.s3().list_objects_v2(Bucket=BUCKET).get("Contents", []):
        opened.s3().delete_object(Bucket=BUCKET, Key=one["Key"])
    made = Place(tmp_path, opened)
    monkeypatch.setenv(LAKE, f"s3://{BUCKET}/lake")
    monkeypatch.setenv(WAREHOUSE, f"duckdb:///{made.file}")
    return made


def planned(place: Place, code: int = 0, **attributes: Any) -> Any:
    """The plan of the one table, as JSON; nothing may be written for it."""
    before = place.content()
    said = json.loads(call("plan", "--config", place.contract(**attributes), "--json", code=code).stdout)
    assert place.content() == before
    assert said["needs_a_person"] is bool(code)
    return said["tables"][0]


def test_a_table_that_was_never_loaded(place: Place) -> None:
    plan = planned(place)
    assert (plan["next"], plan["statements"], plan["columns"]) == ("full", [], [])
    assert plan["depends_on_items"][0]["why"].startswith("no schema document counts")
    assert plan["todo"].startswith("load it for the first time: materialize exports/orders_full_export")
    assert plan["commands"][0].startswith("dg launch --assets")
    assert not place.file.exists()


def test_a_stream_beside_windows_brings_a_live_view(place: Place) -> None:
    place.load("full")
    assert planned(place)["new_live_view"] == ""
    plan = planned(place, stream="orders-cdc")
    assert (plan["new_live_view"], plan["changes_nothing"], plan["next"]) == ("orders_live", False, "window")
    said = call("plan", "--config", place.contract(stream="orders-cdc")).output
    assert "stream: its next read creates the view orders_live, and the tables beside it" in said


def test_what_a_change_of_the_contract_does(place: Place) -> None:
    place.load("full", "window", "window")
    same = planned(place)
    assert same["changes_nothing"]
    assert call("plan", "--config", place.contract()).output.startswith("orders: Orders\n  no changes\n")
    plan = planned(
        place,
        columns={"t": {"mask": "sha256"}, "n": {"type": "DECIMAL(20,2)"}},
        warehouse={"views": "people"},
        soft_delete=True,
        cadence="6 h",
    )
    assert (plan["next"], plan["refused"], plan["commands"]) == ("window", [], [])
    changes = {(one["column"], one["how"], one["now"], one["then"]) for one in plan["columns"]}
    assert changes == {("n", "widened", "BIGINT", "DECIMAL(21,2)"), ("_ddb_deleted_at", "added", None, "TIMESTAMP")}
    assert plan["views"] == ["people.orders"]
    assert plan["old_rows"] == [
        "t is hidden now (sha256): in older rows, it and _ddb_extra are NULL; a new full export fills them"
    ]
    assert plan["cadence"]["was_seconds"] == 3600
    assert plan["cadence"]["then_seconds"] == 6 * 3600
    assert plan["cadence"]["exports_a_month"] == [720, 120]
    printed = call("plan", "--config", place.contract(cadence="6 h")).output
    assert "  cadence: windows were 1 h long (720 exports a month), now 6 h (120); the first: 2023-" in printed
    assert plan["other_contract"]
    assert plan["all_items"]["usd"] >= 0
    printed = call("plan", "--config", place.contract(warehouse={"views": "people"}), "--sql").output
    assert '\n    CREATE SCHEMA IF NOT EXISTS "people";\n' in printed
    assert "  view people.orders is created or replaced\n" in printed


def test_a_json_column_that_becomes_columns(place: Place) -> None:
    place.load("full", nested={"m": "json"})
    plan = planned(place, 1, nested={"m": "flatten"})
    assert plan["next"] == "full"
    (refused,) = plan["refused"]
    assert refused["load"] == "window"
    assert "its values are JSON in column m" in refused["reason"]
    assert "ddb-assets plan" not in refused["reason"]
    (unknown,) = plan["depends_on_items"]
    assert unknown["path"] == "m"
    assert unknown["why"] == "its columns come with the items; seen there so far: a, k"
    assert dict(unknown["likely"]) == {"m__a": "VARCHAR(16)", "m__k__z": "BIGINT"}
    printed = call("plan", "--config", place.contract(nested={"m": "flatten"}), code=1).output
    assert "  what to do: load a full export first: materialize exports/orders_full_export" in printed
    assert "    by the newest profile: m__a VARCHAR(16), m__k__z BIGINT\n" in printed
    assert "1 tables: 1 would change, 1 need a person. Nothing was changed.\n" in printed


def test_a_table_that_must_start_over(place: Place) -> None:
    place.load("full")
    plan = planned(place, 1, columns={"id": {"mask": "sha256"}})
    assert plan["next"] == "restart"
    assert [one["load"] for one in plan["refused"]] == ["window", "full"]
    assert "key attribute 'id' had no mask, now it has mask: sha256" in plan["refused"][0]["reason"]
    assert plan["todo"].startswith("start the table over with a full export")
    assert '"restart": true' in plan["commands"][0]
    printed = call("plan", "--config", place.contract(columns={"id": {"mask": "sha256"}}), code=1).output
    assert "\n  the table must start over\n  refused (windows, full loads): the stored schema" in printed
    assert 'DELETE FROM "main"."orders"' in plan["statements"]


def test_another_name_is_a_table_of_its_own(place: Place) -> None:
    place.load("full")
    plan = planned(place, name="sales")
    assert (plan["next"], plan["other_names"]) == ("full", ["orders"])


def test_no_load_would_be_taken_without_the_secret(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DDB_ASSETS_MASK_SECRET", raising=False)
    place.load("full")
    plan = planned(place, 1, columns={"t": {"mask": "hmac"}})
    assert plan["next"] is None
    assert all("DDB_ASSETS_MASK_SECRET is not set" in one["reason"] for one in plan["refused"])


def test_a_place_that_does_not_answer_is_no_refusal(place: Place) -> None:
    place.load("full")
    place.file.write_text("no database")
    plan = planned(place, 1)
    assert (plan["next"], plan["refused"]) == (None, [])
    assert "w.duckdb" in plan["not_asked"]["warehouse"]


def test_wrong_calls(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(LAKE)
    assert "compares with the schema documents" in " ".join(
        call("plan", "--config", place.contract(), code=2).output.split()
    )
    assert (
        answer("plan", "--config", place.contract(), "--lake", f"s3://{BUCKET}/lake")["tables"][0]["name"] == "orders"
    )
