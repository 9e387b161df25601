"""An export flattened on a real Spark cluster comes out as in one process, whatever happens to its tasks and machines."""

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ddb_assets.aws.storage import Storage
from ddb_assets.contract.key_schema import KeySchema
from ddb_assets.errors import DdbAssetsError
from ddb_assets.exports.manifest import read_export
from ddb_assets.flatten.flatten import Flattened
from ddb_assets.settings import MASK_SECRET
from ddb_assets.spark.connect import from_environment
from ddb_assets.spark.file_facts import FileFacts
from ddb_assets.spark.job import FlattenJob, JobError
from ddb_assets.spark.publish import abandon, publish
from ddb_assets_tests.cases import CASES
from ddb_assets_tests.spark import faulty
from ddb_assets_tests.spark.flattening import (
    CONTRACT,
    STORAGE,
    Jobs,
    assert_same,
    contents,
    hard_export,
    hard_lines,
    in_process,
    items,
)
from ddb_assets_tests.support.places import Place
from ddb_assets_tests.support.spark_cluster import environment, until
from ddb_assets_tests.support.written_export import write_export

pytestmark = [pytest.mark.slow]
SECRET = "the secret of the masks"


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the driver has it: the workers were started without it."""
    monkeypatch.setenv(MASK_SECRET, SECRET)


def exports() -> list[Path]:
    return sorted(summary.parent for summary in CASES.rglob("manifest-summary.json"))


def key_of(folder: Path) -> KeySchema:
    """The key that a case's README names, by what its items have."""
    (file, *_) = sorted(folder.parent.rglob("*.gz"))
    found = json.loads(gzip.decompress(file.read_bytes()).splitlines()[0])
    names = found.get("Keys") or found["Item"]
    return KeySchema.of([name for name in ("id", "pk", "PK", "SK") if name in names][:2] or [next(iter(names))])


@pytest.mark.parametrize("folder", exports(), ids=lambda folder: folder.relative_to(CASES).parts[0])
def test_a_reported_export_comes_out_as_in_one_process(spark: Any, tmp_path: Path, folder: Path) -> None:
    export, key = read_export(STORAGE, str(folder)), key_of(folder)
    jobs = Jobs(spark, tmp_path, table=export.table_name, max_quarantined=100)
    plain = outcome(lambda: in_process(export, tmp_path, jobs.table, key))
    found = outcome(lambda: jobs(export, key))
    if isinstance(plain, str) or isinstance(found, str):
        assert found == plain
    else:
        assert_same(found, plain)


def outcome(flatten: Callable[[], Flattened]) -> Flattened | str:
    """What comes out, or the message of an error."""
    try:
        return flatten()
    except DdbAssetsError as error:
        return str(error)


def test_a_hard_export_comes_out_as_in_one_process(spark: Any, tmp_path: Path) -> None:
    """It has children, masks, long texts, bad lines, an empty file, types that differ, and a late attribute."""
    jobs, export = Jobs(spark, tmp_path), hard_export(tmp_path)
    job = jobs.prepared(export)
    result = jobs.run(job)
    assert result.passes == 2
    written = [STORAGE.read(uri) for uri in (job.uri, job.result_uri)]
    assert not any(SECRET.encode() in document for document in written)
    flattened = publish(STORAGE, job, jobs.schemas)
    assert_same(flattened, in_process(export, tmp_path, jobs.table))
    assert flattened.report.quarantined == 3
    assert flattened.report.misfits["spilled"] == {"note": flattened.report.misfits["spilled"]["note"]}
    assert {"late", "m__deep"} <= {column.name for column in flattened.report.root.columns}
    named = ("report.json", "schema.json", "profile.json", "files.jsonl")
    listed = {*flattened.report.files, *(f"{job.out}/{name}" for name in named)}
    assert {entry.uri for entry in STORAGE.list(job.out) if "/_spill/" not in entry.uri} == listed


