"""Lets the warehouse read a stream itself, once: nothing is drained, landed or loaded. `follow.py` is for all other streams.

No dagster. `assets.py` makes this a step, `ddb-assets follow` repeats it.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from ddb_assets.contract.table import Table
from ddb_assets.flatten.schema_store import SchemaStore
from ddb_assets.live.follow import Places
from ddb_assets.microseconds import now_micros
from ddb_assets.streams.calls import StreamCalls
from ddb_assets.streams.destination import sends_to
from ddb_assets.warehouse.protocol import LiveTable, Warehouse
from ddb_assets.warehouse.results import Refreshed

if TYPE_CHECKING:
    from ddb_assets.aws.clients import AWS


def refresh(
    aws: "AWS",
    opened: Callable[[], AbstractContextManager[Warehouse]],
    stream: str,
    tables: Sequence[Table],
    places: Places,
    *,
    now: Callable[[], int] = now_micros,
) -> Refreshed:
    """Brings the live tables to what the stream of this name or ARN has now. `now` gives microseconds since 1970.

    Columns are typed by the newest schema documents. Raises WarehouseError where the warehouse reads no streams.
    """
    schemas = SchemaStore(aws.storage(), places.schemas)
    source = StreamCalls(aws.kinesis(stream), stream).describe()
    sends = [sends_to(aws.dynamodb(table.table), table.table, source.arn) for table in tables]
    known = [LiveTable(table, schemas.latest(table.name), one) for table, one in zip(tables, sends, strict=True)]
    with opened() as warehouse:
        return warehouse.refresh_stream(stream, known, source, now)
