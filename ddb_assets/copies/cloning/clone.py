"""Makes a table like another one, with its items and settings.

A clone is a new table. A table that exists is used only if this machine has made it for the same clone, or if it is alike and
empty; nothing is ever written into any other one. `copy_job.py` copies the items, `run.py` compares them.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ddb_assets.aws.errors import AwsError, explained, meaning
from ddb_assets.bulk.budget import Budget
from ddb_assets.bulk.checkpoint import differences
from ddb_assets.copies.attribute_mapping import CopyRefusedError
from ddb_assets.copies.cloning.clone_settings import CloneSettings, active, apply
from ddb_assets.copies.copy_config import CopyConfig
from ddb_assets.copies.plan import CopyPlan
from ddb_assets.copies.restoring.made_table import MadeTable, Remembered, table_id
from ddb_assets.copies.restoring.reach import Reached
from ddb_assets.copies.run import CopyOutcome, Opened, run_copy
from ddb_assets.copies.sides import Side
from ddb_assets.copies.table_shape import encryption, table_shape
from ddb_assets.errors import DdbAssetsError

BEGUN_ALREADY = "ResourceInUseException"
"""The refusal that an attempt to make a table gets when an earlier one, whose answer was lost, has made it."""


class CloneFailedError(DdbAssetsError):
    """The clone is not complete. The message says what is missing and how to continue."""


@dataclass(frozen=True)
class ClonePlan:
    """A clone that may be made. `there` is the table as far as an earlier run has made it, or one that is alike and empty."""

    source: Side
    name: str
    destination: Reached
    request: dict[str, Any]
    settings: CloneSettings
    record: MadeTable
    remembered: Remembered | None
    there: Side | None

    @property
    def is_done(self) -> bool:
        """Whether an earlier run has made the clone."""
        return self.remembered is not None and self.remembered.stage == "done"


@dataclass
class Cloned:
    """What became of one table. `items`: how many were copied; for a plan, how many DynamoDB counted in the last hours.

    `state`: planned; done earlier; done; failed, and then `problem` says why and what to do.
    """

    source: str
    clone: str
    state: str
    items: int = 0
    compared: str = ""
    settings: list[str] = field(default_factory=list)
    not_cloned: list[str] = field(default_factory=list)
    problem: str = ""


def plan_clone(source: Side, name: str, destination: Reached, folder: Path, kms_key: str = "") -> ClonePlan:
    """Checks everything that can be checked without writing. Raises CopyRefusedError, UnfitTableError, AwsError."""
    source.description.check_active()
    shape = table_shape(source.table)
    settings = CloneSettings.of(source)
    tagged = [{"Key": key, "Value": value} for key, value in settings.tags.items()]
    request = {
        "TableName": name,
        **shape,
        **encryption(source.table, kms_key),
        **({"Tags": tagged} if tagged else {}),
    }
    there = _existing(destination, name)
    place = f"{destination.client.meta.endpoint_url} {source.identity}"
    record = MadeTable(folder, name, f"clone of {place}")
    remembered = record.load()
    if there is None or (remembered and remembered.table != table_id(there)):
        remembered = None  # the table that it speaks of is gone
    if there is not None and remembered is None:
        _check_alike(source, there, shape)
    return ClonePlan(source, name, destination, request, settings, record, remembered, there)


def run_clone(
    plan: ClonePlan,
    config: CopyConfig,
    folder: Path,
    *,
    budget: Budget,
    stopped: threading.Event,
    on_plan: Callable[[CopyPlan], object],
    on_note: Callable[[str], object],
) -> Cloned:
    """Does what is left to do. `stopped` ends its waits; `on_plan` gets the copy's plan, whose reading can be stopped too.

    Raises CloneFailedError, CopyRefusedError, AwsError.
    """

    def wait(seconds: float) -> None:
        if stopped.wait(seconds):
            raise CloneFailedError(f"interrupted; run the same clone again to continue with {plan.name}")

    clone = _made(plan, wait)
    done = Cloned(plan.source.name, plan.name, "done", settings=plan.settings.shown())
    done.not_cloned = list(plan.settings.missing)
    if plan.remembered is None or plan.remembered.stage == "made":
        outcome = run_copy(
            Opened(plan.source, clone, None),
            config,
            "no",
            folder,
            budget=budget,
            confirm=on_plan,
            on_resumed=on_note,
            on_page=lambda *_: None,
        )
        if not outcome.succeeded:
            raise CloneFailedError(_difference(plan, outcome))
        done.items = outcome.report.read
        done.compared = str(outcome.verification or "")
        plan.record.save(table_id(clone), "copied")
    apply(plan.settings, clone, wait)
    plan.record.save(table_id(clone), "done")
    return done


def _existing(destination: Reached, name: str) -> Side | None:
    try:
        return Side.of(destination.client, destination.bulk, name)
    except AwsError as error:
        if meaning(error.code) != "missing":
            raise
        return None


def _check_alike(source: Side, there: Side, shape: dict[str, Any]) -> None:
    """Raises CopyRefusedError unless the table is as its source and empty, which a table that is being made is."""
    if there.arn == source.arn:
        raise CopyRefusedError(f"{source.arn} would be cloned to itself: name another table, Region or account")
    if there.description.status == "DELETING":
        raise CopyRefusedError(f"{there.arn} is being deleted: wait until it is gone, then run the same clone again")
    if found := list(differences(table_shape(there.table), shape)):
        said = "; ".join(found).replace(" before,", " in it,").replace(" now", f" in {source.name}")
        raise CopyRefusedError(
            f"{there.arn} exists and is not like {source.name}: {said}. Delete it, or choose another name"
        )
    if not there.description.active:
        return
    with explained("dynamodb:Scan", there.name):
        filled = there.client.scan(TableName=there.name, Limit=1, ConsistentRead=True)["Items"]
    if filled:
        raise CopyRefusedError(
            f"{there.arn} exists and has items: a clone is a new table. To write into it: ddb-assets copy {source.name} "
            f"{there.name}"
        )


def _made(plan: ClonePlan, wait: Callable[[float], object]) -> Side:
    """The table, ACTIVE."""
    client, bulk = plan.destination.client, plan.destination.bulk
    there = plan.there
    if there is None:
        plan.record.save()
        try:
            with explained("dynamodb:CreateTable", plan.name):
                client.create_table(**plan.request)
        except AwsError as error:
            there = _existing(plan.destination, plan.name) if error.code == BEGUN_ALREADY else None
            if there is None:
                raise
            _check_alike(plan.source, there, table_shape(plan.source.table))
        there = Side.of(client, bulk, plan.name)
    if plan.remembered is None:
        plan.record.save(table_id(there))
    return active(there, wait)


def _difference(plan: ClonePlan, outcome: CopyOutcome) -> str:
    found = [str(outcome.verification or ""), f"{outcome.report.rejected:,} rejected", outcome.advice]
    return (
        f"{'; '.join(filter(None, found))}. {plan.name} has no settings yet: run the same clone again, which copies and "
        "compares again"
    )
