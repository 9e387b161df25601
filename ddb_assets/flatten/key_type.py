"""Checks that the declared type of a key keeps different keys apart and can hold the key's values."""

from ddb_assets.contract.column_type import SqlType
from ddb_assets.contract.table import Table
from ddb_assets.dynamodb.attribute_value import format_path
from ddb_assets.errors import DdbAssetsError
from ddb_assets.flatten.observed_type import KEY_HOLDS, SCALARS
from ddb_assets.flatten.profile import Seen
from ddb_assets.flatten.schema import Schema


class KeyTypeError(DdbAssetsError):
    """A key has a declared type in which different keys could become one, or which holds none of its values."""


def check_declared_keys(schema: Schema, table: Table, seen: Seen) -> None:
    """Raises KeyTypeError, which names the attribute and the types it may have.

    Once a key column has values, a line whose key does not fit is quarantined instead.
    """
    for attribute in schema.key:
        policy, node = table.policy((attribute,)), schema.root.fields.get(attribute)
        if policy.type is None:
            continue
        holds = KEY_HOLDS.get(SqlType.parse(policy.type).name)
        if holds is None:
            raise KeyTypeError(
                f"{format_path((attribute,))} is a key attribute, but {policy.type} does not keep all keys apart: declare "
                f"one of {', '.join(KEY_HOLDS)}, or no type"
            )
        counts = seen.fields[attribute].counts if attribute in seen.fields else {}
        found = [descriptor for descriptor in SCALARS if counts.get(descriptor)]
        if found and (node is None or node.is_empty) and not policy.mask and not {*holds} & {*found}:
            raise KeyTypeError(
                f"{format_path((attribute,))} is a key attribute of type {found[0]} in DynamoDB, but a key of type "
                f"{policy.type} takes only {' or '.join(holds)}: declare a type that takes {found[0]}, or no type"
            )
