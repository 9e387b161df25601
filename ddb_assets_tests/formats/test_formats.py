"""What earlier versions have written is read by the code of today: loads, imports, redrives and undos go on from it.

`writing.py` wrote what is in `kept/`: `v1` by code before documents had versions, `v2` by the first that wrote them.
"""

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import orjson
import pytest

from ddb_assets.aws.storage import Storage, join
from ddb_assets.bulk.checkpoint import Checkpoint, CheckpointError
from ddb_assets.bulk.options import WriteOptions
from ddb_assets.bulk.reject_file import read_heading
from ddb_assets.contract.durable import NewerFormatError
from ddb_assets.copies.copy_state import CopyState
from ddb_assets.copies.following.follow_state import Following, FollowState
from ddb_assets.copies.restoring.made_table import MadeTable, Remembered
from ddb_assets.exports.arrivals import Cursor
from ddb_assets.exports.data_file import verify
from ddb_assets.exports.manifest import read_export
from ddb_assets.flatten.output import read_report
from ddb_assets.flatten.profile import seen_of
from ddb_assets.flatten.schema_store import SchemaStore
from ddb_assets.imports.undoing.read_before import BeforeImages
from ddb_assets.imports.undoing.undo import Undo
from ddb_assets.sandbox.server import Sandbox
from ddb_assets.scans.landing import check_proof
from ddb_assets.scans.progress import ScanProgress
from ddb_assets.warehouse import receipts
from ddb_assets.warehouse.connect import open_warehouse
from ddb_assets.warehouse.protocol import LoadOptions
from ddb_assets_tests.formats import exports, writing
from ddb_assets_tests.imports.importing import job
from ddb_assets_tests.imports.typed_items import state as typed
from ddb_assets_tests.support.places import s3_in_process
from ddb_assets_tests.support.tables import client_of, items_of

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

KEPT = sorted(path.name for path in writing.HERE.iterdir())
ORIGIN = "arn:aws:dynamodb:us-east-1:123456789012:table/Orders"


@pytest.fixture(params=KEPT)
def kept(request: pytest.FixtureRequest) -> Path:
    return writing.HERE / str(request.param)


@pytest.fixture(scope="module")
def buckets() -> Iterator["S3Client"]:
    with s3_in_process() as client:
        yield client


@pytest.fixture
def lake(kept: Path, buckets: "S3Client") -> Storage:
    """The lake as it was then."""
    storage = Storage(buckets)
    buckets.create_bucket(Bucket="kept-lake")
    storage.delete([entry.uri for entry in storage.list(exports.LAKE)])
    for made in (exports.FULL, exports.WINDOW):
        made.write(storage)
    put(storage, kept / "loads" / "lake", exports.LAKE)
    return storage


@pytest.fixture
def warehouse(kept: Path, tmp_path: Path) -> str:
    """The warehouse as it was then."""
    folder = kept / "loads" / "warehouse"
    with duckdb.connect(str(tmp_path / "warehouse.duckdb")) as connection:
        connection.execute((folder / "schema.sql").read_text())
        connection.execute((folder / "load.sql").read_text().replace("{folder}", str(folder)))
    return f"duckdb:///{tmp_path}/warehouse.duckdb"


def put(storage: Storage, folder: Path, uri: str) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            storage.write(join(uri, path.relative_to(folder).as_posix()), path.read_bytes())


