"""A job's result is published only when every file is as the result says and everything adds up."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import ddb_assets
from ddb_assets.aws.owned_folder import FolderError
from ddb_assets.aws.storage import Storage
from ddb_assets.contract.table import Table
from ddb_assets.errors import DdbAssetsError
from ddb_assets.exports.manifest import Export, read_export
from ddb_assets.flatten.flatten import Flattened, flatten
from ddb_assets.flatten.output import read_report
from ddb_assets.settings import MASK_SECRET
from ddb_assets.spark.code import own_code
from ddb_assets.spark.file_task import FileRow, Pass
from ddb_assets.spark.job import FlattenJob, JobError, JobResult, read_document
from ddb_assets.spark.passes import run_passes
from ddb_assets.spark.publish import abandon, publish
from ddb_assets_tests.flatten.rebuild import rebuild
from ddb_assets_tests.spark.flattening import KEY, STORAGE, Jobs, assert_same, hard_export, in_process, items, rows
from ddb_assets_tests.support.clients import s3_client
from ddb_assets_tests.support.places import Place
from ddb_assets_tests.support.written_export import write_export

SECRET = b"the secret of the masks"


@dataclass
class Ended:
    """A job that has ended, and is not published yet; everything is as the job has left it before each test."""

    jobs: Jobs
    job: FlattenJob

    def publish(self) -> Flattened:
        return publish(STORAGE, self.job, self.jobs.schemas)

    @property
    def result(self) -> JobResult:
        return read_document(STORAGE, self.job.result_uri, JobResult)

    def change(self, change: Callable[[dict[str, Any]], None]) -> None:
        """Changes the result's document, as a defect in the job would."""
        document = json.loads(STORAGE.read(self.job.result_uri))
        change(document)
        STORAGE.write(self.job.result_uri, json.dumps(document).encode())

    def assert_unpublished(self) -> None:
        assert not STORAGE.exists(f"{self.job.out}/report.json")
        assert self.jobs.schemas.latest("orders") is None


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MASK_SECRET, SECRET.decode())


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> tuple[Jobs, FlattenJob, Path]:
    folder = tmp_path_factory.mktemp("ended")
    jobs = Jobs(None, folder / "work")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(MASK_SECRET, SECRET.decode())
        job = jobs.prepared(hard_export(folder / "work"))
        jobs.run(job)
    shutil.copytree(folder / "work", folder / "kept")
    return jobs, job, folder


@pytest.fixture
def ended(once: tuple[Jobs, FlattenJob, Path]) -> Ended:
    jobs, job, folder = once
    shutil.rmtree(folder / "work")
    shutil.copytree(folder / "kept", folder / "work")
    return Ended(jobs, job)


def test_documents_come_back_as_they_were(ended: Ended) -> None:
    assert read_document(STORAGE, ended.job.uri, FlattenJob) == ended.job
    result = ended.result
    assert JobResult.from_json(result.to_json(), "here") == result
    assert result.summary["rows"]["orders"] == 155
    with pytest.raises(
        JobError, match="job-x: pages: Extra inputs are not permitted: Dagster and the job must have the same"
    ):
        FlattenJob.from_json(json.dumps({**json.loads(ended.job.to_json()), "pages": 1}).encode(), "job-x")


@pytest.mark.parametrize("kind", [FlattenJob, JobResult])
def test_a_document_of_a_newer_version_is_refused(ended: Ended, kind: type[FlattenJob | JobResult]) -> None:
    """The job on its driver, the result in Dagster: each side may be the older one."""
    document = ended.job if kind is FlattenJob else ended.result
    uri = document.uri if isinstance(document, FlattenJob) else ended.job.result_uri
    STORAGE.write(uri, json.dumps({**json.loads(document.to_json()), "format": 2, "speed": 1}).encode())
    said = f"{uri}: a newer ddb_assets wrote this.* has version 2; .*upgrade ddb_assets.*make the job's bundle again"
    with pytest.raises(JobError, match=said):
        read_document(STORAGE, uri, kind)
    if kind is JobResult:
        with pytest.raises(JobError, match=said):
            ended.publish()
        ended.assert_unpublished()


def cut(data: bytes) -> bytes:
    return data[:-1]


