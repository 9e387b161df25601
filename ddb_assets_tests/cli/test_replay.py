"""`ddb-assets load` over a folder of exports: an initial load and its windows, in any order, from a shell."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from ddb_assets_tests.cli.test_commands import answer, call
from ddb_assets_tests.model.schedule import BEGIN, CONTRACT, END, HOUR
from ddb_assets_tests.model.world import Attributes, Faults, FragileWarehouse, World

pytestmark = pytest.mark.usefixtures("state")


def item(note: str) -> Attributes:
    return {"note": {"S": note}}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Two items, one of which is deleted, and one window without changes."""
    faults = Faults()
    with FragileWarehouse(faults) as unused:
        world = World(tmp_path, unused, faults)
        world.begin(CONTRACT, soft_delete=False)
        world.write(BEGIN - 1, "a", 1, item("first"))
        world.write(BEGIN - 1, "b", 2, item("deleted later"))
        world.write(BEGIN + 1, "a", 1, item("second"))
        world.write(BEGIN + 2 * HOUR, "a", 1, item("third"))
        world.write(BEGIN + 2 * HOUR + 1, "b", 2, None)
        yield world
        world.log.close()


def folder(world: World, start: int | None, end: int) -> str:
    return str(world.folder / "bucket" / Path(world.export(start, end).summary_key).parent)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0, 1, 2)])
def test_windows_are_replayed_in_any_order(world: World, tmp_path: Path, order: tuple[int, ...]) -> None:
    url = f"duckdb:///{tmp_path / 'wh.duckdb'}"
    windows = [folder(world, BEGIN + n * HOUR, BEGIN + (n + 1) * HOUR) for n in range(3)]
    refused = call("load", windows[0], "--warehouse", url, code=1)
    assert "has no initial load yet" in refused.output
    loads: list[Any] = [answer("load", folder(world, None, BEGIN), "--warehouse", url, "--key", "pk,sk")]
    loads += [answer("load", windows[n], "--warehouse", url) for n in order]  # from now on the key is known
    assert [load["load"]["applied"] for load in loads] == [True] * 4 + [False] * (len(order) - 3)
    assert sum(load["load"]["deleted"] for load in loads[:4]) == 1
    assert world.state(END)["a", 1]["note"] == {"S": "third"}
    (name,) = loads[0]["load"]["rows"]
    with duckdb.connect(str(tmp_path / "wh.duckdb")) as connection:
        assert connection.execute(f"SELECT pk, sk, note FROM {name}").fetchall() == [("a", 1, "third")]
