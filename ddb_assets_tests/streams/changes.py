"""Change records as DynamoDB writes them to a stream, and landings of them."""

import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from ddb_assets.aws.storage import Storage
from ddb_assets.contract.key_schema import KeySchema
from ddb_assets.exports.data_file import verify
from ddb_assets.exports.manifest import Export, read_export
from ddb_assets.streams.landing import Landed, Landing, StreamedTable, land
from ddb_assets.streams.position import Position
from ddb_assets_tests.streams.answered import CALLER, NOTHING, Kinesis

STORAGE = Storage()
MICROS = 1_700_000_000_000_000
KEY = KeySchema(partition_key="pk")


def table_arn(name: str, partition: str = "aws") -> str:
    return f"arn:{partition}:dynamodb:{CALLER.region}:{CALLER.account}:table/{name}"


def streamed(name: str, position: Position = NOTHING, key: KeySchema = KEY) -> StreamedTable:
    return StreamedTable(table_arn(name), "b116b490-6460-4d4a-9a6b-5d360abf4fb3", key, position)


def change(
    key: str,
    value: str | None = "v",
    micros: int = MICROS,
    *,
    table: str = "Orders",
    milliseconds: bool = False,
    **members: Any,
) -> bytes:
    """The record of a put, or of a delete without a value."""
    keys = {"pk": {"S": key}}
    stamp: dict[str, Any] = {"ApproximateCreationDateTime": micros // 1000 if milliseconds else micros}
    if not milliseconds:
        stamp["ApproximateCreationDateTimePrecision"] = "MICROSECOND"
    image = {"OldImage": keys} if value is None else {"NewImage": {**keys, "value": {"S": value}}}
    record = {
        "awsRegion": CALLER.region,
        "eventName": "REMOVE" if value is None else "MODIFY",
        "userIdentity": None,
        "tableName": table,
        "dynamodb": {**stamp, "Keys": keys, **image},
        **members,
    }
    return json.dumps(record).encode()


def put(kinesis: Kinesis, *records: bytes) -> None:
    """Puts records, all on one partition key, so that they keep their order."""
    for record in records:
        kinesis.stream.put("k", record)


def landed(kinesis: Kinesis, folder: Path, *tables: StreamedTable) -> Landed:
    return land(STORAGE, str(folder), kinesis.drain(), tables or [streamed("Orders")])


def moved(table: StreamedTable, landing: Landing) -> StreamedTable:
    """The table after its landing was loaded."""
    return replace(table, position=landing.end)


def export_of(landing: Landing) -> Export:
    """The landing, checked as an export is before it is flattened."""
    assert landing.uri is not None
    export = read_export(STORAGE, landing.uri)
    verify(STORAGE, export)
    return export


def lines_of(landing: Landing) -> list[dict[str, Any]]:
    if landing.uri is None:
        return []
    [file] = export_of(landing).files
    return [json.loads(line) for line in gzip.decompress(STORAGE.read(file.uri)).splitlines()]


def rows_of(landing: Landing) -> dict[str, tuple[int, str | None]]:
    """The time and the value of each key; no value where it was deleted."""
    return {
        line["Keys"]["pk"]["S"]: (
            int(line["Metadata"]["WriteTimestampMicros"]["N"]),
            line["NewImage"]["value"]["S"] if "NewImage" in line else None,
        )
        for line in lines_of(landing)
    }