def test_loads_go_on(lake: Storage, warehouse: str) -> None:
    """The columns, their types and the digests of exports are those of then, so nothing is applied twice."""
    for made in (exports.FULL, exports.WINDOW):
        assert not exports.loaded(lake, warehouse, made).applied
    assert exports.loaded(lake, warehouse, exports.NEXT).applied
    with open_warehouse(warehouse, storage=lake) as opened:
        rows = opened.query("SELECT id, total, note FROM orders ORDER BY id")
        lines = opened.query('SELECT id, "value" FROM orders__lines ORDER BY id, _ddb_index')
        versions = opened.query("SELECT id, total FROM orders_history ORDER BY id, valid_from")
        recorded = opened.recorded("orders", counted=True)
        position = opened.stream_position("orders", writing.MOVED.stream)
        unread = opened.query("SELECT id FROM _ddb_unread__orders")
    two, three = Decimal(20), Decimal("-3.25")
    assert rows == [("b", two, None), ("c", three, "changed"), ("d", Decimal(4), None)]
    assert lines == [("b", "w"), ("d", "v")]
    now = [("c", three), ("d", Decimal(4))]
    assert versions == [("a", Decimal("1.5")), ("b", Decimal(2)), ("b", two), ("c", Decimal(3)), *now]
    assert ([load.sequence for load in recorded.loads], recorded.differing) == ([1, 2, 3], {})
    assert position == writing.MOVED.end
    assert unread == [("e",)]


def test_parquet_of_then_is_loaded_into_a_new_warehouse(lake: Storage, tmp_path: Path) -> None:
    """As `ddb-assets recover` does."""
    with open_warehouse(f"duckdb:///{tmp_path}/new.duckdb", storage=lake) as opened:
        for made in (exports.FULL, exports.WINDOW):
            assert opened.load(read_report(lake, exports.folder(made)), LoadOptions.of(exports.TABLE)).applied
        assert opened.query("SELECT id, total FROM orders ORDER BY id") == [("b", Decimal(20)), ("c", Decimal(3))]


def test_receipts_name_the_loads_of_the_ledger(lake: Storage, warehouse: str) -> None:
    place = join(exports.LAKE, "receipts")
    [ledger] = receipts.ledgers(lake, place, "orders")
    found = [receipts.read(lake, place, "orders", one) for one in receipts.named(lake, place, "orders", ledger)]
    with open_warehouse(warehouse, storage=lake) as opened:
        loads = opened.recorded("orders").loads
    assert [(one.load_id, one.export_id, one.until) for one in found] == [
        (load.load_id, load.export_id, load.to_time or load.export_time) for load in loads
    ]


def test_an_import_goes_on_is_redriven_and_undone(kept: Path, sandbox: Sandbox, tmp_path: Path) -> None:
    storage = Storage(sandbox.s3())
    storage.s3.create_bucket(Bucket=writing.BUCKET)
    storage.delete([entry.uri for entry in storage.list(writing.BEFORE)])
    storage.write(writing.SOURCE, writing.rows())
    target = writing.table(sandbox, writing.NAME, json.loads((kept / "import" / "items.json").read_text()))
    then = json.loads((kept / "import" / "table.json").read_text())
    for part in ("state", "before"):
        shutil.copytree(kept / "import" / part, tmp_path / part)
    for path in (*tmp_path.rglob("*.json"), *tmp_path.rglob("*.jsonl")):  # the table is another one here
        text = path.read_bytes().replace(then["id"].encode(), str(target.id).encode())
        path.write_bytes(text.replace(orjson.dumps(then["created"]), orjson.dumps(target.created)))
    put(storage, tmp_path / "before", writing.BEFORE)

    resumed: list[str] = []
    report = writing.the_import(sandbox, target, tmp_path / "state", on_resumed=resumed.append).run()
    assert (report.problem, resumed) == (None, [f"row 27 of {writing.SOURCE}"])
    assert (report.rows_before, report.rejected_before, report.rows, report.rejected) == (26, 1, 34, 0)
    imported = [{"pk": {"S": f"k{n:02}"}, "n": {"N": str(1000 + n)}} for n in range(writing.ROWS) if n != 3]
    assert typed(items_of(sandbox, target)) == typed(imported)

    rejects = Path(report.reject_file or "")
    rejects.write_text(rejects.read_text().replace(r"{\"n\": 1}", r"{\"pk\": \"new\", \"n\": 1}"))
    redriven = job(sandbox.endpoint_url, target, rejects, folder=tmp_path / "state", redrive=True).run()
    assert (redriven.problem, redriven.rows) == (None, 1)
    assert typed(items_of(sandbox, target)) == typed([*imported, {"pk": {"S": "new"}, "n": {"N": "1"}}])

    images = BeforeImages.open(storage, writing.BEFORE)
    client = client_of(sandbox.endpoint_url)
    undone = Undo(client, target, images, WriteOptions(), folder=tmp_path / "state").run()
    assert (undone.problem, undone.keys) == (None, 59)
    assert typed(items_of(sandbox, target)) == typed([*writing.OLD, {"pk": {"S": "new"}, "n": {"N": "1"}}])