def test_a_known_table_is_read_once_and_grows_by_another_pass(spark: Any, tmp_path: Path) -> None:
    jobs, export = Jobs(spark, tmp_path), hard_export(tmp_path)
    first = jobs(export)
    again = jobs(export)
    assert (jobs.passes, again.schema) == (1, first.schema)
    lines = [items(0, 10, a={"N": "1"}), items(10, 10, new={"BOOL": True})]
    source = write_export(STORAGE, f"{tmp_path}/second", lines=lines, export_id="01695097218001-d6299cbd")
    grown = jobs(read_export(STORAGE, source))
    assert (jobs.passes, grown.schema.version) == (2, 2)
    assert [change.path for change in grown.changes] == ["new"]
    assert (grown.report.root.rows, grown.report.extra_values) == (20, 0)


def test_windows_come_out_as_in_one_process(spark: Any, tmp_path: Path) -> None:
    def line(number: int, **image: Any) -> bytes:
        keys = {"pk": {"S": f"k{number}"}}
        images = {"NewImage": {**keys, **image}} if image else {}
        written = {"WriteTimestampMicros": {"N": str(1695060000000000 + number)}}
        return json.dumps({"Metadata": written, "Keys": keys, **images}).encode()

    lines = [
        [line(n, a={"N": str(n)}) for n in range(20)],
        [line(n) for n in range(20, 25)],
        [b"{}", line(30, a={"S": "x"}, email={"S": "e"})],
    ]
    source = write_export(STORAGE, f"{tmp_path}/bucket", lines=lines, incremental=True)
    jobs, export = Jobs(spark, tmp_path), read_export(STORAGE, source)
    flattened = jobs(export)
    assert_same(flattened, in_process(export, tmp_path, jobs.table))
    assert (flattened.report.deletes, flattened.report.quarantined) == (5, 1)


