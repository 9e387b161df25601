"""Which files are read and in which order, what happens to rows that no table takes, and to jobs that end early."""

import gzip
import io
import json
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ddb_assets.aws import pauses
from ddb_assets.aws.storage import Storage
from ddb_assets.bulk.checkpoint import CheckpointError
from ddb_assets.bulk.lock import only_run
from ddb_assets.bulk.rows import SourceError
from ddb_assets.bulk.writing import delivery
from ddb_assets.costs.prices import prices
from ddb_assets.errors import DdbAssetsError
from ddb_assets.imports import import_job
from ddb_assets.imports.account import Progress
from ddb_assets.sandbox.server import Sandbox
from ddb_assets_tests.imports.importing import imported, job
from ddb_assets_tests.support.clients import s3_client
from ddb_assets_tests.support.fault_proxy import Fault, Schedule, fault_proxy
from ddb_assets_tests.support.http_answers import answering
from ddb_assets_tests.support.tables import client_of, items_of, new_table
from ddb_assets_tests.support.written_export import write_export


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pauses, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(delivery, "GRACE_SECONDS", 0.05)


def test_rejects_are_kept_whole_with_file_line_and_reason_and_can_be_redriven(sandbox: Sandbox, tmp_path: Path) -> None:
    target = new_table(sandbox)
    path = tmp_path / "a.csv"
    path.write_text('pk,n\na,1\n,2\nb,x,3\n"c"d,4\nd,5\n' + f"{'k' * 3000},6\n")
    state_folder = tmp_path / "state"
    report = job(sandbox.endpoint_url, target, path, folder=state_folder).run()
    assert report.problem
    assert "4 rows were rejected" in report.problem
    assert (report.rows, report.written, report.rejected) == (6, 2, 4)
    assert report.usd == pytest.approx(report.consumed_wcu * prices().dynamodb.million_writes / 1e6)
    assert report.consumed_wcu > 0
    assert [(r.line, r.reason.partition(":")[0]) for r in report.rejects] == [
        (3, "key attribute 'pk' is missing"),
        (4, "3 fields, but there are 2 columns"),
        (5, "not CSV"),
        (7, "key attribute 'pk' has 3000 bytes, DynamoDB takes 2048"),
    ]
    assert report.reject_file
    heading, *lines = [json.loads(line) for line in Path(report.reject_file).read_text().splitlines()]
    told = {name: heading[name] for name in ("table", "arn", "table_id", "format", "types", "settings")}
    assert told == {
        "table": target.name,
        "arn": target.arn,
        "table_id": target.id,
        "format": "csv",
        "types": {"pk": "S", "n": "N"},
        "settings": {},
    }
    assert [line.get("row") or line["text"] for line in lines] == [
        {"pk": None, "n": "2"},
        "b,x,3\n",
        '"c"d,4\n',
        {"pk": "k" * 3000, "n": "6"},
    ]
    lines[0]["row"]["pk"] = "mended"
    lines[1]["text"] = "b,3\n"
    lines[2]["text"] = '"c""d",4\n'
    lines[3]["row"]["pk"] = "short"
    mended = tmp_path / "mended.jsonl"
    mended.write_text("".join(json.dumps(line) + "\n" for line in [heading, *lines]))
    report = imported(sandbox.endpoint_url, target, mended, redrive=True, folder=state_folder)
    assert report.written == 4
    numbers_by_key = {item["pk"]["S"]: item["n"] for item in items_of(sandbox, target)}
    assert numbers_by_key == {
        k: {"N": n} for k, n in zip(["a", "d", "mended", "b", 'c"d', "short"], "152346", strict=True)
    }


