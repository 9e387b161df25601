"""What is found when places differ, case by case: every code, and what must not be taken for it."""

import json
import re
import shlex
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import dagster as dg
import pytest

from ddb_assets.cli import main
from ddb_assets.contract.table import Table
from ddb_assets.status import remedies
from ddb_assets.status.codes import NOTES, Code
from ddb_assets.status.findings import findings
from ddb_assets.status.numbers import numbers
from ddb_assets.status.pictures import (
    DagsterSays,
    DynamoDBSays,
    Kept,
    LakeSays,
    Pictures,
    SchemaSays,
    Silent,
    StreamSays,
    WarehouseSays,
)
from ddb_assets.warehouse.receipts import Receipt
from ddb_assets.warehouse.results import Load, Recorded
from ddb_assets_tests.status.standing import ORDERS

NOW = datetime(2026, 5, 4, 12, 30, tzinfo=UTC)
LEDGER = "0" * 16
FAILED = Silent("no answer", failed=True)


def hour(number: float) -> datetime:
    return NOW.replace(minute=0) + timedelta(hours=number)


def load(number: int, **more: Any) -> Load:
    """The load of the window that ended `5 - number` hours ago; 1 is the initial load."""
    times: dict[str, Any] = {"from_time": hour(number - 6), "to_time": hour(number - 5)}
    if number == 1:
        times = {"export_time": hour(-4)}
    made = Load(
        sequence=number,
        export_id=f"e{number}",
        export_type="FULL_EXPORT" if number == 1 else "INCREMENTAL_EXPORT",
        table_arn="arn",
        table_id="t",
        loaded_at=hour(number - 4.5),
        schema_version=2,
        load_id=f"{number:016x}",
        ledger_id=LEDGER,
        **times,
    )
    return replace(made, **more)


def receipt(number: int, **more: Any) -> Receipt:
    one = load(number)
    made = Receipt(
        table="orders",
        table_id="t",
        ledger_id=LEDGER,
        load_id=str(one.load_id),
        sequence=number,
        export_id=one.export_id,
        export_type=one.export_type,
        export_time=one.export_time,
        from_time=one.from_time,
        to_time=one.to_time,
        loaded_at=one.loaded_at or NOW,
        warehouse="here",
        folder="s3://b/f",
    )
    return made.model_copy(update=more)


ALL = tuple(load(number) for number in range(1, 6))
KEYS = frozenset(ORDERS.windows.key(ORDERS.windows.window_at(one.from_time)) for one in ALL if one.from_time)
WAREHOUSE = WarehouseSays("here", Recorded(ALL, {}, {"orders": 5}), frozenset({"orders"}))
LAKE = LakeSays("s3://b", SchemaSays(2, "s"), receipts=True, kept=(Kept(ALL[0], "f", True, True, "s"),), windows=4)
DYNAMODB = DynamoDBSays("t", True, hour(-400), hour(0), hour(0))
DAGSTER = DagsterSays((hour(-4), "e1", "t"), KEYS, KEYS, KEYS)
WHOLE = Pictures(NOW, WAREHOUSE, LAKE, DYNAMODB, DAGSTER)


def ledger(*loads: Load, **more: Any) -> WarehouseSays:
    return replace(WAREHOUSE, recorded=Recorded(loads, {}, {"orders": 5}), **more)


EMPTY = ledger(there=frozenset())
UNKNOWN = DagsterSays()

