"""The key of a table, as a contract may write it."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import BeforeValidator, Field

from ddb_assets.contract.model import ContractModel


class KeySchema(ContractModel):
    """The attribute names of a table's partition key and of its sort key, if it has one."""

    partition_key: Annotated[str, Field(min_length=1)]
    sort_key: Annotated[str, Field(min_length=1)] | None = None

    @classmethod
    def of(cls, attributes: Sequence[str]) -> "KeySchema":
        """The key schema of one or two attribute names."""
        return cls(partition_key=attributes[0], sort_key=attributes[1] if len(attributes) > 1 else None)

    @property
    def attributes(self) -> tuple[str, ...]:
        """The key attributes in order."""
        return (self.partition_key,) if self.sort_key is None else (self.partition_key, self.sort_key)


def _key_schema(value: object) -> object:
    if isinstance(value, str):
        partition_key, _, sort_key = (part.strip() for part in value.partition(","))
        return {"partition_key": partition_key, "sort_key": sort_key or None}
    return value


KeyText = Annotated[KeySchema, BeforeValidator(_key_schema, json_schema_input_type=KeySchema | str)]
"""A key schema; may be written as the text `PK` or `PK,SK`."""
