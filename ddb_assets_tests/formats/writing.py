"""Writes what `ddb_assets_tests/formats/` keeps of a version: `python -m ddb_assets_tests.formats.writing NAME`.

Run it once whenever the form of something changes, before the change is merged, under a new name. What was written by earlier
versions stays as it is: `test_formats.py` reads all of it with the code of today.
"""

import json
import shutil
import sqlite3
import sys
import tempfile
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import orjson

from ddb_assets.aws.storage import Storage
from ddb_assets.aws.table import TableDescription
from ddb_assets.copies.copy_config import CopyOptions
from ddb_assets.copies.following.follow_state import Following, FollowState
from ddb_assets.copies.plan import plan_copy
from ddb_assets.copies.restoring.made_table import MadeTable
from ddb_assets.copies.sides import Side
from ddb_assets.exports.arrivals import Cursor
from ddb_assets.imports import import_job
from ddb_assets.imports.account import Progress
from ddb_assets.sandbox.server import Sandbox
from ddb_assets.scans.landing import proof
from ddb_assets.streams.position import Position
from ddb_assets.warehouse.connect import open_warehouse
from ddb_assets.warehouse.position import Moved
from ddb_assets_tests.copies.copying import run as run_copy
from ddb_assets_tests.formats import exports
from ddb_assets_tests.imports.importing import job
from ddb_assets_tests.scans.scanning import Scanning
from ddb_assets_tests.support.places import s3_in_process
from ddb_assets_tests.support.tables import client_of, items_of, target_of

HERE = Path(__file__).parent / "kept"
ROWS, BUCKET, NAME = 60, "kept-import", "Kept"
SOURCE, BEFORE = f"s3://{BUCKET}/rows.jsonl", f"s3://{BUCKET}/before"
OLD = [{"pk": {"S": f"k{number:02}"}, "n": {"N": str(number)}} for number in range(0, ROWS, 5)]
"""What is in the table before the import."""
MOVED = Moved("arn:aws:kinesis:stream", Position({}), Position({"shard-1": "7"}, {"shard-1": exports.T0}))


def rows() -> bytes:
    """The rows of the import; that with the number 3 has no key."""
    lines = [{"n": 1} if number == 3 else {"pk": f"k{number:02}", "n": 1000 + number} for number in range(ROWS)]
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


def table(sandbox: Sandbox, name: str, items: list[dict[str, Any]]) -> TableDescription:
    """A new table of this name, with items."""
    client = client_of(sandbox.endpoint_url)
    with suppress(client.exceptions.ResourceNotFoundException):
        client.delete_table(TableName=name)
    client.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    for item in items:
        client.put_item(TableName=name, Item=item)
    return target_of(sandbox, name)


def the_import(sandbox: Sandbox, target: TableDescription, state: Path, **more: Any) -> import_job.ImportJob:
    """The import of the rows, which keeps before-images."""
    storage = Storage(sandbox.s3())
    return job(
        sandbox.endpoint_url, target, SOURCE, folder=state, storage=storage, keep_before=BEFORE, max_rejects=5, **more
    )


class CutOffError(Exception):
    """Ends a job as a killed process does."""


def write_import(sandbox: Sandbox, to: Path) -> None:
    """An import that was cut off in its middle: checkpoint, reject file, before-images, and what the table had then."""
    storage = Storage(sandbox.s3())
    storage.s3.create_bucket(Bucket=BUCKET)
    storage.write(SOURCE, rows())
    target = table(sandbox, NAME, OLD)
    import_job.PROGRESS_SECONDS = 0.0

    def cut_off(now: Progress) -> None:
        if now.rows == ROWS // 2:
            now.rows += 1  # once
            raise CutOffError

    with suppress(CutOffError):
        the_import(sandbox, target, to / "state", on_progress=cut_off).run()
    for lock in (to / "state").glob("*.lock"):
        lock.unlink()
    for entry in storage.list(BEFORE):
        kept = to / "before" / entry.uri.removeprefix(f"{BEFORE}/")
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_bytes(storage.read(entry.uri))
    (to / "table.json").write_bytes(orjson.dumps({"id": target.id, "created": target.created}))
    (to / "items.json").write_text(json.dumps(items_of(sandbox, target)))


