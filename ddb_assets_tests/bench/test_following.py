"""The bench of streams follows what it has put, to the last record."""

import subprocess
import sys

import pytest


@pytest.mark.slow
def test_it_follows_all_records_and_says_how_fast() -> None:
    command = [sys.executable, "-m", "ddb_assets_tests.bench.following", "--records", "200", "--rounds", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("200 records of ") == 2
