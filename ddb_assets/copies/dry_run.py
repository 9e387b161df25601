"""What a copy would do: reads and checks everything, writes and deletes nothing."""

import threading
from dataclasses import dataclass, field
from typing import Any

from ddb_assets.bulk.operation import RejectedItemError, put
from ddb_assets.copies.exceptions import SAMPLE
from ddb_assets.copies.guards import not_copied
from ddb_assets.copies.mapping import CollisionError
from ddb_assets.copies.plan import CopyPlan
from ddb_assets.dynamodb.item import Item


@dataclass
class DryRun:
    """Counts of items. `restores`: the table that would be made first; what will be in it cannot be counted before.

    `wcu` is what writing them as new items costs, the deletions at 1 per table and index.
    `seconds` is how long the writing takes at least; `rcu` was spent on this look.
    """

    source: str
    destination: str
    restores: str = ""
    items: int = 0
    rejected: int = 0
    destination_items: int = 0
    would_delete: int = 0
    wcu: float = 0.0
    seconds: float = 0.0
    rcu: float = 0.0
    rejected_sample: list[dict[str, Any]] = field(default_factory=list)
    not_copied: list[str] = field(default_factory=list)


def dry_run(plan: CopyPlan) -> DryRun:
    """Looks at every item of both tables. Raises ReadError."""
    found = DryRun(plan.source.arn, plan.destination.arn)
    units = [0] * (1 + len(plan.target.indexes))
    lock = threading.Lock()

    def see(items: list[Item]) -> None:
        rejected: list[dict[str, Any]] = []
        spent = [0] * len(units)
        for item in items:
            try:
                operation = put(plan.target, plan.mapping.apply(item), None)
            except (RejectedItemError, CollisionError) as error:
                rejected.append({"item": item, "reason": str(error)})
            else:
                spent = [one + more for one, more in zip(spent, operation.units, strict=True)]
        with lock:
            found.items += len(items)
            found.rejected += len(rejected)
            found.rejected_sample = [*found.rejected_sample, *rejected][:SAMPLE]
            units[:] = [one + more for one, more in zip(units, spent, strict=True)]

    def look(keys: list[Item]) -> None:
        over = len(plan.absent_in_source(keys)) if plan.options.clean == "extra" else 0
        with lock:
            found.destination_items += len(keys)
            found.would_delete += len(keys) if plan.options.clean == "all" else over

    plan.verifier.scan(plan.source_reader, see, where=plan.options.where)
    plan.verifier.scan(plan.destination_reader, look, keys_only=True)
    every = [float(unit + found.would_delete) for unit in units]
    found.wcu = sum(every)
    found.seconds = round(plan.write_rate().seconds_for(every), 1)
    found.not_copied = not_copied(plan.source, plan.destination)
    found.rcu = plan.source_reader.rate.consumed + plan.destination_reader.rate.consumed
    return found
