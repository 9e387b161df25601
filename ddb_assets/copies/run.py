"""One copy from beginning to end, as the command and the asset run it: restore, guards, copy, compare, tidy up.

Other modules do the steps. After a failure the checkpoint and the restored table are still there, and the message says how
to continue.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from ddb_assets.aws.clients import AWS
from ddb_assets.aws.storage import Storage
from ddb_assets.bulk.budget import ALONE, Budget
from ddb_assets.bulk.checkpoint import Checkpoint
from ddb_assets.bulk.lock import only_run
from ddb_assets.bulk.options import Verify
from ddb_assets.bulk.reject_file import Heading, RejectFile, RejectPlace
from ddb_assets.bulk.superseded import Superseded
from ddb_assets.copies.attribute_mapping import AttributeMapping, key_mapping
from ddb_assets.copies.copy_config import CopyConfig
from ddb_assets.copies.copy_job import CopyFailedError, CopyJob, CopyReport, OnPage, first_phase
from ddb_assets.copies.copy_state import Collisions, CopyProgress
from ddb_assets.copies.plan import Clean, CopyPlan, DryRun, dry_run, plan_copy
from ddb_assets.copies.rejects import CopyRejects
from ddb_assets.copies.restoring.reach import reached
from ddb_assets.copies.restoring.restore import KeptTableError, Origin, Restore
from ddb_assets.copies.sides import Side
from ddb_assets.copies.verify import SAMPLE, Verification
from ddb_assets.errors import DdbAssetsError


class UnfinishedCopyError(KeptTableError):
    """A copy from an earlier state failed. `report` says what it did; None when it was refused."""

    def __init__(self, message: str, report: CopyReport | None) -> None:
        super().__init__(message)
        self.report = report


@dataclass(frozen=True)
class Opened:
    """Both tables. `restore` made `source`; None when the source is copied as it is."""

    source: Side
    destination: Side
    restore: Restore | None


@dataclass(frozen=True)
class CopyOutcome:
    """What happened. `exact`: the destination should have the items of the source and no others.

    `dropped` is the restored table that was deleted; `not_dropped` says why one is still there, and what to do.
    `reject_file` has what was rejected or found missing or different; None when there is none.
    """

    report: CopyReport
    verification: Verification | None
    exact: bool
    dropped: str | None
    reject_file: str | None
    not_dropped: str | None = None

    @property
    def succeeded(self) -> bool:
        """Every item was taken, and everything that was compared agrees."""
        agrees = self.verification is None or self.verification.passed(exact=self.exact)
        return agrees and not self.report.rejected

    @property
    def advice(self) -> str:
        """How to get the items of the reject file into the destination; empty without a file."""
        if self.reject_file is None:
            return ""
        return (
            f"items that are missing or different in {self.report.destination} are in {self.reject_file}: mend those that were "
            f"rejected, then ddb-assets import --redrive {self.reject_file} --table {self.report.destination}"
        )


def open_tables(
    config: CopyConfig,
    origin: Origin | None,
    folder: Path,
    on_wait: Callable[[str], object],
    default: AWS | None = None,
) -> Opened:
    """Finds both tables. With an origin, the source is restored from it; `folder` remembers the restored table.

    `default` has the settings of AWS that the two tables leave empty. Raises CopyRefusedError or UnfitTableError, before
    anything is restored, when the destination cannot take the items.
    """
    if origin is None:
        source = reached("source", config.source, default).side()
        return Opened(source, reached("destination", config.destination, default).side(), None)
    destination = reached("destination", config.destination, default).side()
    _check_fit(origin, destination, config)
    restore = Restore.to_copy_from(origin, folder)
    return Opened(restore.table(on_wait=on_wait), destination, restore)


def try_copy(config: CopyConfig, origin: Origin | None, clean: Clean, folder: Path) -> DryRun:
    """What a copy would do. An origin is only checked, unless an earlier run has restored the table already.

    Raises CopyRefusedError, ReadError.
    """
    if origin is None:
        opened = open_tables(config, None, folder, lambda _: None)
        return dry_run(plan_copy(opened.source, opened.destination, config, clean))
    destination = reached("destination", config.destination).side()
    _check_fit(origin, destination, config)
    restore = Restore.to_copy_from(origin, folder)
    restored = restore.existing()
    if restored is None:
        origin.check()
        return DryRun(origin.table_arn, destination.arn, restores=restore.name)
    return dry_run(plan_copy(restored, destination, config, clean))


def run_copy(
    opened: Opened,
    config: CopyConfig,
    clean: Clean,
    folder: Path,
    *,
    storage: Storage | None = None,
    restart: bool = False,
    budget: Budget = ALONE,
    confirm: Callable[[CopyPlan], object],
    on_resumed: Callable[[str], object],
    on_page: OnPage,
) -> CopyOutcome:
    """Copies and compares. `folder` keeps the checkpoint and, unless named, the reject file; `storage` is for one on S3.

    `confirm` is called once the guards have passed and before anything is written; what it raises ends the copy. `on_resumed`
    gets what became of an earlier run that was not finished; `restart` forgets it. A copy from an earlier state is always
    compared. `budget` is shared with other copies. Raises CopyRefusedError, CopyFailedError, UnfinishedCopyError.
    """
    verify = config.verify if opened.restore is None else config.verify or SAMPLE
    try:
        plan = plan_copy(opened.source, opened.destination, config, clean, budget)
        confirm(plan)
        fixed = opened.restore is not None
        files = storage or Storage()
        with _begun(plan, folder, files, on_resumed, restart=restart, fixed=fixed) as progress:
            outcome = _copied(plan, progress, folder, files, verify, on_page)
    except (DdbAssetsError, KeyboardInterrupt) as error:
        if opened.restore is None:
            raise
        report = error.report if isinstance(error, CopyFailedError) else None
        said = "interrupted" if isinstance(error, KeyboardInterrupt) else str(error)
        raise UnfinishedCopyError(f"{said}. {_kept(opened)}", report) from error
    if opened.restore is None:
        return outcome
    if not outcome.succeeded:
        found = [str(outcome.verification), f"{outcome.report.rejected:,} rejected", outcome.advice]
        raise UnfinishedCopyError(f"{'; '.join(filter(None, found))}. {_kept(opened)}", outcome.report)
    try:
        opened.restore.drop(opened.source)
    except (DdbAssetsError, KeyboardInterrupt) as error:  # the copy is done in spite of it
        said = "interrupted" if isinstance(error, KeyboardInterrupt) else str(error)
        return replace(
            outcome, not_dropped=f"the restored table {opened.source.name} could not be deleted ({said}): delete it"
        )
    return replace(outcome, dropped=opened.source.name)


def _check_fit(origin: Origin, destination: Side, config: CopyConfig) -> None:
    destination.description.check_active()
    mapping = AttributeMapping(config.rename, frozenset(config.exclude))
    described = origin.described_for(destination.description, mapping)
    key_mapping(described, destination.description, mapping, rekey=config.rekey)


@contextmanager
def _begun(
    plan: CopyPlan,
    folder: Path,
    storage: Storage,
    on_resumed: Callable[[str], object],
    *,
    restart: bool,
    fixed: bool,
) -> Iterator[CopyProgress]:
    """The copy's progress, while no other copy between these tables runs.

    Raises LockError, CheckpointError, RejectFileError.
    """
    with only_run(folder / f"{plan.job}.lock", "copy"):
        checkpoint = Checkpoint(folder / f"{plan.job}.checkpoint.json", plan.world)
        progress = CopyProgress(checkpoint, plan.segments, first_phase(plan), restart=restart, fixed=fixed)
        if progress.said:
            on_resumed(progress.said)
        if not progress.resumed:
            place = _reject_place(plan, progress.state.run, folder, storage)
            before = Superseded.of(place, progress.given_up, {plan.source.arn})
            checkpoint.remove()  # now, as this run may be killed before it saves its own progress
            if before:
                on_resumed(f"all items are read again; the reject file of the run before is kept as {before.move()}")
        yield progress


def _copied(
    plan: CopyPlan,
    progress: CopyProgress,
    folder: Path,
    storage: Storage,
    verify: Verify,
    on_page: OnPage,
) -> CopyOutcome:
    with ExitStack() as stack:
        file = stack.enter_context(closing(_reject_file(plan, progress, folder, storage)))
        rejects = CopyRejects(file, plan.source.arn, plan.key_names)
        collisions = None if plan.key.one_to_one else _collisions(folder, plan, new=not progress.resumed)
        if collisions:
            stack.enter_context(collisions)
        report = CopyJob(plan, progress, rejects, collisions, on_page).run()
        verification = _compared(plan, verify, rejects, report) if verify else None
        rejects.sync()
        progress.checkpoint.remove()
        if collisions:
            collisions.remove()
    return CopyOutcome(report, verification, plan.clean != "no", dropped=None, reject_file=file.uri)


def _reject_file(plan: CopyPlan, progress: CopyProgress, folder: Path, storage: Storage) -> RejectFile:
    """Raises RejectFileError for a file of another run."""
    run = progress.state.run
    place = _reject_place(plan, run, folder, storage)
    heading = Heading.of(run, plan.destination.description, "dynamodb-json")
    settled = {plan.source.arn: progress.state.rejected}  # all other items are read or compared again
    return RejectFile(place, heading, settled)


def _reject_place(plan: CopyPlan, run: str, folder: Path, storage: Storage) -> RejectPlace:
    return RejectPlace.of(plan.options.rejects, folder, f"{plan.job}-{run}", storage)


def _compared(plan: CopyPlan, verify: Verify, rejects: CopyRejects, report: CopyReport) -> Verification:
    """Raises CopyFailedError when the tables cannot be read completely."""
    try:
        return plan.verifier.verify(verify, on_difference=rejects.unprocessed)
    except (DdbAssetsError, KeyboardInterrupt) as error:
        said = "interrupted" if isinstance(error, KeyboardInterrupt) else str(error)
        raise CopyFailedError(
            f"{said}; {plan.source.name} is copied, but not compared: run the same copy again",
            report,
        ) from error


def _collisions(folder: Path, plan: CopyPlan, *, new: bool) -> Collisions:
    path = folder / f"{plan.job}.keys.sqlite"
    if new:
        path.unlink(missing_ok=True)
    return Collisions(path)


def _kept(opened: Opened) -> str:
    name = opened.source.name
    return (
        f"The restored table {name} is kept: run the same copy again, which continues from there, or copy {name} as an "
        "ordinary table; delete it when it is no longer needed"
    )
