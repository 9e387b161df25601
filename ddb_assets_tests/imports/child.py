"""Imports, and undoing them, in a process of their own: they save checkpoints often and pause briefly, or it takes minutes."""

from pathlib import Path
from typing import Any

from ddb_assets.aws import pauses
from ddb_assets.aws.storage import Storage
from ddb_assets.aws.table import TableDescription
from ddb_assets.bulk.options import WriteOptions
from ddb_assets.bulk.writing import delivery
from ddb_assets.imports import import_job
from ddb_assets.imports.account import ImportReport
from ddb_assets.imports.undoing.read_before import BeforeImages
from ddb_assets.imports.undoing.undo import Undo, UndoReport
from ddb_assets_tests.imports.importing import job
from ddb_assets_tests.support.tables import client_of

OPTIONS: dict[str, Any] = {"in_flight": 3, "max_rejects": 10_000}


def run(
    endpoint: str, target: TableDescription, source: Path, config: dict[str, Any], folder: Path, deadline: float
) -> ImportReport:
    """Runs the import, or continues it."""
    _hurry()
    return job(endpoint, target, source, config, folder=folder, deadline=deadline, **OPTIONS).run()


def keep(
    endpoint: str, target: TableDescription, source: Path, config: dict[str, Any], folder: Path, before: str
) -> ImportReport:
    """The same with before-images."""
    _hurry()
    return job(endpoint, target, source, config, folder=folder, keep_before=before, **OPTIONS).run()


def undo(endpoint: str, target: TableDescription, before: str, folder: Path) -> UndoReport:
    """Undoes the import, or goes on with that."""
    _hurry()
    images = BeforeImages.open(Storage(), before)
    return Undo(client_of(endpoint), target, images, WriteOptions(in_flight=3), folder=folder).run()


def _hurry() -> None:
    pauses.FIRST_PAUSE, pauses.LONGEST_PAUSE, delivery.GRACE_SECONDS = 0.002, 0.05, 0.2
    import_job.SAVE_SECONDS = 0.005
