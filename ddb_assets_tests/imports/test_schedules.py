"""Imports through everything that AWS and networks do, on random schedules, killed at random moments and continued.

Any items, in any format, in one file or several, keys that occur in several rows, rows that no table takes. In the end the
table has what the files say, and until then everything that the import counts as settled is in the table or rejected.
SOAK says how many schedules.
"""

import json
import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from ddb_assets.dynamodb.item import Item, canonical_json
from ddb_assets.imports.account import ImportReport
from ddb_assets.sandbox.server import Sandbox
from ddb_assets_tests.imports.child import run
from ddb_assets_tests.imports.typed_items import (
    typed_items,
    write_csv,
    write_dynamodb_json,
    write_json_array,
    write_json_lines,
    write_parquet,
    write_scan,
)
from ddb_assets_tests.support.examples import examples
from ddb_assets_tests.support.fault_proxy import Fault, FaultProxy, Schedule, fault_proxy
from ddb_assets_tests.support.forked import Forked
from ddb_assets_tests.support.tables import client_of, items_of, new_table

HOW = settings(
    max_examples=examples(12),
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.reuse, Phase.generate),  # processes are timed: a smaller example may not fail
)
FORMATS = {
    "csv": write_csv,
    "jsonl": write_json_lines,
    "parquet": write_parquet,
    "dynamodb-json": write_dynamodb_json,
    "array.json": write_json_array,
    "scan.json": write_scan,
}
ENDLESS = (
    frozenset({Fault.UNPROCESSED_ALL}),
    frozenset({Fault.UNPROCESSED_SOME}),
    frozenset({Fault.THROTTLED, Fault.THROTTLING, Fault.REQUEST_LIMIT}),
    frozenset({Fault.ERROR_BEFORE, Fault.ERROR_AFTER, Fault.RESET_BEFORE, Fault.RESET_AFTER, Fault.CUT_OFF}),
)
"""What a fifth of the schedules does to writes without end, so that the import cannot but fail."""
WRITES = frozenset({"BatchWriteItem", "PutItem"})


@pytest.fixture(scope="module")
def proxy(sandbox: Sandbox) -> Iterator[FaultProxy]:
    with fault_proxy(sandbox.endpoint_url) as running:
        yield running


@dataclass(frozen=True)
class Line:
    """A row of a file: the item it is, or the item that it deletes; without a key it is one that no table takes."""

    item: Item
    deletes: bool = False

    @property
    def key(self) -> str | None:
        found: str | None = self.item.get("pk", {}).get("S")
        return found

    @property
    def state(self) -> object:
        """What the table has for its key after it."""
        return None if self.deletes else canonical_json(self.item)


