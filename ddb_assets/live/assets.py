"""The asset of a stream, `streams/<stream>`, and the live tables `warehouse/<relation>_live` that it keeps fresh.

One step reads the stream and loads the tails of all its tables (`follow.py`). A live table is a view of the table and its
tail. Lineage: the tables in DynamoDB, the stream, the live tables beside the tables that exports fill.
"""

from collections.abc import Iterator
from functools import partial

import dagster as dg

from ddb_assets.flatten.names import relations
from ddb_assets.live.checks import check_results, check_specs
from ddb_assets.live.facts import live_facts, stream_facts
from ddb_assets.live.follow import Places, follow
from ddb_assets.live.streams import FollowedStream
from ddb_assets.orchestration import metadata
from ddb_assets.orchestration.retries import RETRIES, explained_failure
from ddb_assets.resources.aws import AWSResource
from ddb_assets.resources.lake import Lake
from ddb_assets.resources.warehouse import WarehouseTarget
from ddb_assets.warehouse.assets import known_name
from ddb_assets.warehouse.bookkeeping import live_name
from ddb_assets.warehouse.connect import open_warehouse, table_name
from ddb_assets.warehouse.url import warehouse_kind


def stream_assets(stream: FollowedStream, address: str) -> dg.AssetsDefinition:
    """The stream's asset, and those of the live tables of all its tables; `address` is the warehouse's URL."""
    key = metadata.asset_key("stream", stream.name)
    source = dg.AssetSpec(
        key,
        deps=[metadata.key_of(table, "dynamodb") for table in stream.tables],
        description=f"Kinesis data stream `{stream.stream}`, to which the tables write their changes.",
        group_name=stream.tables[0].name if len(stream.tables) == 1 else "streams",
        kinds={"kinesis"},
    )
    live = {
        (table.name, name): metadata.asset_spec(
            "live",
            table,
            name,
            description=f"View of table `{name}` and of the changes since the last window, a minute behind DynamoDB.",
            upstream=key,
            kinds=[warehouse_kind(address)],
            facts=known_name(address, live_name(name)),
        ).merge_attributes(deps=[metadata.key_of(table, "warehouse", name)])
        for table in stream.tables
        for name in relations(table).values()
    }

    @dg.multi_asset(
        name=f"follow__{stream.name}",
        specs=[source, *live.values()],
        check_specs=check_specs(stream),
        pool=stream.pool,
        retry_policy=RETRIES,
    )
    def followed(
        context: dg.AssetExecutionContext, ddb_aws: AWSResource, ddb_lake: Lake, ddb_warehouse: WarehouseTarget
    ) -> Iterator[dg.MaterializeResult[None]]:
        with explained_failure():
            aws = ddb_aws.clients
            opened = partial(open_warehouse, ddb_warehouse.address, storage=aws.storage(), aws=aws, label=stream.label)
            done = follow(aws, opened, stream.stream, stream.tables, Places.below(ddb_lake.root))
        context.log.info(f"{done.records:,} records of {done.stream}")
        yield dg.MaterializeResult(
            asset_key=key, metadata=stream_facts(done), check_results=list(check_results(aws, stream, done))
        )
        for (table, relation), spec in live.items():
            one = done.tables[table]
            if one.error is None:
                name = table_name(ddb_warehouse.address, live_name(relation))
                yield dg.MaterializeResult(asset_key=spec.key, metadata=live_facts(one, relation, name))
        with explained_failure():
            done.refuse()

    return followed
