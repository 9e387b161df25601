"""An import for a process of its own: it saves its checkpoint often and pauses briefly, or schedules take minutes."""

from pathlib import Path
from typing import Any

from ddb_assets.aws import pauses
from ddb_assets.aws.table import TableDescription
from ddb_assets.bulk import delivery
from ddb_assets.imports import import_job
from ddb_assets.imports.account import ImportReport
from ddb_assets_tests.imports.importing import job

OPTIONS: dict[str, Any] = {"in_flight": 3, "max_rejects": 10_000}


def run(
    endpoint: str, target: TableDescription, source: Path, config: dict[str, Any], folder: Path, deadline: float
) -> ImportReport:
    """Runs the import, or continues it."""
    pauses.FIRST_PAUSE, pauses.LONGEST_PAUSE, delivery.GRACE_SECONDS = 0.002, 0.05, 0.2
    import_job.SAVE_SECONDS = 0.005
    return job(endpoint, target, source, config, folder=folder, deadline=deadline, **OPTIONS).run()