def altered(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


@pytest.mark.parametrize(
    ("damage", "said"),
    [(None, "is missing"), (cut, "has [0-9]+ bytes, not [0-9]+"), (altered, "has the MD5 .*, not ")],
)
@pytest.mark.parametrize("folder", ["orders", "orders__lines", "_quarantine"])
def test_a_file_that_is_not_as_the_job_says_is_named(
    ended: Ended, folder: str, damage: Callable[[bytes], bytes] | None, said: str
) -> None:
    victim = next(iter(STORAGE.list(f"{ended.job.out}/{folder}"))).uri
    if damage is None:
        STORAGE.delete([victim])
    else:
        STORAGE.write(victim, damage(STORAGE.read(victim)))
    with pytest.raises(JobError, match=f"1 of the [0-9]+ files that the job says .*{victim} {said}"):
        ended.publish()
    ended.assert_unpublished()


def test_parts_of_a_bucket_with_a_key_of_kms_are_not_read_again(bucket: Place) -> None:
    """Their ETags are no MD5s there. Dagster's side would read all Parquet of a huge export."""
    client = s3_client(bucket.storage.s3.meta.endpoint_url)
    got: list[str] = []
    client.meta.events.register("before-call.s3.GetObject", lambda params, **_: got.append(params["url_path"]))
    for operation in ("HeadObject", "GetObject", "ListObjectsV2"):
        client.meta.events.register_last(f"after-call.s3.{operation}", as_with_kms)
    storage = Storage(client)
    jobs = Jobs(None, f"{bucket.root}/lake", storage)
    job = jobs.prepared(hard_export(bucket.root, storage))

    def run_pass(one: Pass, export: Export) -> Iterator[FileRow]:
        return (one.row(storage, numbered, SECRET) for numbered in enumerate(export.files))

    result = run_passes(storage, job, SECRET, run_pass)
    files = {uri.removeprefix(bucket.root) for uri in result.report.files if "/_unread/" not in uri}
    assert len(files) > 8
    victim = result.report.root.parts[0].uri
    content = storage.read(victim)
    storage.write(victim, altered(content))
    with pytest.raises(JobError, match=f"1 of the [0-9]+ files .*{victim} has the MD5 .*, not "):
        publish(storage, job, jobs.schemas)
    storage.write(victim, content)
    assert victim.removeprefix(bucket.root) in got
    got.clear()
    publish(storage, job, jobs.schemas)
    assert files & set(got) == set()


def test_a_part_that_changes_before_its_task_has_ended_is_found(bucket: Place) -> None:
    """Its ETag is not the MD5 of what the task wrote, although no key of KMS is the reason."""
    storage = Storage(s3_client(bucket.storage.s3.meta.endpoint_url))
    jobs = Jobs(None, f"{bucket.root}/lake", storage)
    job = jobs.prepared(hard_export(bucket.root, storage))
    changed: list[str] = []

    def change(params: dict[str, Any], **_: object) -> None:
        """Before the task asks for the ETag of a part, somebody writes another content."""
        uri = f"{bucket.root}{params['url_path']}"
        if not changed and "/orders/" in uri and uri.endswith(".parquet"):
            changed.append(uri)
            bucket.storage.write(uri, altered(bucket.storage.read(uri)))

    storage.s3.meta.events.register("before-call.s3.HeadObject", change)

    def run_pass(one: Pass, export: Export) -> Iterator[FileRow]:
        return (one.row(storage, numbered, SECRET) for numbered in enumerate(export.files))

    result = run_passes(storage, job, SECRET, run_pass)
    assert changed[0] in result.report.files
    with pytest.raises(JobError, match=f"1 of the [0-9]+ files .*{changed[0]} has the MD5 .*, not "):
        publish(bucket.storage, job, jobs.schemas)


def as_with_kms(parsed: dict[str, Any], **_: object) -> None:
    """The ETags that S3 gives objects that are encrypted with a key of KMS: 32 digits that are not the MD5 of the content."""
    if "ETag" in parsed:
        parsed["ServerSideEncryption"] = "aws:kms"
    for found in (parsed, *parsed.get("Contents", [])):
        if "ETag" in found:
            found["ETag"] = f'"{hashlib.sha256(found["ETag"].encode()).hexdigest()[:32]}"'


def edit_report(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda document: document["report"].update(changes)


def drop_part(document: dict[str, Any]) -> None:
    document["report"]["schema"][0]["parts"].pop()


def drop_part_and_its_rows(document: dict[str, Any]) -> None:
    root = document["report"]["schema"][0]
    root["rows"] -= root["parts"].pop()["rows"]
    document["report"]["rows"]["orders"] = root["rows"]


def list_twice(document: dict[str, Any]) -> None:
    document["quarantine"][1] = document["quarantine"][0]


def name_another_file(document: dict[str, Any]) -> None:
    part = document["report"]["schema"][0]["parts"][0]
    part["uri"] = part["uri"].replace(document["job"], "0123456789ab")


def forget_a_line(document: dict[str, Any]) -> None:
    document["quarantine"][0]["lines"] += 1


def forget_a_file(document: dict[str, Any]) -> None:
    document["files"].pop()


def misname_a_row(document: dict[str, Any]) -> None:
    document["files"][0]["rows"] += 1


def other_id(document: dict[str, Any]) -> None:
    document["job"] = "0123456789ab"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (other_id, "the result is of another job"),
        (edit_report(digest="x"), "made under another contract, key or mask secret"),
        (edit_report(export_arn="x"), "its report is of another export"),
        (edit_report(schema_version=7), "the schema is not that of the rows"),
        (
            edit_report(lines_read=157),
            "158 items in the manifest, 157 lines read, 155 rows and 3 quarantined must agree",
        ),
        (drop_part, "the parts do not have the rows of their relations"),
        (drop_part_and_its_rows, "must agree"),
        (list_twice, "a file is listed twice"),
        (name_another_file, "a file is not one of this job"),
        (forget_a_line, "the quarantine files do not have the quarantined lines"),
        (edit_report(bytes_parquet=1), "the sizes of the parts do not add up"),
        (forget_a_file, "what it says of each file does not add up"),
        (misname_a_row, "what it says of each file does not add up"),
    ],
)
def test_a_result_that_does_not_add_up_is_refused(
    ended: Ended, change: Callable[[dict[str, Any]], None], said: str
) -> None:
    ended.change(change)
    with pytest.raises(JobError, match=said):
        ended.publish()
    ended.assert_unpublished()


