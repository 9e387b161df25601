"""The work for an item or a document grows linearly with its size, not with the square."""

import cProfile
import json
import pstats
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from ddb_assets.aws.storage import Storage
from ddb_assets.contract.table import Table
from ddb_assets.errors import DdbAssetsError
from ddb_assets.flatten import schema_store
from ddb_assets.flatten.block import Batch, BlockReader
from ddb_assets.flatten.infer import MAX_JSON_PATHS, extend
from ddb_assets.flatten.profile import Seen
from ddb_assets.flatten.rules import MAX_PATHS, OTHER_PATHS, Misfits, Rules, add_misfits
from ddb_assets.flatten.schema import Schema
from ddb_assets.flatten.schema_store import SchemaStore
from ddb_assets.flatten.tally import Tally
from ddb_assets_tests.flatten.flattening import Flattening, exact_path
from ddb_assets_tests.flatten.items import decoded
from ddb_assets_tests.flatten.rebuild import rebuild

TABLE = Table(table="Orders")


def read(items: list[dict[str, Any]]) -> tuple[Batch, int]:
    """The batch of these items, and the number of function calls that it took."""
    grown = Schema(table="orders", key=("pk",))

    def grow(schema: Schema, seen: Seen) -> Schema:
        nonlocal grown
        grown = extend(grown, seen, TABLE)
        return schema if grown.root == schema.root else grown

    reader = BlockReader(False, (1, 1), Rules.of(TABLE, ("pk",), lambda text: text), grow)
    block = "".join(f"{json.dumps({'Item': item}, separators=(',', ':'))}\n" for item in items).encode()
    profile = cProfile.Profile()
    profile.enable()
    (batch,) = reader.read(block, 1, grown)
    profile.disable()
    return batch, pstats.Stats(profile).total_calls  # type: ignore[attr-defined]


def rows(batch: Batch) -> int:
    return sum(found.num_rows for found in batch.rows["orders"])


def item(key: int, names: int) -> dict[str, Any]:
    return {"pk": {"S": f"k{key}"}, **{f"a{key}_{number}": {"S": "x"} for number in range(names)}}


@pytest.mark.slow
def test_work_grows_linearly_with_the_attributes_of_an_item() -> None:
    _, some = read([item(0, 5000)])
    batch, twice = read([item(0, 10_000)])
    assert rows(batch) == 1
    assert twice < 2 * some


@pytest.mark.slow
def test_work_grows_linearly_with_the_names_of_all_items() -> None:
    _, some = read([item(key, 100) for key in range(40)])
    batch, twice = read([item(key, 100) for key in range(80)])
    assert rows(batch) == 80
    assert twice < 2.2 * some


@pytest.mark.slow
def test_misfit_paths_are_counted_separately_up_to_a_limit() -> None:
    batch, _ = read([item(key, 100) for key in range(40)])
    assert len(batch.misfits) <= MAX_PATHS + 1
    assert batch.misfits.total() == 40 * 100 - (len(batch.relations[0].columns) - 3)
    assert batch.misfits["extra", OTHER_PATHS] == batch.misfits.total() - MAX_PATHS


def test_a_path_that_is_counted_separately_stays_so() -> None:
    total = Misfits({("extra", f"a{number}"): 1 for number in range(MAX_PATHS)})
    add_misfits(total, Misfits({("extra", "a0"): 2, ("extra", "new"): 3, ("frozen", "new"): 4}))
    assert total["extra", "a0"] == 3
    assert (total["extra", OTHER_PATHS], total["frozen", OTHER_PATHS]) == (3, 4)


def test_a_json_column_with_very_many_paths_is_read_value_by_value(flattening: Flattening) -> None:
    """Each map has few names, and all of them are frequent, so no map has dynamic keys; together they are too many."""

    def tree(depth: int) -> dict[str, Any]:
        return {"M": {f"n{number}": tree(depth - 1) for number in range(11)}} if depth else {"N": "1"}

    value = tree(3)
    outcome = flattening([{"json": value}, {"json": value}], nested={"json": "json"})
    assert MAX_JSON_PATHS < 11**3
    assert outcome.schema.root.fields["json"].opaque
    found = rebuild(f"{flattening.folder}/out1")
    assert [item["json"] for item in found] == [decoded(value)] * 2


def test_a_schema_document_that_is_too_large_is_not_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = SchemaStore(Storage(), str(tmp_path))
    Storage().write(f"{tmp_path}/orders/000001.json", b" " * 1001)
    monkeypatch.setattr(schema_store, "MAX_BYTES", 1000)
    with pytest.raises(DdbAssetsError, match=r"000001\.json has more than 1000 bytes"):
        store.latest("orders")


@pytest.mark.parametrize("path", [nullcontext, exact_path])
def test_a_block_of_many_short_lines_becomes_several_batches(
    flattening: Flattening, monkeypatch: pytest.MonkeyPatch, path: Callable[[], AbstractContextManager[None]]
) -> None:
    """Each line takes room in every column of the frames, so lines times columns are bounded."""
    lines: list[int] = []
    add = Tally.add

    def counted(self: Tally, batch: Batch) -> None:
        lines.append(batch.lines)
        add(self, batch)

    monkeypatch.setattr(Tally, "add", counted)
    items: list[dict[str, Any]] = [{"a": {"S": f"x\r{n}"}, "bad" if n == 30 else "b": {"N": "1"}} for n in range(40)]
    with path():
        whole = flattening(items)
        assert lines == [40]
        monkeypatch.setattr("ddb_assets.flatten.fast_path.MAX_CELLS", 60)
        lines.clear()
        outcome = flattening([*items, {"pk": {"S": ""}}], max_quarantined=1)
    assert sorted(map(str, outcome.rows())) == sorted(map(str, whole.rows()))
    assert [line["line"] for line in outcome.quarantined] == [41]
    assert sum(lines) == 41
    assert 4 <= len(lines) <= 5  # of six columns with the bookkeeping
    assert outcome.report.bytes_raw > whole.report.bytes_raw


def test_a_block_of_long_lists_becomes_several_batches(flattening: Flattening, monkeypatch: pytest.MonkeyPatch) -> None:
    items: list[dict[str, Any]] = [{"l": {"L": [{"S": f"{n} {m}"} for m in range(50)]}} for n in range(20)]
    whole = flattening(items, nested={"l": "child"})
    monkeypatch.setattr("ddb_assets.flatten.fast_path.MAX_CELLS", 300)  # of three columns, so 100 elements
    outcome = flattening(items, nested={"l": "child"})
    assert sorted(map(str, outcome.rows("orders__l"))) == sorted(map(str, whole.rows("orders__l")))
    assert len(outcome.rows("orders__l")) == 1000
