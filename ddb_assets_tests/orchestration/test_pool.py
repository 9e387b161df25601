"""One writer at a time, on an instance with the limits of the demo's instance."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ddb_assets.orchestration import pools
from ddb_assets.sandbox.server import Sandbox
from ddb_assets.settings import STATE
from ddb_assets_tests.support.fault_proxy import Fault, FaultProxy, Schedule, fault_proxy
from ddb_assets_tests.support.materializing import asset, materialized
from ddb_assets_tests.support.tables import new_table

ROWS = 120
Declared = tuple[str, list[str], dict[str, Any]]


@pytest.fixture
def proxy(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "DDB_ASSETS_ROLE_ARN"):
        monkeypatch.delenv(name, raising=False)
    with fault_proxy(sandbox.endpoint_url) as running:
        own = {"AWS_ENDPOINT_URL": running.endpoint_url, STATE: str(tmp_path / "state")}
        for name, value in {**sandbox.environment(), **own}.items():
            monkeypatch.setenv(name, value)
        yield running


@pytest.fixture
def instance(
    pytestconfig: pytest.Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dg.DagsterInstance]:
    shutil.copy(pytestconfig.rootpath / "ddb_assets/cli/dagster.yaml", tmp_path / "dagster.yaml")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.setattr(pools, "ASK_SECONDS", 0.1)
    with dg.DagsterInstance.get() as running:
        yield running


def file_import(path: Path, who: str, table: str) -> Declared:
    path.write_text("".join(json.dumps({"pk": f"{who}{n}", "who": who}) + "\n" for n in range(ROWS)))
    return "DynamoDBImport", ["imports", who], {"name": who, "table": table, "source": str(path), "verify": 0}


@pytest.mark.slow
def test_imports_and_copies_into_one_table_take_turns(
    sandbox: Sandbox, proxy: FaultProxy, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    """Each writes long enough to overlap with the others. The table gets all writes of one before the first of the next."""
    target, source = new_table(sandbox).name, new_table(sandbox).name
    assert materialized(asset(*file_import(tmp_path / "c.jsonl", "c", source))).success
    writers: list[Declared] = [file_import(tmp_path / f"{who}.jsonl", who, target) for who in "ab"]
    writers.append(("DynamoDBCopy", ["copies", "c"], {"name": "c", "source": source, "destination": target}))
    assert {asset(*writer).op.pool for writer in writers} == {pools.write_pool(target)}
    proxy.schedule = Schedule(
        rate=1.0, faults=frozenset({Fault.SLOW}), operations=frozenset({"BatchWriteItem"}), delay=0.5
    )
    command = [sys.executable, "-m", "ddb_assets_tests.support.materializing", json.dumps(writers)]
    done = subprocess.run(command, env=dict(os.environ), capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stderr[-3000:]
    order = [
        json.loads(operation)["PutRequest"]["Item"]["who"]["S"]
        for table, operation in proxy.acknowledged
        if table == target
    ]
    assert len(order) == 3 * ROWS
    assert sorted(who for who, _ in groupby(order)) == ["a", "b", "c"]
    assert "is being written by run" in done.stderr or "blocked by limit for pool" in done.stderr
    found = instance.event_log_storage.get_concurrency_info(pools.write_pool(target))
    assert (found.limit, found.claimed_slots, found.pending_steps) == (1, [], [])


def test_a_writer_whose_run_is_over_keeps_nobody_out(
    sandbox: Sandbox, proxy: FaultProxy, instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crashed run never frees its slot. The next run takes it, but not while the crashed process may still write."""
    target = new_table(sandbox).name
    writer = asset(*file_import(tmp_path / "a.jsonl", "a", target))
    storage = instance.event_log_storage
    crashed = materialized(writer, instance)
    storage.set_concurrency_slots(pools.write_pool(target), 4)
    storage.claim_concurrency_slot(pools.write_pool(target), crashed.run_id, "imports__a")
    monkeypatch.setattr(pools, "ENDED_SECONDS", 1.0)
    ended = instance.get_run_record_by_id(crashed.run_id)
    assert ended
    assert materialized(writer, instance).success
    assert time.time() - (ended.end_time or 0) >= 1.0
    assert storage.get_concurrency_info(pools.write_pool(target)).claimed_slots == []
