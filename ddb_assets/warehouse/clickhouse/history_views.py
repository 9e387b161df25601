"""The views of a history: `<relation>_history`, with the columns that `sql/history_views.py` says."""
# ruff: noqa: S608  -- names come from quoted(), types from SqlType

import hashlib
from collections.abc import Mapping
from functools import partial

from ddb_assets.contract.column_type import SqlType
from ddb_assets.contract.report import Report
from ddb_assets.flatten.schema import VERSION
from ddb_assets.warehouse.bookkeeping import BEGUN, ENDED, KIND, history_name
from ddb_assets.warehouse.clickhouse import catalog, history_queries
from ddb_assets.warehouse.clickhouse.catalog import Standing
from ddb_assets.warehouse.clickhouse.fence import Fence
from ddb_assets.warehouse.clickhouse.server import Server
from ddb_assets.warehouse.clickhouse.sql import LEDGER, VERSIONS, literal, quoted, table
from ddb_assets.warehouse.clickhouse.tables import OF_HISTORY, Target
from ddb_assets.warehouse.clickhouse.types import clickhouse_type
from ddb_assets.warehouse.clickhouse.versions import Versions
from ddb_assets.warehouse.errors import LoadError
from ddb_assets.warehouse.sql.history_views import PERIOD, shown_as
from ddb_assets.warehouse.sql.timeline import OBSERVED, with_
from ddb_assets.warehouse.sql.versions import BOOKKEEPING


def free(server: Server, report: Report) -> dict[str, Standing]:
    """The views that there are already. Raises LoadError for one that would take the name of something else."""
    found: dict[str, Standing] = {}
    for relation in report.relations:
        name = history_name(relation.name)
        there = catalog.standings(server, [name, LEDGER + name])
        # guard: ClickHouse: a history's name of somebody else
        if any(not one.comment.startswith(OF_HISTORY) for one in there.values()):
            engine = there[name].engine if name in there else "a table of items"
            raise LoadError(
                f"{name} must be the view of the history of {relation.name}, but there is something else of that name "
                f"({engine}): give one of the two DynamoDB tables another `name` in its contract, or rename what is there"
            )
        found |= there
    return found


def show(fence: Fence, found: Mapping[str, Standing], versions: Versions, report: Report) -> None:
    """Creates the views, and replaces those that show other columns or types, or have another query."""
    for target in versions.targets:
        name, shown = history_name(target.relation.name), _query(target, versions.targets[0])
        types = ", ".join(f"{column} {kind}" for column, kind in target.types.items())
        number = hashlib.sha256(f"{shown} {types}".encode()).hexdigest()[:16]
        comment = f"{OF_HISTORY}{report.table_arn}#{number} {report.root.name}"
        if name not in found or found[name].comment != comment:
            made = f"AS {shown} COMMENT {literal(comment)}"
            fence.put(quoted(name), partial(_creation, made), there=name in found)


def _creation(made: str, staged: str) -> list[str]:
    return [f"CREATE VIEW {staged} {made}"]


def _query(target: Target, root: Target) -> str:
    own: Mapping[str, SqlType] = {name: kind for name, kind in target.types.items() if name not in BOOKKEEPING}
    shown = {column: shown_as(column, own) for column in own if column != target.version}
    columns = ", ".join(f"item.{quoted(column)} AS {quoted(as_)}" for column, as_ in shown.items())
    queries = history_queries.periods(root.relation.name, root.keys, root.version)
    met = {**dict(zip(root.keys, history_queries.aliases(root.keys), strict=True)), target.version: VERSION}
    same = " AND ".join(
        f"item.{quoted(name)} = periods.{quoted(of)}" for name, of in {**met, BEGUN: BEGUN, ENDED: ENDED}.items()
    )
    # guard: ClickHouse: what is forgotten is not seen
    kept = f"(periods.until_us IS NULL OR periods.until_us > ({history_queries.forgotten()}))"
    return (
        f"{with_(queries)} SELECT {columns}, {_period()} FROM {table(VERSIONS, target.relation.name)} AS item FINAL "
        f"INNER JOIN periods ON {same} WHERE {history_queries.of_exports('item')} AND {kept} "
        "SETTINGS join_algorithm = 'full_sorting_merge,hash'"
    )


def _period() -> str:
    version, until = f"periods.{VERSION}", "periods.until_us"
    begin, end = (f"fromUnixTimestamp64Micro({time}, 'UTC')" for time in (version, until))
    observed = f"periods.{KIND} = '{OBSERVED}'"
    found = {
        "valid_from": begin,
        "valid_to": end,
        "_record_is_active": f"{until} IS NULL",
        "_record_create_time": begin,
        "_record_delete_time": end,
        "_version_us": version,
        "_resolution": f"if({observed}, NULL, intDiv(periods.{ENDED} - periods.{BEGUN}, 1000000))",
        "_kind": f"if({observed}, 'observed', 'written')",
        "_ended_by": "periods.ended_by",
    }
    kinds = {name: clickhouse_type(kind, nullable=True) for name, kind in PERIOD.items()}
    return ", ".join(f"CAST({found[name]} AS {kind}) AS {quoted(name)}" for name, kind in kinds.items())
