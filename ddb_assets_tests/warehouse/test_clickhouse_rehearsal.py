"""What a rehearsal of a load into ClickHouse says is what the load then does, with the same words for what it refuses."""

import re
from pathlib import Path
from typing import Any

import pytest

from ddb_assets.contract.report import Report
from ddb_assets.warehouse.clickhouse.warehouse import ClickHouseWarehouse
from ddb_assets.warehouse.errors import LoadError
from ddb_assets.warehouse.protocol import LoadOptions, Rehearses
from ddb_assets.warehouse.results import Rehearsal
from ddb_assets_tests.support.clickhouse import again
from ddb_assets_tests.warehouse.exports import EXTRA, INDEX, LINE, VERSION, Source, at, relation, report
from ddb_assets_tests.warehouse.rehearsing import without_rows
from ddb_assets_tests.warehouse.test_clickhouse import decided, loaded, of_values, watched

OWN = re.compile(r"(?<=`_ddb_stage__)\w+(?=_d\d)")


def compare(clickhouse: ClickHouseWarehouse, export: Report, **options: Any) -> Rehearsal:
    """Rehearses the load of a report without its rows, then loads it; returns what was said, which is what was done."""
    assert isinstance(clickhouse, Rehearses)
    before = content(clickhouse)
    said = clickhouse.rehearse(without_rows(export), LoadOptions(**options))
    assert content(clickhouse) == before
    assert said.before == clickhouse.columns(said.after)
    done: list[str] = []
    with again(clickhouse) as other:
        watched(other, done.append)
        other.load(export, LoadOptions(**options))
    staging = next(place for place, text in enumerate(done) if re.search("`_ddb_stage__[0-9a-f]+_0`", text))
    first = [text for text in done[:staging] if "`_ddb_rows__" in text or "`_ddb_stage__" in text]
    assert [OWN.sub("NEXT", text) for text in first] == list(said.statements)
    assert {name: dict(types) for name, types in said.after.items()} == clickhouse.columns(said.after)
    return said


def refused(clickhouse: ClickHouseWarehouse, export: Report, **options: Any) -> str:
    """Why a rehearsal and a load are refused, with the same words."""
    before = content(clickhouse)
    with pytest.raises(LoadError) as said:
        clickhouse.rehearse(without_rows(export), LoadOptions(**options))
    assert content(clickhouse) == before
    with pytest.raises(LoadError) as done:
        clickhouse.load(export, LoadOptions(**options))
    assert str(said.value) == str(done.value)
    return str(said.value)


def content(clickhouse: ClickHouseWarehouse) -> list[tuple[object, ...]]:
    """All tables and views with their definitions."""
    return clickhouse.query(
        "SELECT name, create_table_query FROM system.tables WHERE database = currentDatabase() ORDER BY name"
    )


def test_a_rehearsal_says_what_the_load_then_does(clickhouse: ClickHouseWarehouse, tmp_path: Path) -> None:
    new = compare(clickhouse, of_values(tmp_path, {"n": ("DECIMAL(10,2)", 1), "same": ("BIGINT", 1)}))
    assert (new.before, new.views, new.identity) == ({}, ("orders",), None)
    wider = of_values(tmp_path, {"n": ("VARCHAR(64)", "x"), "more": ("VARCHAR(9)", "m")}, time=20)
    said = compare(clickhouse, wider)
    changed = {name: (str(said.before["orders"].get(name)), str(said.after["orders"][name])) for name in ("n", "more")}
    assert changed == {"n": ("DECIMAL(10,2)", "VARCHAR(64)"), "more": ("None", "VARCHAR(9)")}
    assert said.views == ("orders",)
    longer = compare(clickhouse, of_values(tmp_path, {"n": ("VARCHAR(999)", "x")}, time=30))
    assert [text.partition("'")[0] for text in longer.statements] == [
        "ALTER TABLE `_ddb_rows__orders` COMMENT COLUMN `n` "
    ]
    nothing = compare(clickhouse, of_values(tmp_path, {"n": ("VARCHAR(9)", "x")}, time=40))
    assert (nothing.statements, nothing.views) == ((), ())
    compare(clickhouse, of_values(tmp_path, {"n": ("VARCHAR(9)", "x")}, time=15), restart=True)


def test_a_table_that_gets_its_key_late_is_rehearsed(clickhouse: ClickHouseWarehouse, source: Source) -> None:
    lists = relation("orders__lines", (INDEX, LINE, VERSION, EXTRA), ("lines",))
    compare(clickhouse, report((relation("orders", (VERSION, EXTRA)), lists), export_time=at(1)))
    source.put(11, "a", "new", "x")
    assert compare(clickhouse, source.full(20)).views == ("orders", "orders__lines")


def test_what_a_load_refuses_is_refused_with_the_same_words(
    clickhouse: ClickHouseWarehouse, source: Source, tmp_path: Path
) -> None:
    source.put(1, "a", "first", "x")
    assert "no initial load yet" in refused(clickhouse, source.window(10, 20))
    clickhouse.load(of_values(tmp_path, {"n": ("BIGINT", 5)}))
    assert "no type holds the values of both" in refused(
        clickhouse, of_values(tmp_path, {"n": ("BOOLEAN", True)}, time=40)
    )
    clickhouse.server.execute("ALTER TABLE _ddb_rows__orders DROP COLUMN n")
    assert "has been dropped since" in refused(clickhouse, of_values(tmp_path, {"n": ("BIGINT", 5)}, time=50))


def test_a_load_that_is_not_finished_comes_first(clickhouse: ClickHouseWarehouse, source: Source) -> None:
    window = loaded(clickhouse, source)
    decided(clickhouse, lambda mortal: mortal.load(window))
    with pytest.raises(LoadError, match="was decided and not finished"):
        clickhouse.rehearse(without_rows(source.window(20, 30)))
    assert clickhouse.rehearse(without_rows(source.full(20)), LoadOptions(restart=True)).after