CASES: dict[Code, Pictures] = {
    "warehouse_unreachable": replace(WHOLE, warehouse=FAILED),
    "lake_unreachable": replace(WHOLE, lake=FAILED),
    "dynamodb_unreachable": replace(WHOLE, dynamodb=FAILED),
    "dagster_unreachable": replace(WHOLE, dagster=FAILED),
    "stream_unreachable": replace(WHOLE, stream=FAILED),
    "never_loaded": replace(WHOLE, warehouse=EMPTY, dagster=UNKNOWN),
    "loaded_elsewhere": replace(
        WHOLE, warehouse=EMPTY, dagster=UNKNOWN, lake=replace(LAKE, elsewhere=(receipt(5, warehouse="there"),))
    ),
    "warehouse_lost": replace(WHOLE, warehouse=EMPTY, dagster=UNKNOWN, lake=replace(LAKE, lost=(receipt(5),))),
    "warehouse_restored": replace(WHOLE, warehouse=ledger(*ALL[:4]), lake=replace(LAKE, lost=(receipt(5),))),
    "ledger_lost": replace(WHOLE, warehouse=ledger()),
    "name_taken": replace(WHOLE, warehouse=ledger(ours=False)),
    "table_dropped": replace(WHOLE, warehouse=replace(WAREHOUSE, recorded=Recorded(ALL, {"orders": (5, None)}))),
    "rows_changed": replace(WHOLE, warehouse=replace(WAREHOUSE, recorded=Recorded(ALL, {"orders": (5, 4)}))),
    "dagster_lost": replace(WHOLE, dagster=UNKNOWN),
    "dagster_behind": replace(WHOLE, dagster=replace(DAGSTER, loaded=KEYS - {max(KEYS)})),
    "lake_lost": replace(WHOLE, lake=LakeSays("s3://b", None)),
    "parquet_lost": replace(WHOLE, lake=replace(LAKE, kept=(Kept(ALL[0], "f", False, True),))),
    "parquet_incomplete": replace(WHOLE, lake=replace(LAKE, without_parquet=("2026-05-04T0800Z",))),
    "schemas_lost": replace(WHOLE, lake=replace(LAKE, schema=None)),
    "schemas_replaced": replace(WHOLE, lake=replace(LAKE, schema=SchemaSays(2, "other"))),
    "schemas_unreadable": replace(WHOLE, lake=replace(LAKE, schema=Silent("it is damaged", failed=True))),
    "table_deleted": replace(WHOLE, dynamodb=DynamoDBSays(None)),
    "table_recreated": replace(WHOLE, dynamodb=replace(DYNAMODB, table_id="other")),
    "recovery_off": replace(WHOLE, dynamodb=DynamoDBSays("t", recovery=False)),
    "history_gone": replace(WHOLE, dynamodb=replace(DYNAMODB, earliest=hour(0.25))),
    "gap_too_short": replace(WHOLE, warehouse=ledger(*ALL[:4], load(5, from_time=hour(-0.9), to_time=hour(23.1)))),
    "windows_missing": replace(WHOLE, warehouse=ledger(*ALL[:3]), dagster=replace(DAGSTER, loaded=KEYS - {max(KEYS)})),
    "stale": replace(WHOLE, now=NOW + timedelta(hours=40)),
    "stream_gap": replace(WHOLE, stream=StreamSays("s", NOW, "records expired")),
    "stream_lost": replace(WHOLE, stream=StreamSays("s", NOW, "records expired")),
    "quarantined": replace(WHOLE, warehouse=ledger(*ALL[:4], load(5, quarantined=3))),
}
REPLACED = Table(table="Orders", load="replace", cadence="daily")
STREAMED = Table.model_validate({"table": "Orders", "source": "stream", "stream": "s"})


def codes(seen: Pictures, table: Table = ORDERS) -> list[Code]:
    return [one.code for one in findings(table, seen)]


def test_a_whole_table_has_nothing() -> None:
    assert codes(WHOLE) == []
    assert numbers(ORDERS, WHOLE).windows_behind == 0


@pytest.mark.parametrize("code", get_args(Code))
def test_each_code_is_found_and_says_what_to_do(code: Code) -> None:
    table = {"stale": REPLACED, "stream_lost": STREAMED}.get(code, ORDERS)
    found = {one.code: one for one in findings(table, CASES[code])}
    assert code in found
    beside = {"loaded_elsewhere": {"never_loaded"}}
    assert found.keys() - {code} == beside.get(code, set())
    one = found[code]
    assert one.needs_a_person == (code not in NOTES)
    helpless = {"name_taken", "table_deleted", "stream_lost", "schemas_unreadable"}  # the text says what to do
    if one.needs_a_person and not code.endswith("_unreachable") and code not in helpless:
        assert one.command


def test_the_page_explains_every_code(pytestconfig: pytest.Config) -> None:
    page = (pytestconfig.rootpath / "docs/recovery.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| (.+?) \|$", page, re.MULTILINE)
    assert [code for code, _, _ in rows] == list(get_args(Code))
    assert {code for code, _, todo in rows if todo.startswith("nothing")} == NOTES


@pytest.mark.parametrize(
    "lost",
    [
        receipt(3, export_id="a", load_id="f" * 16),  # its window was loaded again from another export
        receipt(1, export_id="b", export_time=hour(-1), load_id="f" * 16),  # a full export that windows have reached
    ],
)
def test_a_lost_load_that_others_make_up_for_is_not_told(lost: Receipt) -> None:
    assert codes(replace(WHOLE, lake=replace(LAKE, lost=(lost,)))) == []


def test_a_newer_initial_load_that_only_dagster_knows_is_a_restored_warehouse() -> None:
    newer = replace(DAGSTER, initial_load=(hour(0.25), "e9", "t"))
    (found,) = findings(ORDERS, replace(WHOLE, dagster=newer))
    assert found.code == "warehouse_restored"
    assert "the initial load e9" in found.what


EMPTIED = replace(WHOLE, warehouse=replace(WAREHOUSE, recorded=Recorded(ALL, {"orders": (5, 0)})))
DROPPED = replace(WHOLE, warehouse=replace(WAREHOUSE, recorded=Recorded(ALL, {"orders": (5, None)})))