def test_rejected_lines_of_json_are_kept_as_they_stood(sandbox: Sandbox, tmp_path: Path) -> None:
    target = new_table(sandbox)
    path = tmp_path / "a.json"
    lines = ['{"Item":{"pk":{"S":"a"}}}', '{"Item":{"pk":{"N":"1"}}}', "{", '{"Item":{"pk":{"S":"\\ud800"}}}', "7"]
    path.write_bytes("\n".join(lines).encode() + b'\n{"Item":{"pk":{"S":"\xff"}}}\n')
    report = job(sandbox.endpoint_url, target, path).run()
    assert (report.written, report.rejected) == (1, 5)
    assert report.reject_file
    kept = [json.loads(line) for line in Path(report.reject_file).read_text().splitlines()][1:]
    assert [line["text"] for line in kept[:4]] == lines[1:]
    assert [line["line"] for line in kept] == [2, 3, 4, 5, 6]


def test_so_many_rejects_are_allowed_and_no_more(sandbox: Sandbox, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("".join(f'{{"pk": {n}}}\n' if n % 2 else f'{{"pk": "k{n}"}}\n' for n in range(20)))
    target = new_table(sandbox)
    config = {"attributes": {"pk": {"column": "pk", "required": True}}, "types": {"pk": "B"}}
    assert job(sandbox.endpoint_url, target, path, config).run().rejected == 0  # a number becomes the key's type
    path.write_text("".join(f'{{"pk": [{n}]}}\n' if n % 2 else f'{{"pk": "k{n}"}}\n' for n in range(20)))
    assert job(sandbox.endpoint_url, target, path, max_rejects=10).run().problem is None
    stopped = job(sandbox.endpoint_url, target, path, max_rejects=4).run()
    assert stopped.problem
    assert "more than 4 rows were rejected" in stopped.problem
    assert stopped.rows < 20


def test_a_resumed_import_stops_at_the_same_number_of_rejects(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows that earlier runs rejected count, before anything more is written."""
    monkeypatch.setattr(import_job, "SAVE_SECONDS", 0.0)
    path, folder = tmp_path / "a.jsonl", tmp_path / "state"
    path.write_text("".join(f'{{"n": {n}}}\n' for n in range(8)) + "".join(f'{{"pk": "k{n}"}}\n' for n in range(50)))
    target = new_table(sandbox)
    first = job(sandbox.endpoint_url, target, path, folder=folder, max_rejects=4).run()
    assert "more than 4 rows were rejected, the last one because" in str(first.problem)
    assert first.rejected == 5
    for _ in range(2):
        again = job(sandbox.endpoint_url, target, path, folder=folder, max_rejects=4).run()
        assert "more than 4 rows were rejected by earlier runs" in str(again.problem)
        assert (again.rows, again.rejected_before, again.complete) == (0, 5, False)
    more = job(sandbox.endpoint_url, target, path, folder=folder, max_rejects=6).run()
    assert "more than 6 rows were rejected, the last one because" in str(more.problem)
    assert not items_of(sandbox, target)
    assert job(sandbox.endpoint_url, target, path, folder=folder, max_rejects=8).run().problem is None
    assert len(items_of(sandbox, target)) == 50


def test_units_of_a_provisioned_table_cost_nothing_more(sandbox: Sandbox, tmp_path: Path) -> None:
    throughput = {"ReadCapacityUnits": 40, "WriteCapacityUnits": 40}
    target = new_table(sandbox, BillingMode="PROVISIONED", ProvisionedThroughput=throughput)
    path = tmp_path / "a.jsonl"
    path.write_text('{"pk": "a"}\n')
    report = job(sandbox.endpoint_url, target, path, folder=tmp_path / "state").run()
    assert (report.problem, report.written, report.usd) == (None, 1, None)


def test_a_dry_run_reads_and_checks_everything_and_writes_nothing(sandbox: Sandbox, tmp_path: Path) -> None:
    target = new_table(sandbox)
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps({"pk": f"k{n}", "v": "x" * 1500}) + "\n" for n in range(50)) + '{"pk": ""}\n')
    folder = tmp_path / "state"
    report = job(sandbox.endpoint_url, target, path, folder=folder, dry_run=True, max_wcu=10).run()
    assert (report.rows, report.written, report.rejected, report.consumed_wcu) == (51, 50, 1, 100)
    assert report.expected_seconds == 10
    assert report.usd is None
    assert report.problem == "1 rows would be rejected"
    assert not folder.exists()
    assert not items_of(sandbox, target)


def test_modes(sandbox: Sandbox, tmp_path: Path) -> None:
    target = new_table(sandbox)
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps({"pk": f"k{n}", "v": "old"}) + "\n" for n in range(30)))
    imported(sandbox.endpoint_url, target, path)
    path.write_text("".join(json.dumps({"pk": f"k{n}", "v": "new"}) + "\n" for n in range(20, 40)))
    report = imported(sandbox.endpoint_url, target, path, {"mode": "if-not-exists"}, verify=5)
    assert (report.written, report.existed) == (10, 10)
    assert Counter(item["v"]["S"] for item in items_of(sandbox, target)) == {"old": 30, "new": 10}
    report = imported(sandbox.endpoint_url, target, path, {"mode": "delete"}, verify=5)
    assert report.deleted == 20
    assert len(items_of(sandbox, target)) == 20


def test_exports_are_imported_old_to_new_with_their_deletes(sandbox: Sandbox, tmp_path: Path) -> None:
    target = new_table(sandbox, ("id", "S"))

    def change(key: str, version: str | None) -> bytes:
        image = {"NewImage": {"id": {"S": key}, "v": {"S": version}}} if version else {}
        return json.dumps(
            {"Metadata": {"WriteTimestampMicros": {"N": "1"}}, "Keys": {"id": {"S": key}}, **image}
        ).encode()

    storage, root = Storage(), str(tmp_path / "bucket")
    full = [[f'{{"Item":{{"id":{{"S":"{key}"}},"v":{{"S":"0"}}}}}}'.encode() for key in "abc"]]
    write_export(storage, root, lines=full, export_id="01695097219999-aaaaaaaa", exportTime="2023-09-18T17:00:00.000Z")
    second: Any = {"exportFromTime": "2023-09-19T04:00:00.000Z", "exportToTime": "2023-09-19T05:00:00.000Z"}
    later = [[change("b", "2"), change("c", None)]]
    write_export(storage, root, lines=later, incremental=True, export_id="01695097210000-cccccccc", **second)
    first = [[change("a", "1"), change("b", "1"), change("d", "1")]]
    write_export(storage, root, lines=first, incremental=True, export_id="01695097218000-bbbbbbbb")
    report = imported(sandbox.endpoint_url, target, root)
    assert (report.rows, report.deleted, report.format) == (8, 1, "dynamodb-json")
    assert {item["id"]["S"]: item["v"]["S"] for item in items_of(sandbox, target)} == {"a": "1", "b": "2", "d": "1"}


def test_files_of_a_glob_and_of_a_folder(sandbox: Sandbox, tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv", "_SUCCESS", ".hidden"):
        (tmp_path / name).write_text(f"pk,from\n{name[0]},{name}\nsame,{name}\n")
    target = new_table(sandbox)
    assert imported(sandbox.endpoint_url, target, tmp_path).rows == 4
    assert {item["pk"]["S"]: item["from"]["S"] for item in items_of(sandbox, target)}["same"] == "b.csv"
    assert imported(sandbox.endpoint_url, target, f"{tmp_path}/a*.csv").rows == 2
    with pytest.raises(SourceError, match="no file with content"):
        imported(sandbox.endpoint_url, target, f"{tmp_path}/x*.csv")
    (tmp_path / "c.parquet").write_bytes(b"PAR1")
    with pytest.raises(SourceError, match="several formats"):
        imported(sandbox.endpoint_url, target, tmp_path)


def test_files_on_s3(sandbox: Sandbox) -> None:
    bucket = f"b-{uuid.uuid4().hex}"
    s3 = sandbox.s3()
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="in/a.csv.gz", Body=gzip.compress(b"pk\na\n"))
    table = io.BytesIO()
    pq.write_table(pa.table({"pk": ["b"]}), table)
    s3.put_object(Bucket=bucket, Key="in2/b", Body=table.getvalue())
    target = new_table(sandbox)
    for uri in (f"s3://{bucket}/in/*.csv.gz", f"s3://{bucket}/in2"):
        imported(sandbox.endpoint_url, target, uri, storage=Storage(s3))
    assert {item["pk"]["S"] for item in items_of(sandbox, target)} == {"a", "b"}


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("a.csv", b"a,a\n1,2\n", "the header has the name 'a' 2 times"),
        ("a.csv", b'pk\n"never closed\n', None),
        ("a.json.gz", gzip.compress(b'{"Item":{"pk":{"S":"a"}}}\n' * 999)[:-9], "not a complete gzip file"),
        ("a.parquet", b"PAR1 and then nothing", "cannot be read as Parquet"),
        ("a.bin", b"what is this?", "give --format"),
    ],
)
def test_a_damaged_file_fails_the_import(
    sandbox: Sandbox, tmp_path: Path, name: str, data: bytes, said: str | None
) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    try:
        problem = job(sandbox.endpoint_url, new_table(sandbox), path).run().problem
    except SourceError as error:
        problem = str(error)
    assert problem
    assert said is None or said in problem


def test_what_dynamodb_never_takes_stops_the_import_and_is_resumed(sandbox: Sandbox, tmp_path: Path) -> None:
    target = new_table(sandbox)
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps({"pk": f"k{n}"}) + "\n" for n in range(300)) + "broken\n")
    folder = tmp_path / "state"
    with fault_proxy(sandbox.endpoint_url) as proxy:
        proxy.schedule = Schedule(seed=3, rate=1.0, faults=frozenset({Fault.UNPROCESSED_SOME}))
        stopped = job(proxy.endpoint_url, target, path, folder=folder, deadline=0.05, in_flight=2).run()
        assert stopped.problem
        assert "could not be written within 0.05 s" in stopped.problem
        assert stopped.reject_file
        _, *kept = [json.loads(line) for line in Path(stopped.reject_file).read_text().splitlines()]
        assert len(kept) == stopped.unprocessed > 0
        assert all(line["fate"] == "unprocessed" and json.loads(line["text"])["pk"] for line in kept)
        proxy.schedule = Schedule()
        resumed = job(proxy.endpoint_url, target, path, folder=folder).run()
    assert resumed.problem
    assert "1 rows were rejected" in resumed.problem
    assert resumed.rows_before + resumed.rows == 301
    assert len(items_of(sandbox, target)) == 300
    _, *kept = [json.loads(line) for line in Path(str(resumed.reject_file)).read_text().splitlines()]
    assert [(line["fate"], line["text"]) for line in kept] == [("rejected", "broken")]


def test_a_run_that_is_cancelled_from_outside_goes_on_where_it_was(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Dagster does it: by an exception in the middle of whatever is done."""
    monkeypatch.setattr(import_job, "PROGRESS_SECONDS", 0.0)
    target = new_table(sandbox)
    path, folder = tmp_path / "a.jsonl", tmp_path / "state"
    path.write_text("".join(json.dumps({"pk": f"k{n}"}) + "\n" for n in range(400)))

    def cancel(now: Progress) -> None:
        if now.rows == 200:
            now.rows += 1  # once
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        job(sandbox.endpoint_url, target, path, folder=folder, on_progress=cancel).run()
    report = imported(sandbox.endpoint_url, target, path, folder=folder)
    assert report.rows_before
    assert report.rows_before + report.rows == 400
    assert len(items_of(sandbox, target)) == 400


def test_a_file_that_is_out_of_reach_for_a_moment_may_be_tried_again(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second reading of a CSV file, after the one for its types."""
    body, served = b"pk,n\na,1\n", [0]

    def answer(_: str) -> Any:
        served[0] += 1
        if served[0] > 3:
            return 503, b"", {}
        return 200, body, {"ETag": '"a"', "x-amz-request-id": "R"}

    with answering(answer) as url:
        storage = Storage(s3_client(url))
        report = job(sandbox.endpoint_url, new_table(sandbox), "s3://bucket/a.csv", storage=storage).run()
    assert "S3 is busy" in str(report.problem)
    assert report.retryable
    path = tmp_path / "a.csv"
    path.write_bytes(b"pk,n\n,1\n")
    rejected = job(sandbox.endpoint_url, new_table(sandbox), path, max_rejects=0).run()
    assert rejected.problem
    assert not rejected.retryable


@pytest.mark.parametrize("change", ["settled", "types"])
def test_a_checkpoint_of_another_form_is_refused(sandbox: Sandbox, tmp_path: Path, change: str) -> None:
    path, folder = tmp_path / "a.jsonl", tmp_path / "state"
    path.write_text('{"n": 1}\n' * 3)
    again = job(sandbox.endpoint_url, new_table(sandbox), path, folder=folder, max_rejects=1)
    assert again.run().problem
    saved = json.loads(again.checkpoint.path.read_text())
    again.checkpoint.path.write_text(json.dumps({**saved, "state": {**saved["state"], change: 7}}))
    with pytest.raises(CheckpointError, match="is not a checkpoint of this job: start over with --restart"):
        again.run()
    del saved["state"][change]
    again.checkpoint.path.write_text(json.dumps(saved))
    with pytest.raises(CheckpointError, match="is not a checkpoint of this job"):
        again.run()


class Stuck(Schedule):
    """DynamoDB throttles the item of one key for ever, and takes all others."""

    def some(self, members: list[Any]) -> list[Any]:
        return [member for member in members if member["PutRequest"]["Item"]["pk"] == {"S": "stuck"}]


def test_a_later_file_is_written_again_after_an_earlier_one_that_was_not_settled(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    """The row of the earlier file is written twice; the later file's row of the same key must win both times."""
    target = new_table(sandbox)
    (source := tmp_path / "source").mkdir()
    first, second = ("".join(f"{name}{n},x\n" for n in range(60)) for name in "ab")
    (source / "1.csv").write_text(f"pk,s\nstuck,x\n{first}both,old\n")
    (source / "2.csv").write_text(f"pk,s\n{second}both,new\n{second}")
    folder = tmp_path / "state"
    with fault_proxy(sandbox.endpoint_url) as proxy:
        proxy.schedule = Stuck(rate=1.0, faults=frozenset({Fault.UNPROCESSED_SOME}))
        report = job(proxy.endpoint_url, target, source, folder=folder, deadline=0.5).run()
        assert "could not be written within" in (report.problem or "")
        proxy.schedule = Schedule()
        report = job(proxy.endpoint_url, target, source, folder=folder).run()
    assert report.problem is None
    assert report.rows_before + report.rows == 183
    found = {item["pk"]["S"]: item["s"]["S"] for item in items_of(sandbox, target)}
    assert (found["both"], found["stuck"], len(found)) == ("new", "x", 122)


def test_the_same_import_does_not_run_twice_at_a_time(sandbox: Sandbox, tmp_path: Path) -> None:
    """Else both would keep one checkpoint, and rows that only one of them has written."""
    target, other = new_table(sandbox), new_table(sandbox)
    path, folder = tmp_path / "a.jsonl", tmp_path / "state"
    path.write_text('{"pk": "a"}\n')
    running = job(sandbox.endpoint_url, target, path, folder=folder)
    with only_run(running.checkpoint.path.with_suffix(".lock"), "import"):
        with pytest.raises(DdbAssetsError, match="another run of this import is under way"):
            running.run()
        assert imported(sandbox.endpoint_url, other, path, folder=folder).written == 1
    assert running.run().written == 1


def test_an_item_that_was_changed_behind_the_imports_back_is_found(sandbox: Sandbox, tmp_path: Path) -> None:
    target = new_table(sandbox)
    path = tmp_path / "a.jsonl"
    path.write_text('{"pk": "a", "v": 1}\n')
    running = job(sandbox.endpoint_url, target, path, verify=1)
    finish = running._output.finish

    def meddled(*told: Any, **named: Any) -> None:
        finish(*told, **named)
        client_of(sandbox.endpoint_url).delete_item(TableName=target.name, Key={"pk": {"S": "a"}})

    running._output.finish = meddled  # type: ignore[method-assign]
    report = running.run()
    assert report.verified
    assert report.verified.different == [{"pk": {"S": "a"}}]
    assert report.problem
    assert "1 of 1 items" in report.problem