def test_files_on_s3(spark: Any, bucket: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver and the tasks find S3 by their environment."""
    for name, value in {
        "AWS_ENDPOINT_URL": bucket.storage.s3.meta.endpoint_url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    export = hard_export(bucket.root, bucket.storage)
    jobs = Jobs(spark, f"{bucket.root}/lake", bucket.storage)
    job = jobs.prepared(export)
    jobs.run(job, from_environment)
    local = Jobs(spark, tmp_path)
    here = local.prepared(hard_export(tmp_path))
    local.run(here)
    on_s3 = contents(bucket.storage, job)
    assert on_s3.keys() == contents(STORAGE, here).keys()
    assert publish(bucket.storage, job, jobs.schemas).report.root.rows == 155


def test_the_number_of_workers_changes_no_byte(spark: Any, tmp_path: Path) -> None:
    jobs = Jobs(spark, tmp_path)
    job = jobs.prepared(hard_export(tmp_path))
    jobs.run(job)
    written = contents(STORAGE, job)
    forget(job)
    Jobs(None, tmp_path).run(job)  # one after the other, in this process
    assert contents(STORAGE, job) == written


@pytest.mark.parametrize("happens", [faulty.kill_executor, faulty.break_off, faulty.wait])
def test_a_task_that_runs_again_writes_the_same_bytes(spark: Any, tmp_path: Path, happens: Any) -> None:
    """It has written a part already when its machine is gone, or its connection, or when Spark takes it for too slow."""
    jobs = Jobs(spark, tmp_path)
    job = jobs.prepared(hard_export(tmp_path))
    Jobs(None, tmp_path).run(job)
    written = contents(STORAGE, job)
    forget(job)
    started = time.monotonic()
    result = jobs.run(job, faulty.Accident(happens, "orders/part-00003", str(tmp_path / "happened")))
    assert (tmp_path / "happened").exists()
    assert time.monotonic() - started < faulty.SLOW
    assert contents(STORAGE, job) == written
    assert result.report.root.rows == 155


def forget(job: FlattenJob) -> None:
    """Deletes what a job has written, but for its document."""
    STORAGE.delete([entry.uri for entry in STORAGE.list(job.out) if "/orders" in entry.uri or "/_quara" in entry.uri])


def test_a_driver_that_is_killed_and_started_again(spark: Any, tmp_path: Path) -> None:
    jobs = Jobs(spark, tmp_path)
    job = jobs.prepared(hard_export(tmp_path))
    noted = tmp_path / "noted"
    command = [sys.executable, "-m", "ddb_assets_tests.spark.driver", job.uri, spark.master, "go_on_slowly", str(noted)]
    driver = subprocess.Popen(command, env=os.environ | environment())
    until(noted.exists)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    with pytest.raises(JobError, match="has ended without a result"):
        publish(STORAGE, job, jobs.schemas)
    jobs.run(job)
    flattened = publish(STORAGE, job, jobs.schemas)
    assert_same(flattened, in_process(read_export(STORAGE, job.export), tmp_path, jobs.table))


def test_a_damaged_file_is_named_and_nothing_is_published(spark: Any, tmp_path: Path) -> None:
    jobs, export = Jobs(spark, tmp_path), hard_export(tmp_path)
    before = jobs(export)
    data = STORAGE.read(export.files[3].uri)
    STORAGE.write(export.files[3].uri, data[: len(data) // 2])
    job = jobs.prepared(export)
    with pytest.raises(JobError, match=r"file3\.json\.gz is damaged: its MD5 is"):
        jobs.run(job)
    with pytest.raises(JobError, match="ended without a result"):
        publish(STORAGE, job, jobs.schemas)
    abandon(STORAGE, job)
    assert all(STORAGE.exists(uri) for uri in before.report.files)
    claim = f"{job.out}/_unfinished-{job.id}.json"  # until the next run has ended
    assert [entry.uri for entry in STORAGE.list(job.out) if job.id in entry.uri] == [claim]


def test_a_wrong_key_is_said_as_in_one_process(spark: Any, tmp_path: Path) -> None:
    lines = [items(0, 700), items(700, 700)]
    export = read_export(STORAGE, write_export(STORAGE, f"{tmp_path}/bucket", lines=lines))
    with pytest.raises(DdbAssetsError, match="have no key attribute 'id'"):
        Jobs(spark, tmp_path, table="Orders")(export, KeySchema(partition_key="id"))


def test_what_a_storage_says_in_vain_is_the_reason(spark: Any, tmp_path: Path) -> None:
    jobs = Jobs(spark, tmp_path)
    job = jobs.prepared(hard_export(tmp_path))
    with pytest.raises(
        JobError, match="the Spark job failed: BrokenOffError: the connection broke off; the driver's log"
    ):
        jobs.run(job, faulty.always_broken)


def test_the_types_of_a_new_table_do_not_depend_on_the_order_of_its_files(spark: Any, tmp_path: Path) -> None:
    files = [items(0, 5, a={"S": "x"}), items(10, 30, a={"N": "1"}), items(50, 10, b={"S": "y"})]
    found = []
    for number, order in enumerate(([0, 1, 2], [2, 0, 1], [1, 2, 0])):
        place = tmp_path / str(number)
        source = write_export(STORAGE, f"{place}/bucket", lines=[files[n] for n in order])
        found.append(Jobs(spark, place, **CONTRACT)(read_export(STORAGE, source)).schema.root)
    assert found[0] == found[1] == found[2]
    assert found[0].fields["a"].type == "BIGINT"


def test_the_progress_adds_up(spark: Any, tmp_path: Path) -> None:
    from ddb_assets.spark.run import run_job

    done: dict[int, list[FileFacts]] = {}
    job = Jobs(spark, tmp_path).prepared(hard_export(tmp_path))
    result = run_job(spark, job, Storage, lambda one, files: done.setdefault(one.number, []).extend(files))
    counts = list(map(len, hard_lines()))
    assert {number: {file.number: file.lines for file in files} for number, files in done.items()} == {
        number: dict(enumerate(counts)) for number in range(1, result.passes + 1)
    }
    assert sorted(done[result.passes], key=lambda file: file.number) == list(result.files)
