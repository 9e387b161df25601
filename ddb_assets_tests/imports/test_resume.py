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
        self, sandbox: Sandbox, tmp_path: Path, uri: str | None = None, storage: Storage | None = None
    ) -> None:
        self.sandbox, self.state = sandbox, tmp_path / "state"
        self.target = new_table(sandbox)
        self.file = tmp_path / "rows" / "a.jsonl"
        self.file.parent.mkdir(parents=True)
        self.file.write_text(text())
        self.uri, self.storage = uri or str(self.file.parent), storage
        self.config: dict[str, Any] = {}
        with pytest.raises(KeyboardInterrupt):
            self.run(on_progress=_cancel)

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
    killed._finish = lambda *_, **__: None  # type: ignore[method-assign]  # as SIGKILL does
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
