"""An import is resumed only in the world in which it was begun: the same table, files and configuration."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ddb_assets.aws.storage import Storage
from ddb_assets.aws.table import TableDescription
from ddb_assets.bulk.checkpoint import CheckpointError
from ddb_assets.bulk.reject_file import RejectFileError
from ddb_assets.bulk.superseded import Superseded
from ddb_assets.imports import import_job
from ddb_assets.imports.account import ImportReport, Progress
from ddb_assets.sandbox.server import Sandbox
from ddb_assets_tests.imports.importing import imported, job
from ddb_assets_tests.support.tables import client_of, items_of, new_table, target_of

ROWS = 400


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_job, "PROGRESS_SECONDS", 0.0)


def text(first: int = 0) -> str:
    return "".join(json.dumps({"pk": f"k{n:04}", "n": n + 1000}) + "\n" for n in range(first, first + ROWS))


class Begun:
    """An import that was ended in the middle, and the same import once more. The middle of the file is not its beginning."""

    def __init__(
        self,
        sandbox: Sandbox,
        tmp_path: Path,
        uri: str | None = None,
        storage: Storage | None = None,
        first: str = "",
        **options: Any,
    ) -> None:
        self.sandbox, self.state = sandbox, tmp_path / "state"
        self.target = new_table(sandbox)
        self.file = tmp_path / "rows" / "a.jsonl"
        self.file.parent.mkdir(parents=True)
        self.file.write_text(first + text())
        self.uri, self.storage = uri or str(self.file.parent), storage
        self.config: dict[str, Any] = {}
        with pytest.raises(KeyboardInterrupt):
            self.run(on_progress=_cancel, **options)

    def run(self, *, on_progress: Callable[[Progress], object] | None = None, **options: Any) -> ImportReport:
        return job(
            self.sandbox.endpoint_url,
            self.target,
            self.uri,
            self.config,
            folder=self.state,
            storage=self.storage,
            on_progress=on_progress,
            **options,
        ).run()


def _cancel(now: Progress) -> None:
    if now.rows == ROWS // 2:
        now.rows += 1  # once
        raise KeyboardInterrupt


def create_again(begun: Begun) -> None:
    client = client_of(begun.sandbox.endpoint_url)
    client.delete_table(TableName=begun.target.name)
    client.create_table(
        TableName=begun.target.name,
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    begun.target = target_of(begun.sandbox, begun.target.name)


def replace_file(begun: Begun) -> None:
    """By one of the same size and time, as `cp -p` and `rsync -t` do."""
    before = begun.file.stat()
    begun.file.write_text(text(ROWS))
    os.utime(begun.file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert begun.file.stat().st_size == before.st_size


def touch(begun: Begun) -> None:
    """The middle of a large file is not looked at, so another time is another file."""
    os.utime(begun.file, ns=(0, begun.file.stat().st_mtime_ns + 1))


def add_file(begun: Begun) -> None:
    (begun.file.parent / "0.jsonl").write_text('{"pk": "first"}\n')


def take_file(begun: Begun) -> None:
    begun.file.rename(begun.file.with_name("b.jsonl"))


def change_mapping(begun: Begun) -> None:
    begun.config = {"exclude": ["n"]}


def change_mode(begun: Begun) -> None:
    begun.config = {"mode": "if-not-exists"}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (create_again, r"table id: \S+ before, \S+ now"),
        (replace_file, r"files \S+a\.jsonl head and tail: "),
        (touch, r"files \S+a\.jsonl modified: "),
        (add_file, r"files \S+0\.jsonl: nothing before, "),
        (take_file, r"files \S+a\.jsonl: .* before, nothing now"),
        (change_mapping, r'configuration exclude: \[\] before, \["n"\] now'),
        (change_mode, r'configuration mode: "put" before, "if-not-exists" now'),
    ],
)
def test_in_another_world_it_is_refused_by_name_or_begun_again(
    sandbox: Sandbox, tmp_path: Path, change: Callable[[Begun], None], named: str
) -> None:
    begun = Begun(sandbox, tmp_path)
    change(begun)
    with pytest.raises(CheckpointError, match=named) as refused:
        begun.run()
    assert "--restart" in str(refused.value)
    assert "restart: true" in str(refused.value)
    report = begun.run(restart=True)
    assert (report.problem, report.resumed_at, report.rows_before) == (None, None, 0)
    assert len(items_of(sandbox, begun.target)) >= ROWS
    assert begun.run().rows_before == 0


def test_in_the_same_world_it_is_resumed_and_says_where(sandbox: Sandbox, tmp_path: Path) -> None:
    begun = Begun(sandbox, tmp_path)
    said: list[str] = []
    report = job(
        sandbox.endpoint_url, begun.target, begun.uri, folder=begun.state, on_resumed=said.append, in_flight=2
    ).run()
    assert report.problem is None
    assert report.rows_before
    assert said == [report.resumed_at] == [f"row {report.rows_before + 1:,} of {begun.file}"]
    assert report.rows_before + report.rows == ROWS
    assert len(items_of(sandbox, begun.target)) == ROWS


def test_an_object_on_s3_is_known_by_its_etag(sandbox: Sandbox, tmp_path: Path) -> None:
    s3, storage = sandbox.s3(), Storage(sandbox.s3())
    s3.create_bucket(Bucket="resumed")
    for uri in ("s3://resumed/in/a.jsonl", "s3://resumed/in/"):
        s3.put_object(Bucket="resumed", Key="in/a.jsonl", Body=text().encode())
        begun = Begun(sandbox, tmp_path / str(len(uri)), uri, storage)
        s3.put_object(Bucket="resumed", Key="in/a.jsonl", Body=text().encode())  # the same again, at another time
        assert begun.run().rows_before
        again = Begun(sandbox, tmp_path / f"{len(uri)}-again", uri, storage)
        s3.put_object(Bucket="resumed", Key="in/a.jsonl", Body=text(ROWS).encode())
        with pytest.raises(CheckpointError, match=r"files s3://\S+a\.jsonl etag: "):
            again.run()


def test_a_run_that_begins_again_leaves_no_place_of_the_one_before(sandbox: Sandbox, tmp_path: Path) -> None:
    """It may be killed before it saves its own place."""
    begun = Begun(sandbox, tmp_path)

    def at_once(_: Progress) -> None:
        raise KeyboardInterrupt

    killed = job(sandbox.endpoint_url, begun.target, begun.uri, folder=begun.state, restart=True, on_progress=at_once)
    killed._output.finish = lambda *_, **__: None  # type: ignore[method-assign]  # as SIGKILL does
    with pytest.raises(KeyboardInterrupt):
        killed.run()
    assert begun.run().rows_before == 0


def test_a_dry_run_asks_no_checkpoint(sandbox: Sandbox, tmp_path: Path) -> None:
    begun = Begun(sandbox, tmp_path)
    change_mapping(begun)
    assert begun.run(dry_run=True).rows == ROWS


def test_another_table_is_another_import(sandbox: Sandbox, tmp_path: Path) -> None:
    begun = Begun(sandbox, tmp_path)
    other: TableDescription = new_table(sandbox)
    assert imported(sandbox.endpoint_url, other, begun.uri, folder=begun.state).rows_before == 0


REJECTED = '{"n": 1}\n'


def rejecting(sandbox: Sandbox, folder: Path, rejects: str, storage: Storage | None = None) -> Begun:
    """A job that has rejected a row and was killed."""
    begun = Begun(sandbox, folder, None, storage, REJECTED, rejects=rejects, max_rejects=5)
    (storage or Storage()).read(rejects)
    return begun


@pytest.mark.parametrize("on_s3", [False, True])
def test_a_run_that_begins_again_takes_the_place_of_the_reject_file_and_keeps_it(
    sandbox: Sandbox, tmp_path: Path, on_s3: bool
) -> None:
    """Somebody may have mended rows in it."""
    storage, rejects = Storage(), str(tmp_path / "left-over.jsonl")
    if on_s3:
        storage = Storage(sandbox.s3())
        sandbox.s3().create_bucket(Bucket=f"left-{tmp_path.name[:20]}".replace("_", "-").lower())
        rejects = f"s3://left-{tmp_path.name[:20].replace('_', '-').lower()}/left-over.jsonl"
    begun = rejecting(sandbox, tmp_path, rejects, storage)
    before = storage.read(rejects)
    report = begun.run(restart=True, rejects=rejects, max_rejects=5)
    assert report.problem is None
    assert (report.rejected, report.rejected_before, report.reject_file) == (1, 0, rejects)
    kept = report.superseded_rejects
    assert kept
    assert storage.read(kept) == before
    assert json.loads(before.splitlines()[0])["run"] in kept
    assert json.loads(storage.read(rejects).splitlines()[0])["run"] not in kept


def test_a_reject_file_of_another_run_or_with_other_rows_is_not_taken(sandbox: Sandbox, tmp_path: Path) -> None:
    """And the job that was refused can still be resumed."""
    rejects = tmp_path / "left-over.jsonl"
    begun = rejecting(sandbox, tmp_path, str(rejects))
    whole = rejects.read_bytes()
    line = json.loads(whole.splitlines()[1])
    for changed, said in (
        (
            whole.replace(json.loads(whole.splitlines()[0])["run"].encode(), b"another"),
            "an earlier run could not write",
        ),
        (whole + json.dumps({**line, "file": "elsewhere.jsonl"}).encode() + b"\n", "this row is of elsewhere.jsonl"),
        (whole + b"mended badly\n", "this row is of no file"),
    ):
        rejects.write_bytes(changed)
        with pytest.raises(RejectFileError, match=said):
            begun.run(restart=True, rejects=str(rejects), max_rejects=5)
        assert rejects.read_bytes() == changed
    rejects.write_bytes(whole)
    assert list(tmp_path.glob("left-over*")) == [rejects]
    report = begun.run(rejects=str(rejects), max_rejects=5)
    assert (report.problem, report.rejected_before) == (None, 1)
    assert report.rows_before


def test_a_run_that_is_killed_while_it_begins_again_is_not_resumed_without_its_rejects(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rejects = tmp_path / "left-over.jsonl"
    begun = rejecting(sandbox, tmp_path, str(rejects))

    def killed(_: Superseded) -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Superseded, "move", killed)
        with pytest.raises(KeyboardInterrupt):
            begun.run(restart=True, rejects=str(rejects), max_rejects=5)
    with pytest.raises(RejectFileError, match="an earlier run could not write"):
        begun.run(rejects=str(rejects), max_rejects=5)
    assert rejects.exists()
