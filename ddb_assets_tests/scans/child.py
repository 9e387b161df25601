"""A scan for a process of its own, which pauses briefly between attempts."""

from pathlib import Path
from typing import Any

from ddb_assets.aws import pauses
from ddb_assets_tests.scans.scanning import Scanning


def scan(endpoint: str, folder: Path, table: str, how: dict[str, Any]) -> tuple[str, bool]:
    """Scans, or continues: where the landing is, and whether an earlier run was taken over."""
    pauses.FIRST_PAUSE, pauses.LONGEST_PAUSE = 0.002, 0.05
    report = Scanning(endpoint, folder).scan(table, **how)
    return report.export.uri, report.resumed