def test_other_code_than_that_of_dagsters_side_is_refused(ended: Ended, monkeypatch: pytest.MonkeyPatch) -> None:
    """An older bundle, or an older ddb-assets on the driver or a worker."""
    old = ended.job.model_copy(update={"code": "0.0.9-0123456789ab"})
    with pytest.raises(
        JobError, match=r"made by ddb-assets 0\.0\.9-0123456789ab, and the driver of the job has ddb-assets .*-"
    ):
        ended.jobs.run(old)
    monkeypatch.setattr("ddb_assets.spark.passes.other_code", lambda *_: "")
    said: list[str] = []

    def run_pass(one: Pass, export: Export) -> list[FileRow]:
        said.extend(one.row(STORAGE, numbered, SECRET).problem for numbered in enumerate(export.files))
        raise JobError(said[0])

    with pytest.raises(
        JobError, match=r"and a worker has ddb-assets .*: make the bundle again .* on the driver and the workers"
    ):
        run_passes(STORAGE, old, SECRET, run_pass)


def test_other_code_is_known_by_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / "ddb_assets"
    shutil.copytree(ddb_assets.__path__[0], copy, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    monkeypatch.setattr(ddb_assets, "__path__", [str(copy)])
    assert own_code.__wrapped__() == own_code()
    (copy / "defs/mine.py").write_text("x = 1\n")  # a project's own
    assert own_code.__wrapped__() == own_code()
    (copy / "errors.py").write_text("x = 1\n")
    assert own_code.__wrapped__() != own_code()


def test_the_list_of_files_goes_when_no_job_makes_the_content(ended: Ended) -> None:
    ended.publish()
    listed = f"{ended.job.out}/files.jsonl"
    files = [json.loads(line) for line in STORAGE.read(listed).splitlines()]
    assert [(file["number"], file["lines"], file["quarantined"]) for file in files] == [
        (0, 60, 0),
        (1, 27, 2),
        (2, 0, 0),
        (3, 41, 1),
        (4, 30, 0),
    ]
    flatten(STORAGE, hard_export(ended.jobs.folder), table=ended.jobs.table, key=KEY, out=ended.job.out)
    assert not STORAGE.exists(listed)


def test_a_job_with_another_mask_secret_is_refused(ended: Ended, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MASK_SECRET, "another one")
    with pytest.raises(JobError, match="another contract, key or mask secret"):
        ended.publish()
    ended.assert_unpublished()


def test_a_schema_that_another_run_stored_meanwhile_is_not_replaced(ended: Ended, tmp_path: Path) -> None:
    export = hard_export(tmp_path)
    other = in_process(export, tmp_path, ended.jobs.table)
    assert ended.jobs.schemas.publish(other.schema)
    with pytest.raises(JobError, match="another run has stored a version of the schema of 'orders' while the job ran"):
        ended.publish()
    assert ended.jobs.schemas.latest("orders") == other.schema
    assert not STORAGE.exists(f"{ended.job.out}/report.json")


def test_a_folder_that_another_run_has_replaced_meanwhile_is_left_alone(ended: Ended, tmp_path: Path) -> None:
    export = hard_export(ended.jobs.folder)
    before = flatten(STORAGE, export, table=ended.jobs.table, key=KEY, out=ended.job.out)
    with pytest.raises(DdbAssetsError):
        ended.publish()
    assert read_report(STORAGE, ended.job.out) == before.report
    assert all(STORAGE.exists(uri) for uri in before.report.files)


def test_a_task_that_was_given_up_may_still_write(ended: Ended) -> None:
    """Its file carries the id of the job, so that it does not block the folder, and the next run deletes it."""
    report = ended.publish().report
    late = f"{ended.job.out}/orders/part-00000-00000-1-{ended.job.id}.parquet"
    STORAGE.write(late, b"late")
    job = ended.jobs.prepared(hard_export(ended.jobs.folder))
    abandon(STORAGE, job)
    assert [uri for uri in report.files if not STORAGE.exists(uri)] == []
    in_place = Table.model_validate(ended.jobs.table.model_dump())
    flatten(STORAGE, hard_export(ended.jobs.folder), table=in_place, key=KEY, out=ended.job.out)
    assert not STORAGE.exists(late)


def test_what_is_abandoned_leaves_its_claim_alone(ended: Ended) -> None:
    """A task that nobody could stop may still write. The claim shows that its file is ours, and the next run deletes both."""
    late = f"{ended.job.out}/orders/part-00000-00000-1-{ended.job.id}.parquet"
    abandon(STORAGE, ended.job)
    present = [entry.uri for entry in STORAGE.list(ended.job.out) if "/_spill/" not in entry.uri]
    assert present == [f"{ended.job.out}/_unfinished-{ended.job.id}.json"]
    STORAGE.write(late, b"late")
    flattened = flatten(STORAGE, hard_export(ended.jobs.folder), table=ended.jobs.table, key=KEY, out=ended.job.out)
    assert not STORAGE.exists(late)
    assert not STORAGE.exists(present[0])
    assert all(STORAGE.exists(uri) for uri in flattened.report.files)


def test_of_two_jobs_at_once_the_second_is_refused_and_leaves_nothing_in_the_way(ended: Ended) -> None:
    """The first one deletes what the second has written so far, its claim included; the second goes on writing."""
    second = ended.jobs.prepared(hard_export(ended.jobs.folder))
    report = ended.publish().report
    ended.jobs.run(second.model_copy(update={"stored": None}))
    with pytest.raises(FolderError, match=r"another run has written to .* at the same time"):
        publish(STORAGE, second, ended.jobs.schemas)
    abandon(STORAGE, second)
    assert all(STORAGE.exists(uri) for uri in report.files)
    third = ended.jobs.prepared(hard_export(ended.jobs.folder))
    ended.jobs.run(third)
    report = publish(STORAGE, third, ended.jobs.schemas).report
    names = {
        *report.files,
        *(f"{third.out}/{name}" for name in ("report.json", "schema.json", "profile.json", "files.jsonl")),
    }
    assert {entry.uri for entry in STORAGE.list(third.out) if "/_spill/" not in entry.uri} == names


def test_a_table_can_change_its_engine_and_nothing_changes(ended: Ended) -> None:
    """By a job, then in one process, then by a job: the stored schema stays, and fits at once."""
    first = ended.publish()
    export, schemas = hard_export(ended.jobs.folder), ended.jobs.schemas
    here = flatten(STORAGE, export, table=ended.jobs.table, key=KEY, out=ended.job.out, schemas=schemas)
    rows_here = [rows(relation) for relation in here.report.relations]
    again = ended.jobs(export)
    assert ended.jobs.passes == 1
    assert first.schema == here.schema == again.schema == schemas.latest("orders")
    assert first.report.digest == here.report.digest == again.report.digest
    assert [rows(relation) for relation in again.report.relations] == rows_here
    with pytest.raises(JobError, match="has ended without a result"):
        ended.publish()
    abandon(STORAGE, ended.job)


def test_what_was_published_is_not_abandoned(ended: Ended) -> None:
    report = ended.publish().report
    abandon(STORAGE, ended.job)
    assert all(STORAGE.exists(uri) for uri in report.files)


def test_a_folder_with_files_of_others_is_refused_before_a_job_is_made(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(FolderError, match=r"mine\.txt"):
        Jobs(None, tmp_path).prepared(hard_export(tmp_path))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]


def test_an_export_that_was_replaced_since_the_job_was_made_is_refused(tmp_path: Path) -> None:
    jobs = Jobs(None, tmp_path)
    job = jobs.prepared(hard_export(tmp_path))
    write_export(STORAGE, f"{tmp_path}/bucket", lines=[items(0, 3)])
    with pytest.raises(JobError, match="is not the export that the job was made for"):
        jobs.run(job)


def test_an_export_that_was_replaced_while_the_job_ran_is_refused(ended: Ended) -> None:
    write_export(STORAGE, f"{ended.jobs.folder}/bucket", lines=[items(0, 3)])
    with pytest.raises(JobError, match="the export has been replaced since the job was made"):
        ended.publish()
    ended.assert_unpublished()


@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [2, 4, 0, 3, 1]])
def test_rows_do_not_depend_on_the_order_in_which_files_are_read(tmp_path: Path, order: list[int]) -> None:
    """Spark gives the rows in the order of the files, however it reads them; each file is flattened on its own."""
    export = hard_export(tmp_path)
    jobs = Jobs(None, tmp_path)
    job = jobs.prepared(export)

    def in_another_order(one: Pass, export: Export) -> list[FileRow]:
        rows = {number: one.row(STORAGE, (number, export.files[number]), SECRET) for number in order}
        return [rows[number] for number in sorted(rows)]

    run_passes(STORAGE, job, SECRET, in_another_order)
    assert_same(publish(STORAGE, job, jobs.schemas), in_process(export, tmp_path, jobs.table))