def write_copy(sandbox: Sandbox, to: Path) -> None:
    """The checkpoint of a copy, the state of one that follows its table, and the record of a table that was made."""
    client = client_of(sandbox.endpoint_url)
    source, target = table(sandbox, "Kept-source", OLD), table(sandbox, "Kept-target", [])
    sides = (Side.of(client, client, source.name), Side.of(client, client, target.name))
    plan = plan_copy(*sides, CopyOptions(workers=1, segments=4), "no")
    pages = []

    def cut_off(*_: object) -> None:
        pages.append(1)
        if len(pages) == 2:
            raise CutOffError

    with tempfile.TemporaryDirectory() as folder:
        with suppress(CutOffError):
            run_copy(plan, Path(folder), cut_off)
        shutil.copy(Path(folder) / "checkpoint.json", to / "copy.json")
        with FollowState(Path(folder) / "follow.sqlite") as state:
            following = Following(
                world={"stream": "arn"}, since=7, shards={"shard-1": "49"}, read_at={"shard-1": 8}, created=9, applied=3
            )
            state.begin(following)
            state.save(following, [(b"key", (5, 10**30))])
        with sqlite3.connect(Path(folder) / "follow.sqlite") as connection:
            (to / "follow.sql").write_text("\n".join(connection.iterdump()))
    made = MadeTable(to, "Restored", "arn:aws:dynamodb:us-east-1:123456789012:table/Orders")
    made.save("a-table-id", "copied")


def write_scan(sandbox: Sandbox, to: Path) -> None:
    """The progress of a scan that was cut off after three pages; the landing of another one, and its proof."""
    name = table(sandbox, "Kept-scanned", OLD).name
    sandbox.s3().create_bucket(Bucket="kept-scan")
    pages = []

    def cut_off(_: int) -> None:
        pages.append(1)
        if len(pages) == 3:
            raise CutOffError

    with tempfile.TemporaryDirectory() as folder:
        scanning, storage = Scanning(sandbox.endpoint_url, Path(folder)), Storage(sandbox.s3())
        with suppress(CutOffError):
            scanning.scan(name, cut_off, out="s3://kept-scan/out", storage=storage, workers=1)
        [state] = [path.parent for path in Path(folder).rglob("scan.json")]
        for path in state.glob("*.json"):
            shutil.copy(path, to / path.name)
        landing = scanning.scan(name, out=str(Path(folder) / "landed"), consistent=True).export
        shutil.copytree(Path(landing.uri).parent, to / "landing")
        (to / "proof.txt").write_text(proof(landing))


def write_loads(to: Path) -> None:
    """A lake and a warehouse after a full export and a window; the warehouse as DuckDB exports it."""
    with s3_in_process() as s3, tempfile.TemporaryDirectory() as folder:
        storage, file = Storage(s3), Path(folder) / "warehouse.duckdb"
        s3.create_bucket(Bucket="kept-lake")
        url = f"duckdb:///{file}"
        for made in (exports.FULL, exports.WINDOW):
            assert exports.loaded(storage, url, made).applied
        with open_warehouse(url, storage=storage) as warehouse:
            warehouse.move_stream("orders", MOVED)
        with duckdb.connect(str(file)) as connection:
            connection.execute(f"EXPORT DATABASE '{folder}/exported' (FORMAT parquet)")
        load = Path(folder) / "exported" / "load.sql"
        load.write_text(load.read_text().replace(f"{folder}/exported", "{folder}"))
        shutil.copytree(Path(folder) / "exported", to / "warehouse")
        for entry in storage.list(exports.LAKE):
            kept = to / "lake" / entry.uri.removeprefix(f"{exports.LAKE}/")
            if kept.parts[len(to.parts) + 1] != "exports":  # the tests make them again
                kept.parent.mkdir(parents=True, exist_ok=True)
                kept.write_bytes(storage.read(entry.uri))


def write_cursor(to: Path) -> None:
    """The cursor of the sensor of exports."""
    seen = Cursor(start_after="01695096000000", pending={"01695096000001-d6299cbd": "2023-09-19T04:00:00Z"})
    (to / "cursor.json").write_text(seen.text())


def main(name: str) -> None:
    """Writes everything below `kept/NAME`, which must not be there yet."""
    to = HERE / name
    for part in ("import", "documents", "scan", "loads"):
        (to / part).mkdir(parents=True)
    with Sandbox(latest_lag=timedelta(0)) as sandbox:
        write_import(sandbox, to / "import")
        write_copy(sandbox, to / "documents")
        write_scan(sandbox, to / "scan")
    write_loads(to / "loads")
    write_cursor(to / "documents")
    size = sum(path.stat().st_size for path in to.rglob("*") if path.is_file())
    print(f"{to}: {size:,} bytes")  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