@pytest.mark.parametrize(
    ("option", "kept"), [("history", "the versions of its history"), ("soft_delete", "the rows of deleted items")]
)
def test_nothing_deletes_what_no_full_export_has(option: str, kept: str) -> None:
    table = Table.model_validate({"table": "Orders", option: True})
    (changed,) = findings(table, EMPTIED)
    assert changed.command == remedies.load_in_full(table)
    assert f"leaves {kept}" in changed.what
    (dropped,) = findings(table, DROPPED)
    assert dropped.command == ""
    assert f"backup, or start the table over, which deletes {kept}: ddb-assets recover" in dropped.what
    for lost in (CASES["lake_lost"], CASES["schemas_replaced"]):
        (found,) = findings(table, lost)
        assert f"backup, or start the table over, which deletes {kept}" in found.what


def test_a_scanned_table_is_scanned_again() -> None:
    table = Table.model_validate({"table": "Orders", "source": "scan", "stream": "s"})
    again = remedies.load_in_full(table)
    lost = replace(WHOLE, now=NOW - timedelta(hours=10), lake=CASES["parquet_lost"].lake)
    (found,) = findings(table, lost)
    assert (found.code, found.command) == ("parquet_lost", again)
    other = replace(lost, lake=LAKE, dynamodb=DynamoDBSays("other"))
    (found,) = findings(table, other)
    assert (found.code, found.command) == ("table_recreated", again)
    assert "windows" not in found.what
    (found,) = findings(table, replace(lost, lake=LAKE, stream=StreamSays("s", NOW, "records expired")))
    assert found.code == "stream_gap"
    assert "the next scan puts it right" in found.what


def test_a_table_that_a_stream_alone_fills_is_not_recovered() -> None:
    (empty,) = findings(STREAMED, replace(WHOLE, warehouse=EMPTY, lake=LakeSays("s3://b", None), dagster=UNKNOWN))
    assert empty.code == "never_loaded"
    assert "was never loaded" not in empty.what  # its loads leave no receipts, so nobody knows
    streamed = (load(1, export_type="STREAM", export_time=None),)
    differing: dict[Code, Recorded] = {
        "ledger_lost": Recorded((), {}),
        "rows_changed": Recorded(streamed, {"orders": (5, 4)}),
        "table_dropped": Recorded(streamed, {"orders": (5, None)}),
    }
    for code, recorded in differing.items():
        warehouse = replace(WAREHOUSE, recorded=recorded)
        (found,) = findings(
            STREAMED, replace(WHOLE, warehouse=warehouse, lake=LakeSays("s3://b", None), dagster=UNKNOWN)
        )
        assert (found.code, found.command) == (code, "")
        assert f"tart the table over {STREAMED.chain.restart}" in found.what


def test_places_that_were_not_asked_find_nothing() -> None:
    quiet = Silent("not asked", failed=False)
    assert codes(Pictures(NOW, WAREHOUSE, quiet, quiet, quiet, None)) == []
    assert codes(Pictures(NOW, quiet, quiet, quiet, quiet, None)) == []


def _launch(words: list[str], definitions: dg.Definitions) -> None:
    assert words[:3] == ["dg", "launch", "--assets"]
    chosen = dg.AssetSelection.from_string(words[3]).resolve(definitions.resolve_asset_graph())
    assert {key.path[-1] for key in chosen} >= {"orders_full_export", "orders_full_parquet"}
    job = definitions.resolve_implicit_global_asset_job_def()
    for op, config in json.loads(words[5])["ops"].items() if words[4:5] == ["--config-json"] else ():
        assert config == {"config": {"restart": True}}
        schema: Any = job.get_node_named(op).definition.config_schema
        assert "restart" in schema.as_field().config_type.fields


def test_commands_name_what_there_is(definitions: dg.Definitions) -> None:
    repository = definitions.get_repository_def()
    _launch(shlex.split(remedies.load_in_full(ORDERS)), definitions)
    _launch(shlex.split(remedies.load_in_full(ORDERS, restart=True)), definitions)
    schedule, sensor = (words.split() for words in remedies.start_windows(ORDERS).split("; "))
    assert repository.get_schedule_def(schedule[-1])
    assert repository.get_sensor_def(sensor[-1])
    ours: list[Callable[[], str]] = [
        lambda: remedies.recover(ORDERS),
        lambda: remedies.recover(ORDERS, "--restart"),
        lambda: remedies.status(ORDERS),
    ]
    for made in ours:
        name, *words = shlex.split(made())[1:]
        command = main.get_command(None, name)  # type: ignore[arg-type]
        assert command
        assert command.make_context(name, words).params["names"] == ("orders",)
