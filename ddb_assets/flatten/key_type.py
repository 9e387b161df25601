"""Whether a key is declared as a type that keeps its values apart, and holds them at all."""

from ddb_assets.contract.column_type import SqlType
from ddb_assets.contract.table import Table
from ddb_assets.dynamodb.attribute_value import format_path
from ddb_assets.errors import DdbAssetsError
from ddb_assets.flatten.observed_type import KEY_HOLDS, SCALARS
from ddb_assets.flatten.profile import Seen
from ddb_assets.flatten.schema import Schema


class KeyTypeError(DdbAssetsError):
    """A key is declared as a type in which different keys become one, or that holds none of its values."""


def check_declared_keys(schema: Schema, table: Table, seen: Seen) -> None:
    """Raises KeyTypeError that names the attribute and what it may be.

    Once a key column has a type, a line with a key of another type is quarantined instead.
    """
    for attribute in schema.key:
        policy, node = table.policy((attribute,)), schema.root.fields.get(attribute)
        if policy.type is None:
            continue
        holds = KEY_HOLDS.get(SqlType.parse(policy.type).name)
        if holds is None:
            raise KeyTypeError(
                f"{format_path((attribute,))} is a key attribute, and {policy.type} does not distinguish all texts or numbers: "
                f"declare one of {', '.join(KEY_HOLDS)}, or nothing"
            )
        counts = seen.fields[attribute].counts if attribute in seen.fields else {}
        found = [descriptor for descriptor in SCALARS if counts.get(descriptor)]
        if found and (node is None or node.is_empty) and not policy.mask and not {*holds} & {*found}:
            raise KeyTypeError(
                f"{format_path((attribute,))} is a key attribute of type {found[0]} in DynamoDB, and {policy.type} as a key "
                f"takes {' or '.join(holds)} only: declare one that takes {found[0]}, or nothing"
            )
