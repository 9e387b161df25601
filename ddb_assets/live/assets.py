"""The asset of a stream, `streams/<stream>`, and the tables that it keeps fresh.

One step reads the stream and loads what it says (`follow.py`), or lets the warehouse read it (`refresh.py`). A table of exports
has a live table, `warehouse/<relation>_live`, a view of the table and its tail. A table that the stream alone fills
(`source: stream`) is `warehouse/<relation>` itself. Lineage: the tables in DynamoDB, the stream, what it keeps fresh.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial

import dagster as dg
from pydantic import Field

from ddb_assets.contract.table import Table
from ddb_assets.flatten.names import relations
from ddb_assets.live.checks import check_results, check_specs, refreshed_results
from ddb_assets.live.facts import live_facts, refreshed_facts, stream_facts, table_facts, tail_facts
from ddb_assets.live.follow import Places, TableFollowed, follow
from ddb_assets.live.news import SILENCE
from ddb_assets.live.refresh import refresh
from ddb_assets.live.streams import FollowedStream
from ddb_assets.orchestration import metadata
from ddb_assets.orchestration.reported import newest
from ddb_assets.orchestration.retries import explained_failure
from ddb_assets.orchestration.step import step
from ddb_assets.resources.aws import AWSResource
from ddb_assets.resources.lake import Lake
from ddb_assets.resources.warehouse import WarehouseTarget
from ddb_assets.warehouse.assets import known_name
from ddb_assets.warehouse.bookkeeping import live_name
from ddb_assets.warehouse.checks import counted_result, counted_spec
from ddb_assets.warehouse.connect import open_warehouse, table_name
from ddb_assets.warehouse.protocol import Warehouse
from ddb_assets.warehouse.url import warehouse_kind

FRESH = dg.FreshnessPolicy.time_window(fail_window=2 * SILENCE)
"""Of a table that the stream fills: it is looked at once in this time even if nothing is new."""
Result = dg.MaterializeResult[None]


class FollowConfig(dg.Config):
    """The Launchpad's options for following a stream."""

    restart: list[str] = Field(
        default=[],
        description="names of tables with `source: stream` that start over: what the stream still has replaces all their rows",
    )


def stream_assets(stream: FollowedStream, address: str) -> dg.AssetsDefinition:
    """The stream's asset, and those of what it keeps fresh of all its tables; `address` is the warehouse's URL."""
    key = metadata.asset_key("stream", stream.name)
    source = dg.AssetSpec(
        key,
        deps=[metadata.key_of(table, "dynamodb") for table in stream.tables],
        description=f"The stream of changes that table `{stream.tables[0].table}` has of its own."
        if stream.is_own
        else f"Kinesis data stream `{stream.stream}`, to which the tables write their changes.",
        group_name=stream.tables[0].name if len(stream.tables) == 1 else "streams",
        kinds={"dynamodb" if stream.is_own else "kinesis"},
    )
    specs = [_spec(table, name, key, address) for table in stream.tables for name in relations(table).values()]
    filled = [metadata.key_of(table, "warehouse") for table in stream.tables if table.source == "stream"]

    @step(
        name=f"follow__{stream.name}",
        specs=[source, *specs],
        check_specs=[*check_specs(stream), *map(counted_spec, filled)],
        pool=stream.pool,
    )
    def followed(
        context: dg.AssetExecutionContext,
        config: FollowConfig,
        ddb_aws: AWSResource,
        ddb_lake: Lake,
        ddb_warehouse: WarehouseTarget,
    ) -> Iterator[Result]:
        aws = ddb_aws.clients
        opened = partial(open_warehouse, ddb_warehouse.address, storage=aws.storage(), aws=aws, label=stream.label)
        places = Places.below(ddb_lake.root)
        if stream.reads_in_warehouse:
            with explained_failure():
                found = refresh(aws, opened, stream.stream, stream.tables, places)
                checked = list(refreshed_results(aws, stream, found))
            context.log.info(f"{found.read:,} records of {stream.stream}")
            yield dg.MaterializeResult(asset_key=key, metadata=refreshed_facts(found), check_results=checked)
            for table in stream.tables:
                for relation, rows in found.rows[table.name].items():
                    name = table_name(ddb_warehouse.address, live_name(relation))
                    live = metadata.key_of(table, "live", relation)
                    yield dg.MaterializeResult(asset_key=live, metadata=tail_facts(name, rows))
            return
        with explained_failure():
            done = follow(aws, opened, stream.stream, stream.tables, places, restart=config.restart)
        context.log.info(f"{done.records:,} records of {done.stream}")
        yield dg.MaterializeResult(
            asset_key=key, metadata=stream_facts(done), check_results=list(check_results(aws, stream, done))
        )
        for one in done.tables.values():
            if one.error is None and one.table.source == "stream":
                with explained_failure():
                    results = _filled(context.instance, opened, one, ddb_warehouse.address)
                yield from results
            elif one.error is None:
                yield from _live(one, ddb_warehouse.address)
        with explained_failure():
            done.refuse()

    return followed


def _spec(table: Table, name: str, stream: dg.AssetKey, address: str) -> dg.AssetSpec:
    kinds = [warehouse_kind(address)]
    if table.source == "stream":
        said = f"Table `{name}` of the warehouse, as its stream says."
        facts = known_name(address, name)
        return metadata.asset_spec(
            "warehouse", table, name, description=said, upstream=[stream], kinds=kinds, facts=facts
        ).replace_attributes(freshness_policy=FRESH)
    last = "scan began" if table.source == "scan" else "window"
    said = f"View of table `{name}` and of the changes since the last {last}, a minute behind DynamoDB."
    facts = known_name(address, live_name(name))
    sources = [stream, metadata.key_of(table, "warehouse", name)]
    return metadata.asset_spec("live", table, name, description=said, upstream=sources, kinds=kinds, facts=facts)


def _live(followed: TableFollowed, address: str) -> Iterator[Result]:
    """The results of a table's live tables."""
    for name in relations(followed.table).values():
        shown = table_name(address, live_name(name))
        yield dg.MaterializeResult(
            asset_key=metadata.key_of(followed.table, "live", name), metadata=live_facts(followed, name, shown)
        )


def _filled(
    instance: dg.DagsterInstance,
    opened: Callable[[], AbstractContextManager[Warehouse]],
    followed: TableFollowed,
    address: str,
) -> list[Result]:
    """The results of a table that the stream fills. Without records its page keeps the facts of the last ones."""
    table, root = followed.table, metadata.key_of(followed.table, "warehouse")
    names = relations(table)
    with opened() as warehouse:
        schema = warehouse.schema
        columns = warehouse.columns(names.values())
        differing = warehouse.recorded(table.name, counted=True).differing
    found: list[Result] = []
    for path, name in names.items():
        key = metadata.key_of(table, "warehouse", name)
        facts = table_facts(followed, path, table_name(address, name, schema), columns.get(name, {}))
        kept = {} if followed.loaded else newest(instance, key, metadata.COLUMNS) or {}
        standing = {name: kept[name] for name in (metadata.COLUMNS, metadata.ROWS) if name in kept}
        checks = [counted_result(differing, root)] if key == root else []
        found.append(dg.MaterializeResult(asset_key=key, metadata={**standing, **facts}, check_results=checks))
    return found
