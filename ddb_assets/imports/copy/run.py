"""One copy from its beginning to its end, as the command and the asset run it: restore, guards, copy, compare, tidy up.

Each step is another module's. Whatever fails leaves a checkpoint and, if there is one, the restored table, and the message
says how to go on.
"""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from ddb_assets.errors import DdbAssetsError
from ddb_assets.imports.checkpoint import Checkpoint
from ddb_assets.imports.copy import restore
from ddb_assets.imports.copy.checkpoint import CopyProgress
from ddb_assets.imports.copy.config import CopyConfig, TableAt
from ddb_assets.imports.copy.guards import Side
from ddb_assets.imports.copy.job import CopyJob, CopyReport, OnPage, first_phase
from ddb_assets.imports.copy.mapping import AttributeMapping, key_mapping
from ddb_assets.imports.copy.plan import Clean, CopyPlan, plan_copy
from ddb_assets.imports.copy.verify import Mode, Verification
from ddb_assets.imports.files.exceptions_file import ExceptionsFile, Heading, keep_settled
from ddb_assets.imports.transport import WRITER_CLIENT
from ddb_assets.resources.aws import AWS


class KeptTableError(DdbAssetsError):
    """A copy from a point in time failed; the restored table is still there."""


@dataclass(frozen=True)
class Opened:
    """Both tables, found. `original` is the table that `source` was restored from, None without a point in time."""

    source: Side
    destination: Side
    original: Side | None


@dataclass(frozen=True)
class CopyOutcome:
    """What happened. `exact`: the destination was to hold nothing but the source. `dropped` is the restored table."""

    report: CopyReport
    verification: Verification | None
    exact: bool
    dropped: str | None
    exceptions: Path

    @property
    def succeeded(self) -> bool:
        """Every item was taken, and what was compared is as it should be."""
        agrees = self.verification is None or self.verification.passed(exact=self.exact)
        return agrees and not self.report.rejected


def side(at: TableAt) -> Side:
    """Reaches one of the tables. Raises SettingError, AwsError."""
    aws = AWS(region=at.region, profile=at.profile, endpoint=at.endpoint, role_arn=at.role)
    return Side.of(aws.dynamodb(at.table, WRITER_CLIENT), at.table)


def open_tables(config: CopyConfig, moment: datetime | None, on_wait: Callable[[str], object]) -> Opened:
    """Finds both tables and, for a point in time (whole seconds), restores the source to it.

    Raises CopyRefusedError, before anything is restored, when the destination cannot take the items.
    """
    source, destination = side(config.source), side(config.destination)
    if moment is None:
        return Opened(source, destination, None)
    destination.check_active()
    mapping = AttributeMapping(config.rename, frozenset(config.exclude))
    key_mapping(source.table, destination.table, mapping, rekey=config.rekey)
    return Opened(restore.restored(source, moment, on_wait=on_wait), destination, source)


def run_copy(
    opened: Opened,
    config: CopyConfig,
    clean: Clean,
    folder: Path,
    *,
    exceptions: Path | None = None,
    confirm: Callable[[CopyPlan], object],
    on_page: OnPage,
) -> CopyOutcome:
    """Copies and compares. `folder` keeps the checkpoint and, unless named, the exceptions file.

    `confirm` is called once the guards have passed and before anything is written; what it raises ends the copy. A copy
    from a point in time is always compared. Raises CopyRefusedError, CopyFailedError, KeptTableError.
    """
    plan = plan_copy(opened.source, opened.destination, config.options(clean))
    confirm(plan)
    if opened.original is None:
        return _copied(plan, folder, exceptions, config.verify, on_page)
    try:
        outcome = _copied(plan, folder, exceptions, config.verify or "sample", on_page)
    except DdbAssetsError as error:
        raise KeptTableError(f"{error}. {_kept(opened)}") from error
    if not outcome.succeeded:
        raise KeptTableError(
            f"{outcome.verification}; {outcome.report.rejected:,} rejected, see {outcome.exceptions}. {_kept(opened)}"
        )
    restore.drop(opened.source, opened.original)
    return CopyOutcome(
        outcome.report, outcome.verification, outcome.exact, dropped=opened.source.name, exceptions=outcome.exceptions
    )


def _copied(
    plan: CopyPlan,
    folder: Path,
    exceptions: Path | None,
    verify: Mode | None,
    on_page: OnPage,
) -> CopyOutcome:
    checkpoint = Checkpoint(folder / f"{plan.job}.checkpoint.json", plan.job)
    progress = CopyProgress(checkpoint, plan.segments, first_phase(plan))
    path = exceptions or folder / f"{plan.job}.exceptions.jsonl"
    # what was not processed is read again; a row's number in the file is always 0, so that rejected ones are kept
    keep_settled(path, {plan.source.arn: 1} if progress.resumed else {})
    heading = Heading(table=plan.destination.name, format="dynamodb-json", types={})
    with closing(ExceptionsFile(path, heading)) as file:
        report = CopyJob(plan, progress, file, on_page).run()
    verification = plan.verifier.verify(verify) if verify else None
    checkpoint.remove()
    return CopyOutcome(report, verification, exact=plan.options.clean != "no", dropped=None, exceptions=path)


def _kept(opened: Opened) -> str:
    name = opened.source.name
    return (
        f"The restored table {name} is kept: run the same copy again and it goes on from there, or copy {name} as an "
        "ordinary table; delete it when it is no longer needed"
    )
