"""A copy for a process of its own: it pauses briefly, or schedules take minutes; the deadline stays what counts."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ddb_assets.aws import pauses
from ddb_assets.copies.copy_config import CopyOptions
from ddb_assets.copies.copy_job import CopyFailedError, CopyReport
from ddb_assets.copies.plan import plan_copy
from ddb_assets.copies.sides import Side
from ddb_assets_tests.copies import copying
from ddb_assets_tests.support.tables import client_of


@dataclass(frozen=True)
class Copied:
    """How a copy ended: `failure` is what a CopyFailedError said, None when it came to its end."""

    report: CopyReport
    failure: str | None


def run(endpoint: str, source: str, destination: str, options: Mapping[str, Any], folder: Path) -> Copied:
    """Runs the copy, or continues it; `folder` is as `copying.run` has it."""
    pauses.FIRST_PAUSE, pauses.LONGEST_PAUSE = 0.002, 0.05
    client = client_of(endpoint)
    asked = CopyOptions(**{name: value for name, value in options.items() if name != "clean"})
    plan = plan_copy(
        Side.of(client, client, source), Side.of(client, client, destination), asked, options.get("clean", "no")
    )
    try:
        return Copied(copying.run(plan, folder), None)
    except CopyFailedError as error:
        return Copied(error.report, str(error))