def test_other_documents_are_read(kept: Path, tmp_path: Path) -> None:
    documents = kept / "documents"
    world = json.loads((documents / "copy.json").read_text())["world"]
    copy = Checkpoint(documents / "copy.json", world).load(CopyState)
    assert copy
    assert (copy.phase, copy.segments, sorted(copy.places)) == ("copy", 4, [0, 1])
    scan = ScanProgress.found(kept / "scan", json.loads((kept / "scan" / "scan.json").read_text())["world"])
    assert scan
    begun = {int(path.name[8:13]) for path in (kept / "scan").glob("segment-*")}
    assert (scan.state.segments, set(scan.segments)) == (4, begun)
    assert all(one.pages for one in scan.segments.values())
    with FollowState(_follow(kept, tmp_path)) as state:
        following = state.load({"stream": "arn"})
        assert following
        assert (following.since, following.shards, following.applied) == (7, {"shard-1": "49"}, 3)
        assert state.newest(b"key") == (5, 10**30)
    made = Remembered(name="Restored", origin=ORIGIN, table="a-table-id", stage="copied")
    assert MadeTable(documents, "Restored", ORIGIN).load() == made
    cursor = Cursor.parse((documents / "cursor.json").read_text())
    assert (cursor.start_after, list(cursor.pending)) == ("01695096000000", ["01695096000001-d6299cbd"])


def test_the_landing_of_a_scan_is_known_again(kept: Path) -> None:
    """Dagster has its proof; what the landing says of its scan must give the same one."""
    landing = read_export(Storage(), str(kept / "scan" / "landing"))
    check_proof(landing, (kept / "scan" / "proof.txt").read_text())
    assert landing.scan
    assert (landing.scan.consistent, landing.scan.segments, landing.item_count) == (True, 4, len(writing.OLD))
    verify(Storage(), landing)


def _follow(kept: Path, folder: Path) -> Path:
    path = folder / "follow.sqlite"
    with sqlite3.connect(path) as connection:
        connection.executescript((kept / "documents" / "follow.sql").read_text())
    return path


def _receipt(folder: Path) -> object:
    place = f"{folder}/loads/lake/receipts"
    [ledger] = receipts.ledgers(Storage(), place, "orders")
    return [
        receipts.read(Storage(), place, "orders", one) for one in receipts.named(Storage(), place, "orders", ledger)
    ]


def _heading(folder: Path) -> object:
    [path] = (folder / "import" / "state").glob("*.jsonl")
    with path.open("rb") as lines:
        return read_heading(lines, str(path))


def _import(folder: Path) -> object:
    [path] = (folder / "import" / "state").glob("*.json")
    return Checkpoint(path, {}).given_up(CopyState)


