"""Steps that write into one DynamoDB table run one at a time, on any Dagster instance.

An instance gives one limit to all pools, and code cannot declare another one. So each writer first sets the limit of its
pool to 1, and makes sure that no other writer has a slot.
Concept: Dagster documentation, "Managing concurrency of Dagster assets, jobs, and Dagster instances".
"""

import random
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

ASK_SECONDS = 2.0  # between two looks at a pool that another writer occupies
ENDED_SECONDS = 60.0  # a run that ended this long ago no longer writes, even if it never released its slot


EXPORTS_POOL = "dynamodb_exports"
"""The pool of running exports. AWS allows 300 at once for an account and Region."""


def write_pool(table: str) -> str:
    """The pool of all steps that write into the table of this name or ARN; account and Region make no difference."""
    return "dynamodb_write_" + re.sub(r"\W", "_", table.rpartition("/")[2], flags=re.ASCII)


@contextmanager
def only_writer(context: dg.AssetExecutionContext, table: str) -> Iterator[None]:
    """Waits until no other step writes into the table, and keeps others out until the block ends.

    Slots belong to the instance, so other runs and machines count. A step continues only when it holds a slot and sees no
    other holder. So there are never two writers, even if the executor let several in before the limit was 1. The instance
    of a script keeps nothing and has no pools; then there is nothing to wait for.
    """
    storage = context.instance.event_log_storage
    if not storage.supports_global_concurrency_limits:
        yield
        return
    pool, run, step = write_pool(table), context.run.run_id, context.get_step_execution_context().step.key
    if storage.get_concurrency_info(pool).limit != 1 or pool not in storage.get_concurrency_keys():
        storage.set_concurrency_slots(pool, 1)
    named: set[str] = set()
    try:
        while True:
            claimed = storage.claim_concurrency_slot(pool, run, step).is_claimed
            inside = {(slot.run_id, slot.step_key) for slot in storage.get_concurrency_info(pool).claimed_slots}
            if claimed and inside == {(run, step)}:
                break
            others = {holder for holder, _ in inside - {(run, step)}}
            if others - named:
                context.log.info(f"waiting: {table} is being written by run {', '.join(sorted(others))}")
                named |= others
            if claimed:  # another holder may do the same: both release their slots, and one is back first
                storage.free_concurrency_slot_for_step(run, step)
            for other in others - {run}:
                _free_if_ended(context.instance, other)
            time.sleep(random.uniform(0.5, 1.0) * ASK_SECONDS)  # noqa: S311 -- no secret
        yield
    finally:
        storage.free_concurrency_slot_for_step(run, step)


def _free_if_ended(instance: dg.DagsterInstance, run_id: str) -> None:
    """Frees the slots of a run that crashed or was deleted; nothing else would ever free them."""
    record = instance.get_run_record_by_id(run_id)
    ended = record is None or (record.dagster_run.is_finished and (record.end_time or 0) < time.time() - ENDED_SECONDS)
    if ended:
        instance.event_log_storage.free_concurrency_slots_for_run(run_id)
