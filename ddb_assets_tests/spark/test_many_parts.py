"""Driver and Dagster keep a small row of each file and part: thousands of them cost little time and memory."""

import time
import tracemalloc
from pathlib import Path

import pytest

from ddb_assets_tests.spark.flattening import STORAGE
from ddb_assets_tests.spark.many_parts import prepared, published, run

FILES = 500
MEGABYTES, MEGABYTES_PER_FILE = 14, 0.012
"""So 10,000 files would take less than 140 MB. What was seen in a file is some 30 KB, the measures of its part as much."""


@pytest.mark.slow
def test_many_parts_of_one_relation_cost_little(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DDB_ASSETS_MASK_SECRET", raising=False)
    jobs, job, _ = prepared(STORAGE, str(tmp_path), FILES)
    tracemalloc.start()
    started = time.process_time()
    result = run(STORAGE, job)
    del result
    flattened = published(STORAGE, jobs, job)
    seconds = time.process_time() - started
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (flattened.report.root.rows, len(flattened.report.root.parts)) == (5 * FILES, FILES)
    assert flattened.report.root.measures["n"].values == 5 * FILES
    assert peak < (MEGABYTES + FILES * MEGABYTES_PER_FILE) * 1e6
    assert seconds < 60