def test_a_column_that_only_one_file_has_is_in_all_parts(tmp_path: Path) -> None:
    """The table is known: the files before it fit its schema, and have been written when the last file is read."""
    jobs = Jobs(None, tmp_path)
    jobs(hard_export(tmp_path))
    lines = [items(0, 10, a={"N": "1"}), items(10, 10), items(20, 5, new={"BOOL": True})]
    source = write_export(STORAGE, f"{tmp_path}/second", lines=lines, export_id="01695097218001-d6299cbd")
    flattened = jobs(read_export(STORAGE, source))
    assert jobs.passes == 2
    columns = [column.name for column in flattened.report.root.columns]
    assert [pl.read_parquet(part.uri).columns for part in flattened.report.root.parts] == [columns] * 3
    assert sum(pl.read_parquet(part.uri)["new"].sum() for part in flattened.report.root.parts) == 5
    assert not STORAGE.exists(flattened.report.root.parts[0].uri.replace("-2-", "-1-"))


def test_a_map_with_more_names_than_max_width_is_json_after_two_passes(tmp_path: Path) -> None:
    """The kernel does not count the names in opaque JSON, of which samples have enough to decide."""
    many = {"M": {f"n{name}": {"N": "1"} for name in range(150)}}
    source = write_export(STORAGE, f"{tmp_path}/bucket", lines=[items(0, 100, m=many), items(100, 100, m=many)])
    export, jobs = read_export(STORAGE, source), Jobs(None, tmp_path)
    flattened = jobs(export)
    assert jobs.passes == 2
    assert {column.name: column.type for column in flattened.report.root.columns}["m"] == "SUPER"
    assert_same(flattened, in_process(export, tmp_path, jobs.table))


def test_types_that_look_alike_in_json_stay_apart_if_each_file_has_another(tmp_path: Path) -> None:
    """The table is known, the name is not: each file alone would let JSON show its own type."""
    jobs = Jobs(None, tmp_path, table="Orders", nested={"m": "json"})

    def flattened(number: int, *files: Any) -> Flattened:
        lines = [items(10 * place, 5, m={"M": value}) for place, value in enumerate(files)]
        source = write_export(
            STORAGE, f"{tmp_path}/b{number}", lines=lines, export_id=f"0169509721800{number}-d6299cbd"
        )
        return jobs(read_export(STORAGE, source))

    flattened(1, {"known": {"N": "1"}})
    flattened(2, {"new": {"B": "eHk="}}, {"new": {"S": "eHk="}})
    found = [item["m"]["new"] for item in rebuild(f"{tmp_path}/out")]
    assert sorted(map(repr, found)) == [repr("eHk=")] * 5 + [repr(b"xy")] * 5