class Played:
    """A schedule: a table, files, and what has to become of them."""

    def __init__(self, sandbox: Sandbox, proxy: FaultProxy, folder: Path, items: list[Item], seed: int) -> None:
        self.sandbox, self.proxy = sandbox, proxy
        self.rng = rng = random.Random(seed)
        self.folder, self.source = folder / "state", folder / "source"
        shutil.rmtree(folder, ignore_errors=True)
        self.source.mkdir(parents=True)
        self.target = new_table(sandbox)
        format_ = rng.choice(list(FORMATS))
        mode = rng.choice(["put", "put", "if-not-exists"])
        keys = rng.choice([5, 40, 1000])
        deletes = format_ == "dynamodb-json" and mode == "put"
        self.files: dict[str, list[Line]] = {}
        for number in range(rng.randint(1, 3)):
            lines = [self._line(items, keys, deletes=deletes) for _ in range(rng.randint(1, 70))]
            path = self.source / f"{number}.{'json' if 'json' in format_ else format_}"
            self.config = {**FORMATS[format_](path, [line.item for line in lines]), "mode": mode}
            if deletes:
                path.write_text("".join(json.dumps(self._change(line)) + "\n" for line in lines))
            self.files[str(path)] = lines
        self.rows = [(file, n, line) for file, lines in self.files.items() for n, line in enumerate(lines)]
        self.refused = {(file, n) for file, n, line in self.rows if line.key is None}

    def _line(self, items: list[Item], keys: int, *, deletes: bool) -> Line:
        item = {**self.rng.choice(items), "pk": {"S": f"k{self.rng.randrange(keys)}"}}
        if self.rng.random() < 0.05:
            del item["pk"]
        elif deletes and self.rng.random() < 0.3:
            return Line({"pk": item["pk"]}, deletes=True)
        return Line(item)

    @staticmethod
    def _change(line: Line) -> dict[str, Any]:
        if not line.deletes:
            return {"Item": line.item}
        return {"Metadata": {"WriteTimestampMicros": {"N": "1"}}, "Keys": line.item}

    def states(self, rows: list[tuple[str, int, Line]]) -> dict[str, list[object]]:
        """What a key may be like when these rows may have been written, the last of them last."""
        found: dict[str, list[object]] = {}
        for _, _, line in rows:
            if line.key is not None:
                found.setdefault(line.key, []).append(line.state)
        return found

    def expected(self) -> dict[str, object]:
        place = 0 if self.config["mode"] == "if-not-exists" else -1
        return {key: states[place] for key, states in self.states(self.rows).items() if states[place] is not None}

    def table(self) -> dict[str, object]:
        return {item["pk"]["S"]: canonical_json(item) for item in items_of(self.sandbox, self.target)}

    def begin(self, deadline: float = 30.0) -> Forked:
        return Forked(run, self.proxy.endpoint_url, self.target, self.source, self.config, self.folder, deadline)

    def settled(self) -> dict[str, int]:
        found = list(self.folder.glob("*-????????????.json"))
        return json.loads(found[0].read_text())["state"]["settled"] if found else {}

    def kept(self, fate: str) -> set[tuple[str, int]]:
        """Rows of the last run's reject file; a line that a killed job did not end is none."""
        saved = list(self.folder.glob("*-????????????.json"))
        run = json.loads(saved[0].read_text())["state"]["run"] if saved else "*"
        found = sorted(self.folder.glob(f"*-{run}.rejects.jsonl"), key=lambda path: path.stat().st_mtime_ns)
        lines = found[-1].read_text().split("\n")[1:-1] if found else []
        told = [line for line in map(json.loads, lines) if line["fate"] == fate]
        places = {(line["file"], line["number"]) for line in told}
        assert len(places) == len(told)
        return places

    def check_written(self, done: list[tuple[str, int, Line]]) -> None:
        """Of each key whose rows are all done, the table has what the last one says; if the first wins, that one.

        A row may be done because a later one on its key took its place, which then is still to be written.
        """
        table, rows = self.table(), self.states(done)
        everything = self.states(self.rows)
        for key, states in rows.items():
            if self.config["mode"] == "if-not-exists":
                assert table.get(key) == states[0], key
            elif len(states) == len(everything[key]):
                assert table.get(key) == states[-1], key

    def check_checkpoint(self) -> None:
        """What it says is settled is in the table or in the reject file."""
        settled = self.settled()
        done = [(file, n, line) for file, n, line in self.rows if n < settled.get(file, 0)]
        assert self.refused & {(file, n) for file, n, _ in done} <= self.kept("rejected")
        self.check_written(done)

    def check_failure(self, report: ImportReport, before: dict[str, int]) -> None:
        """Every row that was read is written or in the reject file, and all others are read when it continues."""
        assert report.rows == report.written + report.deleted + report.existed + report.superseded + (
            report.rejected + report.unprocessed
        )
        read = [row for row in self.rows if row[1] >= before.get(row[0], 0)][: report.rows]
        rejected, unprocessed = self.kept("rejected"), self.kept("unprocessed")
        places = {(file, n) for file, n, _ in read}
        assert len(unprocessed) == report.unprocessed
        assert unprocessed <= places
        assert self.refused & places <= rejected <= self.refused
        done = [row for row in self.rows if row[1] < before.get(row[0], 0) or row in read]
        self.check_written([row for row in done if row[:2] not in unprocessed])
        self.check_checkpoint()

    def check_end(self, report: ImportReport) -> None:
        assert report.problem is None
        assert self.table() == self.expected()
        assert report.rows_before + report.rows == len(self.rows)
        assert report.rejected_before + report.rejected == len(self.refused)
        assert (self.kept("rejected"), self.kept("unprocessed")) == (self.refused, set())
        assert not self.settled()
        assert not self.proxy.refused


@pytest.mark.slow
@pytest.mark.soak
@HOW
@given(items=typed_items, seed=st.integers(0, 2**32))
def test_whatever_happens_the_table_has_in_the_end_what_the_files_say(
    sandbox: Sandbox, proxy: FaultProxy, tmp_path: Path, items: list[Item], seed: int
) -> None:
    played = Played(sandbox, proxy, tmp_path / "played", items, seed)
    rng = played.rng
    endless = rng.random() < 0.2
    proxy.schedule = Schedule(
        seed=seed,
        rate=0.9 if endless else rng.random() * 0.7,
        budget=None if endless else rng.randint(0, 12),
        faults=rng.choice(ENDLESS) if endless else frozenset(Fault),
        operations=WRITES,
        delay=0.01,
    )
    for _ in range(rng.choice([0, 1, 1, 2])):
        if played.begin().killed_after(rng.random() * 0.2):
            proxy.wait_until_left()
            played.check_checkpoint()
    before = played.settled()
    report = played.begin(0.1 if endless else 30.0).ended()
    if report.problem:
        assert endless, report.problem
        played.check_failure(report, before)
        proxy.schedule = Schedule()
        report = played.begin().ended()
    played.check_end(report)
    client_of(sandbox.endpoint_url).delete_table(TableName=played.target.name)
