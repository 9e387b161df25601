"""Checks the names of relations across all contracts: no two may be loaded into one table of the warehouse.

Only what the contracts declare is known while definitions load; each load checks again (`warehouse/sql/ownership.py`).
"""

from collections.abc import Iterable

from ddb_assets.contract.contract_yaml import ConfigError
from ddb_assets.contract.table import Table
from ddb_assets.flatten.names import relations
from ddb_assets.warehouse.bookkeeping import history_name, live_name, whole_name


def check_relation_names(tables: Iterable[Table]) -> None:
    """Raises ConfigError for a table that two contracts would load into."""
    owners: dict[str, str] = {}
    for table in tables:
        for name, what in _relations(table).items():
            if name in owners:
                raise ConfigError(
                    f"{what} and {owners[name]} would have one name in the warehouse, {name}, and one would replace the rows "
                    "of the other: give one of them another `name`"
                )
            owners[name] = what


def _relations(table: Table) -> dict[str, str]:
    declared = [text for text, kind in table.nested.items() if kind == "child"]
    owners = [f"table {table.table}", *(f"the list {text} of {table.table}" for text in declared)]
    named = dict(zip(relations(table).values(), owners, strict=True))
    views = {live_name(name): f"the live view of {what}" for name, what in named.items()} if table.has_tail else {}
    if table.history:
        views |= {history_name(name): f"the history of {what}" for name, what in named.items()}
    if table.warehouse.retain:
        views |= {whole_name(name): f"the view of hot and cold rows of {what}" for name, what in named.items()}
    return named | views
