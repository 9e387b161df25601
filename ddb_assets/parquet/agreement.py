"""Whether a run still agrees with the stored schema: in its identity, and in what its contract says of known columns.

What can be done without a lie is done while the schema grows (`infer.py`); what would leave rows of former loads
otherwise than the contract says is refused here, with what to do.
"""

from ddb_assets.dynamodb.attribute_value import Step, format_path
from ddb_assets.exports.manifest import Export
from ddb_assets.parquet.identity import RESTART, Identity
from ddb_assets.parquet.schema import ARRAYS, Node, Schema, SchemaError, walk
from ddb_assets.table import Table

ANEW = "or begin the table anew under another `name`"


def check_table(stored: Schema, export: Export, table: Table) -> None:
    """Raises SchemaError when the stored schema is of another DynamoDB table, which no restart may replace."""
    if stored.table_arn not in {"", export.table_arn}:
        raise SchemaError(
            f"the stored schema of {table.name!r} is of {stored.table_arn}, and this export is of {export.table_arn}: give "
            "one of the two tables another name"
        )


def check_identity(stored: Schema, identity: Identity, table: Table) -> None:
    """Raises SchemaError when rows of this export would not go with those that the stored schema was made for."""
    if found := identity.differences(stored.identity) if stored.identity else []:
        raise SchemaError(
            f"the stored schema of {table.name!r} does not go with this export: {'; '.join(found)}. Put back what it was, "
            f"give the table another name in its contract, or start it over with a full export: {RESTART}"
        )


def check_agreement(schema: Schema, table: Table, *, full: bool) -> None:
    """Raises SchemaError for a `rename` or `nested` of the contract that the stored schema contradicts.

    A full export (`full`) brings every row anew, so that lists of a JSON column can become a child relation with it.
    """
    former = {id(node.former) for _, node in walk(schema.root) if node.former}
    for path, node in walk(schema.root):
        _check_rename(path, node, table)
        if id(node) not in former:
            _check_nested(path, node, table, full=full)


def _check_rename(path: tuple[Step, ...], node: Node, table: Table) -> None:
    wanted = table.policy(path).rename
    if wanted and node.kind in {"value", "json"} and node.name not in {None, wanted} and not node.is_empty:
        raise SchemaError(
            f"{format_path(path)}: its values are in column {node.name}, and the contract now says `rename: {wanted}`: "
            f"rows that do not change would keep theirs in {node.name}. Take the `rename` back, {ANEW}"
        )


def _check_nested(path: tuple[Step, ...], node: Node, table: Table, *, full: bool) -> None:
    declared = table.nested_at(path)
    if declared == "json" and (node.kind in {"map", "list"} or (node.kind == "value" and not node.is_empty)):
        stands = {"map": "columns", "list": f"child relation {node.name}", "value": f"column {node.name}"}[node.kind]
        raise SchemaError(
            f"{format_path(path)}: its values are in {stands}, and the contract now says `nested: json`: rows that do not "
            f"change would have no JSON. Take that back, {ANEW}"
        )
    lists = declared == "child" and ARRAYS.intersection(node.accepts)
    maps = declared == "flatten" and "M" in node.accepts
    if node.kind == "json" and node.name and (lists or maps) and not full:
        raise SchemaError(
            f"{format_path(path)}: its values are JSON in column {node.name}, and the contract now says `nested: {declared}`: "
            f"rows that do not change would stay so. Load a new full export with this contract first (materialize "
            f"snapshots/{table.name}, or `ddb-assets load` one), which brings every row anew, then this window"
        )
