"""The names of relations over all contracts: no two tables may mean one table of the warehouse.

Only what the contracts declare is known while definitions load; the load looks again (`warehouse/ownership.py`).
"""

from collections.abc import Iterable

from ddb_assets.dynamodb.attribute_value import parse_path
from ddb_assets.parquet.names import relation_name
from ddb_assets.table import Table
from ddb_assets.table_yaml import ConfigError


def check_relation_names(tables: Iterable[Table]) -> None:
    """Raises ConfigError for a relation that two contracts would load into."""
    owners: dict[str, str] = {}
    for table in tables:
        for name, what in _relations(table).items():
            if name in owners:
                raise ConfigError(
                    f"{what} and {owners[name]} would be one table of the warehouse, {name}, and each load would delete the "
                    "other's rows: give one of them another `name`"
                )
            owners[name] = what


def _relations(table: Table) -> dict[str, str]:
    found = {table.name: f"table {table.table}"}
    for text, kind in table.nested.items():
        if kind == "child":
            steps = [step for step in parse_path(text) if step is not None]
            found[relation_name(table.name, steps, found)] = f"the list {text} of {table.table}"
    return found
