"""Checks that a run agrees with the stored schema: the same identity, and a contract that fits the known columns.

`infer.py` applies the changes of a contract that are safe. A change that would make the rows of earlier loads disagree
with the contract is refused here, with what to do.
"""

from ddb_assets.contract.identity import Identity
from ddb_assets.contract.table import Table
from ddb_assets.dynamodb.attribute_value import Step, format_path
from ddb_assets.exports.manifest import Export
from ddb_assets.flatten.schema import ARRAYS, Node, Schema, SchemaError, walk

START_OVER = "or start the table over under another `name`"


def check_table(stored: Schema, export: Export, table: Table) -> None:
    """Raises SchemaError when the stored schema belongs to another DynamoDB table. A restart must not replace it."""
    if stored.table_arn not in {"", export.table_arn}:
        raise SchemaError(
            f"the stored schema of {table.name!r} is of {stored.table_arn}, but this export is of {export.table_arn}: give "
            "one of the two tables another name"
        )


def check_identity(stored: Schema, identity: Identity, table: Table) -> None:
    """Raises SchemaError when the rows of this export would not match the rows that the stored schema was made for."""
    if found := identity.differences(stored.identity) if stored.identity else []:
        raise SchemaError(
            f"the stored schema of {table.name!r} does not match this export: {'; '.join(found)}. Restore what it was before, "
            f"give the table another name in its contract, or start it over {table.chain.restart}"
        )


def check_agreement(schema: Schema, table: Table, *, full: bool) -> None:
    """Raises SchemaError for a `rename`, `nested` or `type` of the contract that contradicts the stored schema.

    A full export (`full`) writes every row again, so it can turn the lists of a JSON column into a child relation.
    """
    former = {id(node.former) for _, node in walk(schema.root) if node.former}
    for path, node in walk(schema.root):
        _check_rename(path, node, table)
        if id(node) not in former:
            _check_nested(path, node, table, full=full)
            _check_type(path, node, table)


def _check_rename(path: tuple[Step, ...], node: Node, table: Table) -> None:
    wanted = table.policy(path).rename
    if wanted and node.kind in {"value", "json"} and node.name not in {None, wanted} and not node.is_empty:
        raise SchemaError(
            f"{format_path(path)}: its values are in column {node.name}, and the contract now says `rename: {wanted}`: "
            f"rows that do not change would keep theirs in {node.name}. Remove the `rename`, {START_OVER}"
        )


def _check_nested(path: tuple[Step, ...], node: Node, table: Table, *, full: bool) -> None:
    declared = table.nested_at(path)
    if declared == "json" and (node.kind in {"map", "list"} or (node.kind == "value" and not node.is_empty)):
        raise SchemaError(
            f"{format_path(path)}: its values are in {_place(node)}, and the contract now says `nested: json`: rows that do "
            f"not change would have no JSON. Remove that, {START_OVER}"
        )
    lists = declared == "child" and ARRAYS.intersection(node.accepts)
    maps = declared == "flatten" and "M" in node.accepts
    if node.kind == "json" and node.name and (lists or maps) and not full:
        raise SchemaError(
            f"{format_path(path)}: its values are JSON in column {node.name}, and the contract now says `nested: {declared}`: "
            f"rows that do not change would stay JSON. {_every_row_again(table)}"
        )


def _check_type(path: tuple[Step, ...], node: Node, table: Table) -> None:
    """A scalar cannot become JSON; JSON, columns and relations cannot become a scalar. `nested` takes precedence."""
    policy = table.policy(path)
    nowhere = node.is_empty or (node.kind == "json" and node.name is None)
    if policy.type is None or policy.mask or nowhere or table.nested_at(path):
        return
    if node.kind != ("json" if policy.type == "SUPER" else "value"):
        raise SchemaError(
            f"{format_path(path)}: its values are in {_place(node)}, and the contract now says `type: {policy.type}`: rows "
            f"that do not change would stay there. Remove the `type`, {START_OVER}"
        )


def _every_row_again(table: Table) -> str:
    if table.source == "stream":
        return f"Start the table over {table.chain.restart}"
    return (
        f"Load a new full export with this contract first (materialize {table.asset_name('full_export')}, or `ddb-assets "
        "load` one), which brings every row again, then this window"
    )


def _place(node: Node) -> str:
    return {
        "map": "columns",
        "list": f"child relation {node.name}",
        "value": f"column {node.name}",
        "json": f"JSON column {node.name}",
    }[node.kind]
