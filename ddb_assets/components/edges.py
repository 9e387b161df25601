"""Which declared imports and copies write into which declared tables, so that lineage shows where items come from."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import dagster as dg

from ddb_assets.contract.names import default_name
from ddb_assets.contract.table import Table
from ddb_assets.copies.copy_config import CopyConfig, TableAt
from ddb_assets.orchestration import metadata


@dataclass(frozen=True)
class Edges:
    """How the definitions of one project depend on each other.

    `writers` has, by the `name` of a table's contract, the assets that write into that table; `sources` has, by the name of
    a copy, the tables that it reads.
    """

    writers: Mapping[str, Sequence[dg.AssetKey]]
    sources: Mapping[str, Sequence[dg.AssetKey]]


def edges(tables: Sequence[Table], imports: Mapping[str, str], copies: Mapping[str, CopyConfig]) -> Edges:
    """The edges between tables, imports (the DynamoDB table by name of the import) and copies.

    A copy that would close a cycle is not shown as a writer of its destination, because Dagster refuses cycles.
    """
    writers = {
        table.name: [metadata.asset_key("import", name) for name, into in imports.items() if _same(into, table.table)]
        for table in tables
    }
    declared = {metadata.key_of(table, "dynamodb") for table in tables}
    sources: dict[str, Sequence[dg.AssetKey]] = {}
    feeds: dict[str, set[str]] = {}
    for name, copy in sorted(copies.items()):
        read = _named(copy.source, tables)
        sources[name] = [metadata.key_of(table, "dynamodb") for table in tables if table.name in read]
        usual = metadata.asset_key("dynamodb", default_name(copy.source.table))
        if not read and _ours(copy.source) and usual not in declared:  # a declared table of that key is another one
            sources[name] = [usual]
        for into in _named(copy.destination, tables):
            if not any(source in _reached(feeds, into) for source in read):
                writers[into].append(metadata.asset_key("copy", name))
                for source in read:
                    feeds.setdefault(source, set()).add(into)
    return Edges(writers, sources)


def _named(place: TableAt, tables: Iterable[Table]) -> list[str]:
    """The names of the contracts of this table; none if the copy reaches it with settings of its own."""
    return [table.name for table in tables if _same(place.table, table.table)] if _ours(place) else []


def _ours(place: TableAt) -> bool:
    return place == TableAt(table=place.table)


def _same(one: str, other: str) -> bool:
    """Whether two names or ARNs may mean one table: a name may be of any account and Region, an ARN is of one."""
    if one.startswith("arn:") and other.startswith("arn:"):
        return one == other
    return one.rpartition("/")[2] == other.rpartition("/")[2]


def _reached(feeds: Mapping[str, set[str]], start: str) -> set[str]:
    """The tables that get items from this one, through any number of copies, and the table itself."""
    found, ahead = {start}, [start]
    while ahead:
        more = feeds.get(ahead.pop(), set()) - found
        found |= more
        ahead += more
    return found
