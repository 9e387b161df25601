"""Clones of one table, or of all tables whose names match: planned together, and made several at once under one budget.

If one of them cannot be made, none is begun. If one of them fails later, the others go on. `clone.py` makes one.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path

from pydantic import Field

from ddb_assets.aws.errors import AwsUnavailableError, explained
from ddb_assets.bulk.budget import Budget
from ddb_assets.bulk.options import Verify
from ddb_assets.copies.attribute_mapping import CopyRefusedError
from ddb_assets.copies.cloning.clone import Cloned, ClonePlan, plan_clone, run_clone
from ddb_assets.copies.cloning.clone_names import check_name, clone_names, is_pattern
from ddb_assets.copies.copy_config import CopyConfig, TableAt
from ddb_assets.copies.plan import CopyPlan
from ddb_assets.copies.restoring.reach import Reached, reached
from ddb_assets.copies.verify import SAMPLE
from ddb_assets.errors import DdbAssetsError

LOOK_SECONDS = 0.2
"""How often the main thread looks for Ctrl-C."""


class CloneConfig(CopyConfig):
    """What is cloned. A rate is that of all tables together."""

    verify: Verify = SAMPLE
    at_once: int = Field(default=4, ge=1, le=32, description="tables cloned at once")
    kms_key: str = Field(
        default="", description="KMS key that encrypts the clones; it must be named if a source is encrypted with one"
    )


def plan_clones(config: CloneConfig, folder: Path) -> list[ClonePlan]:
    """The clones, all of them checked. Nothing is written. Raises CopyRefusedError, which has the reason for each table."""
    plans, problems = [], []
    for source, name in _names(config):
        try:
            plans.append(
                plan_clone(
                    _at("source", config.source, source).side(),
                    name,
                    _at("destination", config.destination, name),
                    folder,
                    config.kms_key,
                )
            )
        except AwsUnavailableError:
            raise
        except DdbAssetsError as error:
            problems.append(str(error))
    if problems:
        raise CopyRefusedError(f"nothing was made: {'; '.join(problems)}")
    return plans


def planned(plan: ClonePlan) -> Cloned:
    """What a plan would do."""
    return Cloned(
        plan.source.name,
        plan.name,
        "done earlier" if plan.is_done else "planned",
        items=plan.source.description.items,
        settings=plan.settings.shown(),
        not_cloned=list(plan.settings.missing),
    )


class Clones:
    """The work on several clones. `on_note` gets, in any thread, what a user wants to know at once."""

    def __init__(self, config: CloneConfig, folder: Path, on_note: Callable[[str], object]) -> None:
        self._config, self._folder, self._on_note = config, folder, on_note
        self._budget = Budget.of(config.max_rcu, config.max_wcu)
        self._stopped = threading.Event()
        self._copying: list[CopyPlan] = []
        self._lock = threading.Lock()

    def run(self, plans: Sequence[ClonePlan]) -> list[Cloned]:
        """What became of each, in the order of the plans. After Ctrl-C, those that were not finished can be continued."""
        with ThreadPoolExecutor(self._config.at_once, thread_name_prefix="clone") as pool:
            running = [pool.submit(self._run, plan) for plan in plans]
            try:
                self._wait(running)
            except KeyboardInterrupt:
                self._stop()
                self._wait(running)
        return [one.result() for one in running]

    def _wait(self, running: Sequence["Future[Cloned]"]) -> None:
        left = set(running)
        while left:
            left = wait(left, timeout=LOOK_SECONDS, return_when=FIRST_COMPLETED).not_done

    def _stop(self) -> None:
        with self._lock:
            self._stopped.set()
            for plan in self._copying:
                plan.stopped.set()

    def _begun(self, plan: CopyPlan) -> None:
        with self._lock:
            self._copying.append(plan)
            if self._stopped.is_set():
                plan.stopped.set()

    def _run(self, plan: ClonePlan) -> Cloned:
        if plan.is_done:
            return planned(plan)
        if self._stopped.is_set():
            return _failed(plan, "not begun")
        self._on_note(f"{plan.source.name} -> {plan.name}: begun")
        copied = self._config.model_copy(
            update={
                "source": self._config.source.model_copy(update={"table": plan.source.address}),
                "destination": self._config.destination.model_copy(update={"table": plan.name}),
            }
        )
        try:
            done = run_clone(
                plan,
                copied,
                self._folder,
                budget=self._budget,
                stopped=self._stopped,
                on_plan=self._begun,
                on_note=self._on_note,
            )
        except DdbAssetsError as error:
            self._on_note(f"{plan.source.name} -> {plan.name}: failed: {error}")
            return _failed(plan, str(error))
        self._on_note(f"{plan.source.name} -> {plan.name}: {done.items:,} items, done")
        return done


def _failed(plan: ClonePlan, problem: str) -> Cloned:
    return Cloned(plan.source.name, plan.name, "failed", problem=problem)


def _names(config: CloneConfig) -> list[tuple[str, str]]:
    source, target = config.source.table, config.destination.table
    if not is_pattern(source, target):
        check_name(source, target)
        return [(source, target)]
    together = config.source.model_copy(update={"table": target}) == config.destination
    found = _at("source", config.source, source)
    names: list[str] = []
    with explained("dynamodb:ListTables", source):
        for page in found.client.get_paginator("list_tables").paginate():
            names += page["TableNames"]
    return clone_names(source, target, names, together=together)


def _at(which: str, at: TableAt, table: str) -> Reached:
    return reached(which, at.model_copy(update={"table": table}))