NEWER: dict[str, tuple[str, str, Callable[[Path], object]]] = {
    "a report": ("loads/lake/parquet/*/1/*/report.json", "format", lambda folder: read_report(
        Storage(), str(next(folder.glob("loads/lake/parquet/*/1/*")))
    )),
    "a schema document": ("loads/lake/schemas/orders/000001.json", "format", lambda folder: SchemaStore(
        Storage(), f"{folder}/loads/lake/schemas"
    ).latest("orders")),
    "a profile": ("loads/lake/schemas/orders/profile.json", "format", lambda folder: seen_of(
        (folder / "loads/lake/schemas/orders/profile.json").read_bytes(), f"{folder}/loads/lake/schemas/orders/profile.json"
    )),
    "a receipt": ("loads/lake/receipts/*/*/*/receipt.json", "format", _receipt),
    "a checkpoint": ("import/state/*.json", "version", _import),
    "a reject file": ("import/state/*.rejects.jsonl", "reject_file", _heading),
    "before-images": ("import/before/before.json", "before_images", lambda folder: BeforeImages.open(
        Storage(), f"{folder}/import/before"
    )),
    "a landing": ("scan/landing/manifest-summary.json", "scan.format", lambda folder: read_export(
        Storage(), f"{folder}/scan/landing"
    )),
    "a segment": ("scan/segment-*.state.json", "format", lambda folder: ScanProgress.found(
        folder / "scan", json.loads((folder / "scan" / "scan.json").read_text())["world"]
    )),
    "a made table": ("documents/made-*.json", "format", lambda folder: MadeTable(
        folder / "documents", "Restored", ORIGIN
    ).load()),
}  # fmt: skip
"""Where each document is, how it says its version, and a call that reads it."""


@pytest.mark.parametrize("what", NEWER)
def test_a_newer_document_is_refused_and_left_as_it_is(tmp_path: Path, what: str) -> None:
    where, key, read = NEWER[what]
    folder = tmp_path / "kept"
    shutil.copytree(writing.HERE / KEPT[-1], folder)
    read(folder)
    for path in folder.glob(where):
        first, *rest = path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]
        newer: dict[str, Any] = json.loads(first)
        part = newer[key.partition(".")[0]] if "." in key else newer
        part.update({key.rpartition(".")[2]: 99, "something": "new"})
        path.write_text("\n".join([json.dumps(newer), *rest]))
        path.with_suffix(".md5").unlink(missing_ok=True)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(NewerFormatError, match=r"has version 99; .*upgrade ddb_assets") as refused:
        read(folder)
    assert any(str(path) in str(refused.value) for path in folder.glob(where))
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("what", ["a report", "a schema document"])
def test_rows_of_a_newer_form_are_refused(tmp_path: Path, what: str) -> None:
    """The document is of today's form, but what it says of its rows may mean something else."""
    where, _, read = NEWER[what]
    folder = tmp_path / "kept"
    shutil.copytree(writing.HERE / KEPT[-1], folder)
    paths = list(folder.glob(where))
    for path in paths:
        newer = json.loads(path.read_text())
        newer["identity"]["format"] = 2
        path.write_text(json.dumps(newer))
    with pytest.raises(
        NewerFormatError, match=r"the format of the rows has version 2; .*upgrade ddb_assets"
    ) as refused:
        read(folder)
    assert any(str(path) in str(refused.value) for path in paths)


def test_a_newer_state_of_following_is_refused(tmp_path: Path) -> None:
    path = _follow(writing.HERE / KEPT[-1], tmp_path)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE following SET state = json_set(state, '$.format', 99)")
    begun = Following(world={"stream": "arn"}, since=8, shards={}, read_at={}, created=None)
    with FollowState(path) as state:
        calls: list[Callable[[], object]] = [lambda: state.load({"stream": "arn"}), lambda: state.begin(begun)]
        for call in calls:  # the second one is that of --restart
            with pytest.raises(NewerFormatError, match=r"follow.sqlite: a newer ddb_assets"):
                call()
        assert state.newest(b"key") == (5, 10**30)


def test_a_damaged_state_of_following_can_be_begun_again(tmp_path: Path) -> None:
    path = _follow(writing.HERE / KEPT[-1], tmp_path)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE following SET state = json_remove(state, '$.since')")
    begun = Following(world={"stream": "arn"}, since=8, shards={}, read_at={}, created=None)
    with FollowState(path) as state:
        with pytest.raises(CheckpointError, match=r"follow.sqlite does not say how far .*: start over with --restart"):
            state.load({"stream": "arn"})
        state.begin(begun)
        assert state.load({"stream": "arn"}) == begun
