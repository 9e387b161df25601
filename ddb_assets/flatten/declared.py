"""Marks the columns whose type the contract declares: in the warehouse such a column may still have its previous type."""

from ddb_assets.contract.report import Relation
from ddb_assets.contract.table import Table
from ddb_assets.flatten.schema import Schema


def with_declared(schema: Schema, table: Table, *, incremental: bool) -> tuple[Relation, ...]:
    """The schema's relations with declared columns marked. Masked columns are not: their type is that of the mask."""
    declared = {
        (relation, node.name)
        for path, relation, node in schema.columns()
        if node.kind == "value" and table.policy(path).type and not table.policy(path).mask
    }
    return tuple(
        relation.model_copy(
            update={
                "columns": tuple(
                    c.model_copy(update={"declared": c.role == "value" and (relation.name, c.name) in declared})
                    for c in relation.columns
                )
            }
        )
        for relation in schema.relations(incremental=incremental, hashed=bool(table.history))
    )
