"""What a project has once for all of its tables: the job of the initial load, and the sensors."""

from collections.abc import Sequence

import dagster as dg

from ddb_assets.alerts.metrics.sensor import metrics_sensor
from ddb_assets.alerts.send import targets
from ddb_assets.alerts.sensor import alert_sensor
from ddb_assets.components.project import TableDeclaration
from ddb_assets.components.relation_names import check_relation_names
from ddb_assets.components.translation import translated
from ddb_assets.contract.metrics import chosen
from ddb_assets.live.assets import stream_assets
from ddb_assets.live.sensor import stream_sensor
from ddb_assets.live.streams import streams_of
from ddb_assets.orchestration import metadata
from ddb_assets.resources.shared import RESOURCES, WAREHOUSE
from ddb_assets.retention.assets import retention_assets
from ddb_assets.settings import METRICS, optional
from ddb_assets.status.assets import status_assets
from ddb_assets.windows.automation import automation
from ddb_assets.windows.backfill_job import history_backfill
from ddb_assets.windows.sensor import manifest_sensors
from ddb_assets.windows.table_assets import INITIAL_LOAD, all_keys, stage_keys, whole_stages


def shared(declared: Sequence[TableDeclaration], writers: Sequence[dg.AssetKey] = ()) -> dg.Definitions:
    """The definitions for at least one table; `writers` are the assets of imports and copies.

    Raises ConfigError when two tables would be loaded into one table of the warehouse.
    """
    tables = [component.table for component in declared]
    check_relation_names(tables)
    exported = [key for table in tables for key in stage_keys(table, *whole_stages(table))]
    job = dg.define_asset_job(
        INITIAL_LOAD,
        selection=dg.AssetSelection.assets(*exported),
        description="Export every table in full, flatten it and load it into the warehouse.",
    )
    streams = streams_of(tables)
    followed = [stream_assets(stream, WAREHOUSE.address) for stream in streams]
    watched = [
        *(key for table in tables for key in all_keys(table)),
        *(key for one in followed for key in one.keys),
        *writers,
    ]
    about: dict[dg.AssetKey, list[str]] = {key: [table.name] for table in tables for key in all_keys(table)}
    about |= {metadata.asset_key("stream", one.name): [table.name for table in one.tables] for one in streams}
    metrics = chosen(optional(METRICS))
    own = dg.Definitions(
        assets=[status_assets(tables), *retention_assets(tables), *followed],
        jobs=[*([job] if exported else []), *history_backfill(tables)],
        sensors=[
            automation(tables),
            *manifest_sensors(tables),
            *map(stream_sensor, streams),
            *([alert_sensor(watched)] if targets() else []),
            *([metrics_sensor(tables, about, metrics)] if metrics else []),
        ],
        resources=RESOURCES,
    )
    return translated(own, *((one.table, one.translate) for one in declared if one.translate))
