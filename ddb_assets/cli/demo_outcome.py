"""What the demo shows: per table what went in and what came out, whether it adds up, and the answer to a query.

The numbers come from three independent sides: DynamoDB's count of its items, the metadata of the Dagster run, and counts that
the warehouse gives afterwards.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg

from ddb_assets.cli.output import print_grid, say
from ddb_assets.contract.stages import FULL_CHAIN, Stage, name_of
from ddb_assets.warehouse.protocol import Warehouse

SAMPLE = """\
SELECT o.status, COUNT(DISTINCT o.order_id) AS orders, SUM(i.quantity) AS pieces, SUM(i.quantity * i.unit_price) AS revenue
FROM orders AS o JOIN orders__items AS i ON i.order_id = o.order_id
GROUP BY o.status ORDER BY revenue DESC"""
SAMPLE_COLUMNS = ("status", "orders", "pieces", "revenue")


@dataclass(frozen=True)
class TableOutcome:
    """The numbers of one table. `rows` are counted in the warehouse, `flattened` in Parquet. `seconds` are those of flattening
    and loading, without the wait for the export."""

    table: str
    source_items: int
    items_in_manifest: int
    rows: dict[str, int]
    flattened: dict[str, int]
    quarantined: int
    extra_values: int
    bytes_parquet: int
    seconds: float
    applied: bool
    export_id: str

    @property
    def reconciles(self) -> bool:
        """Whether every item of the source is a row or in quarantine, and every row of the Parquet is in the warehouse."""
        root = next(iter(self.rows.values()))
        accounted = root + self.quarantined
        return self.source_items == self.items_in_manifest == accounted and self.rows == self.flattened


def outcomes(
    result: dg.ExecuteInProcessResult, warehouse: Warehouse, source_items: Mapping[str, int]
) -> list[TableOutcome]:
    """An outcome for each table of `source_items` (by asset name), from the run and from the warehouse."""
    facts: dict[Stage, dict[str, dict[str, Any]]] = {stage: {} for stage in FULL_CHAIN}
    for event in result.get_asset_materialization_events():
        for stage, of_stage in facts.items():
            if name := name_of(stage, event.materialization.asset_key.path):
                of_stage[name] = {key: value.value for key, value in event.materialization.metadata.items()}

    def outcome(name: str, items: int) -> TableOutcome:
        flattened, loaded = facts["full_parquet"][name], facts[FULL_CHAIN[-1]][name]
        relations = [other for other in facts["full_parquet"] if other == name or other.startswith(f"{name}__")]
        return TableOutcome(
            table=name,
            source_items=items,
            items_in_manifest=flattened["items"],
            rows=warehouse.rows(sorted(relations)),
            flattened={r: facts["full_parquet"][r]["dagster/row_count"] for r in sorted(relations)},
            quarantined=flattened["quarantined"],
            extra_values=flattened["extra_values"],
            bytes_parquet=sum(facts["full_parquet"][r]["bytes"] for r in relations),
            seconds=flattened["seconds"] + (loaded["seconds"] if loaded["applied"] else 0),
            applied=loaded["applied"],
            export_id=loaded["export_id"],
        )

    return [outcome(name, items) for name, items in source_items.items()]


def sample(warehouse: Warehouse) -> list[tuple[object, ...]]:
    """The answer to SAMPLE."""
    return warehouse.query(SAMPLE)


def print_outcomes(tables: Sequence[TableOutcome], sampled: Sequence[tuple[object, ...]], warehouse: str) -> None:
    """Prints what people see at the end of the demo."""
    rows: list[tuple[object, ...]] = []
    for t in tables:
        (root, root_rows), *children = t.rows.items()
        counts = (t.quarantined, t.extra_values, t.bytes_parquet, t.seconds)
        rows.append((root, t.source_items, root_rows, *counts, t.reconciles))
        rows += [(child, None, child_rows, *[None] * 5) for child, child_rows in children]
    header = ("relation", "items", "rows", "quarantined", "extra", "bytes", "seconds", "adds up")
    print_grid(f"DynamoDB -> S3 -> Parquet -> {warehouse}", header, rows)
    for t in tables:
        done = "applied" if t.applied else "was already applied, and is not applied twice"
        say(f"{t.table}: export {t.export_id} {done}")
    say(f"\n{SAMPLE}")
    print_grid("", SAMPLE_COLUMNS, sampled)
