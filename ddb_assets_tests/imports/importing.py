"""Imports of small files into tables of a sandbox."""

import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from ddb_assets.aws.storage import Storage
from ddb_assets.aws.table import TableDescription
from ddb_assets.imports.account import ImportReport, Progress
from ddb_assets.imports.files.source import open_rejects, open_source
from ddb_assets.imports.import_config import ImportConfig, JobOptions
from ddb_assets.imports.import_job import ImportJob
from ddb_assets_tests.support.tables import client_of


def job(
    endpoint_url: str,
    target: TableDescription,
    uri: str | Path,
    config: dict[str, Any] | None = None,
    *,
    folder: Path | None = None,
    storage: Storage | None = None,
    redrive: bool = False,
    on_progress: Callable[[Progress], object] | None = None,
    on_resumed: Callable[[str], object] | None = None,
    **options: Any,
) -> ImportJob:
    """One that was not run yet; `config` as `import.yaml` has it."""
    settings = ImportConfig.model_validate(config or {})
    files = storage or Storage()
    if redrive:
        source, settings, _ = open_rejects(files, str(uri))
    else:
        source = open_source(files, str(uri), settings, target.name, allow_empty=options.get("allow_empty", False))
    return ImportJob(
        client_of(endpoint_url),
        files,
        target,
        source,
        settings,
        folder=folder or Path(tempfile.mkdtemp(dir=_folders().name)),
        options=JobOptions(**options),
        on_progress=on_progress,
        on_resumed=on_resumed,
    )


@cache
def _folders() -> "tempfile.TemporaryDirectory[str]":
    """Where the jobs of this process keep their progress, until it ends."""
    return tempfile.TemporaryDirectory(prefix="ddb_assets-test-")


def imported(*told: Any, **named: Any) -> ImportReport:
    """The report of a job that is expected to be good."""
    report = job(*told, **named).run()
    assert report.problem is None
    return report
