"""The connection to Redshift: ways of logging in, faults that it survives, messages, and secrets that it never shows."""

import io
import json
import logging
import threading
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest
from redshift_connector.core import Connection
from redshift_connector.cursor import Cursor

from ddb_assets.aws.clients import AWS
from ddb_assets.aws.storage import Storage
from ddb_assets.contract.key_schema import KeySchema
from ddb_assets.contract.report import Column, Report
from ddb_assets.contract.table import Table as Contract
from ddb_assets.exports.manifest import read_export
from ddb_assets.flatten.flatten import flatten
from ddb_assets.resources.warehouse import WarehouseTarget
from ddb_assets.sandbox.redshift.faults import CONFLICT
from ddb_assets.sandbox.redshift.server import RedshiftServer
from ddb_assets.sandbox.redshift.wire import ServerError
from ddb_assets.warehouse.connect import open_warehouse
from ddb_assets.warehouse.errors import InterruptedLoadError, LoadError, WarehouseError
from ddb_assets.warehouse.redshift.connection import RedshiftEngine
from ddb_assets.warehouse.redshift.settings import PASSWORD, RedshiftSettings
from ddb_assets.warehouse.sql import inspection
from ddb_assets.warehouse.sql.engine import SqlEngine
from ddb_assets.warehouse.sql.ledger import newest_rows
from ddb_assets.warehouse.sql.statements import Statement
from ddb_assets.windows import loaded
from ddb_assets_tests.support.engines import read, select, to_redshift
from ddb_assets_tests.support.loading import load
from ddb_assets_tests.support.places import Place
from ddb_assets_tests.support.written_export import write_export
from ddb_assets_tests.warehouse.exports import (
    BASE_MICROS,
    EXTRA,
    KEY,
    VERSION,
    Item,
    Source,
    at,
    relation,
    report,
    write,
)

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@pytest.fixture
def exports(source: Source) -> tuple[Report, Report]:
    source.put(1, "a", "first", "x", "y")
    source.put(2, "b", "gone")
    source.put(11, "a", "second", "z")
    source.delete(12, "b")
    return source.full(10), source.window(10, 20)


END = {"a": Item("second", ("z",))}


def ledger(warehouse: RedshiftEngine) -> list[tuple[object, ...]]:
    return select(warehouse, "SELECT sequence, upserted, deleted FROM _ddb_loads ORDER BY sequence")


def test_a_connection_lost_before_commit_is_made_up_for(
    over_redshift: RedshiftEngine, redshift: RedshiftServer, exports: tuple[Report, Report]
) -> None:
    load(over_redshift, exports[0])
    redshift.faults.drop_before_commit()
    assert load(over_redshift, exports[1]).applied
    assert (read(over_redshift), ledger(over_redshift)) == (END, [(1, 2, 0), (2, 1, 1)])


def test_when_the_answer_to_commit_is_lost_the_ledger_decides(
    over_redshift: RedshiftEngine, redshift: RedshiftServer, exports: tuple[Report, Report]
) -> None:
    load(over_redshift, exports[0])
    redshift.faults.drop_after_commit()
    result = load(over_redshift, exports[1])
    assert (result.upserted, result.deleted, result.sequence) == (1, 1, 2)
    assert (read(over_redshift), ledger(over_redshift)) == (END, [(1, 2, 0), (2, 1, 1)])


@pytest.mark.parametrize("number", [3, 12, 25])
def test_a_conflict_has_the_whole_transaction_done_again(
    over_redshift: RedshiftEngine, redshift: RedshiftServer, exports: tuple[Report, Report], number: int
) -> None:
    load(over_redshift, exports[0])
    redshift.faults.fail_statement(number, CONFLICT)
    assert load(over_redshift, exports[1]).applied
    assert (read(over_redshift), ledger(over_redshift)) == (END, [(1, 2, 0), (2, 1, 1)])


def test_conflicts_without_end_are_an_error(
    over_redshift: RedshiftEngine,
    redshift: RedshiftServer,
    exports: tuple[Report, Report],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ddb_assets.warehouse.sql.load.RETRIES", (0.0, 0.0))
    for number in (1, 2, 3):
        redshift.faults.fail_statement(number, CONFLICT)
    with pytest.raises(WarehouseError, match="because of another transaction: 1023: Serializable isolation violation"):
        load(over_redshift, exports[0])


def test_any_other_error_ends_the_load_at_once(
    over_redshift: RedshiftEngine, redshift: RedshiftServer, exports: tuple[Report, Report]
) -> None:
    load(over_redshift, exports[0])
    before = read(over_redshift)
    sent = len(redshift.statements)
    redshift.faults.fail_statement(20, ServerError("disk full", "53100", "context: no space\n query: 1"))
    with pytest.raises(WarehouseError, match="disk full: no space"):
        load(over_redshift, exports[1])
    assert len(redshift.statements) - sent < 23
    assert (read(over_redshift), ledger(over_redshift)) == (before, [(1, 2, 0)])


@pytest.mark.slow
def test_a_connection_lost_anywhere_is_made_up_for(
    over_redshift: RedshiftEngine, redshift: RedshiftServer, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ddb_assets.warehouse.sql.load.RETRIES", (0.0, 0.0))
    source.put(1, "a", "at 1", "x")
    load(over_redshift, source.full(5))
    for number in range(1, 45, 3):
        start = number * 100
        source.put(start, "a", f"at {start}", *"xyz"[: number % 3])
        redshift.faults.drop_at_statement(number)
        load(over_redshift, source.window(start - 5, start + 10))
        redshift.faults.clear()
        assert read(over_redshift) == {"a": Item(f"at {start}", tuple("xyz"[: number % 3]))}
    assert len(ledger(over_redshift)) == 16


def test_one_cursor_serves_every_statement_of_a_connection(
    over_redshift: RedshiftEngine, redshift: RedshiftServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refused statement leaves nothing behind for the next, and a new connection has a new cursor."""
    made: list[Cursor] = []
    cursor = Connection.cursor

    def noted(connection: Connection) -> Cursor:
        made.append(cursor(connection))
        return made[-1]

    monkeypatch.setattr(Connection, "cursor", noted)
    assert over_redshift.fetch(Statement("SELECT 1, ?", ("a?",))) == [(1, "a?")]
    with pytest.raises(WarehouseError, match="nowhere"):
        over_redshift.fetch(Statement("SELECT 2 FROM nowhere"))
    assert over_redshift.fetch(Statement("SELECT 3 WHERE 1 = 0")) == []
    assert made == []
    redshift.faults.drop_at_statement(1)
    with pytest.raises(InterruptedLoadError):
        over_redshift.fetch(Statement("SELECT 4"))
    assert over_redshift.fetch(Statement("SELECT 5")) == [(5,)]
    assert len(made) == 2  # the driver makes one of its own


def test_loads_side_by_side_are_applied_once_each(
    redshift: RedshiftServer, over_redshift: RedshiftEngine, source: Source
) -> None:
    """Six loads of one table, each export twice: no export is lost, and none is applied twice."""
    load(over_redshift, source.full(0))
    for time_ in range(1, 30, 2):
        source.put(time_, f"k{time_ % 6}", f"at {time_}", *"xy"[: time_ % 3])
    windows = [source.window(start, start + 10) for start in (0, 10, 20)]
    applied: list[bool] = []

    def run(export: Report) -> None:
        with to_redshift(redshift) as warehouse:
            applied.append(load(warehouse, export).applied)

    threads = [threading.Thread(target=run, args=(export,)) for export in windows * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(applied) == [False] * 3 + [True] * 3
    assert read(over_redshift) == {key: item for key, (_, item) in source.state(30).items()}
    assert len(ledger(over_redshift)) == 4


def test_loaders_that_add_the_same_column_at_once_end_well(
    redshift: RedshiftServer, over_redshift: RedshiftEngine, tmp_path: Path
) -> None:
    def export(number: int) -> Report:
        root = relation("orders", (KEY, Column(name="new", path=("new",), type="BIGINT"), VERSION, EXTRA))
        rows = [{"order_id": "a", "new": number, "_ddb_version": BASE_MICROS + number}]
        return report([write(tmp_path / str(number), root, rows)], export_time=at(number))

    first = relation("orders", (KEY, VERSION, EXTRA))
    load(over_redshift, report([write(tmp_path / "0", first, [])], export_time=at(1)))

    def run(export: Report) -> None:
        with to_redshift(redshift) as warehouse:
            load(warehouse, export)

    threads = [threading.Thread(target=run, args=(export(number),)) for number in (5, 6, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert select(over_redshift, "SELECT new FROM orders") == [(7,)]
    assert len(ledger(over_redshift)) == 4


def on_s3(made: Report, place: Place) -> Report:
    relations = []
    for one in (*made.relations, *([made.unread] if made.unread else [])):
        parts = []
        for part in one.parts:
            uri = f"{place.root}/parquet/{one.name}/{Path(part.uri).name}"
            place.storage.upload(Path(part.uri), uri)
            parts.append(part.model_copy(update={"uri": uri}))
        relations.append(one.model_copy(update={"parts": tuple(parts)}))
    unread = relations.pop() if made.unread else None
    return made.model_copy(update={"relations": tuple(relations), "unread": unread})


@pytest.fixture
def direct(redshift: RedshiftServer, over_redshift: RedshiftEngine, lake: Place) -> RedshiftEngine:
    """Redshift without a staging folder."""
    settings = RedshiftSettings.parse(f"{redshift.url}?sslmode=disable&iam_role=arn:aws:iam::123456789012:role/copy")
    return RedshiftEngine(settings, storage=lake.storage)


def test_parts_on_s3_are_copied_where_they_are(
    direct: RedshiftEngine, redshift: RedshiftServer, exports: tuple[Report, Report], lake: Place
) -> None:
    made = on_s3(exports[0], lake)
    before = [one.uri for one in lake.storage.list(lake.root)]
    with direct as warehouse:
        load(warehouse, made)
        assert read(warehouse) == {"a": Item("first", ("x", "y")), "b": Item("gone")}
    assert [one.uri for one in lake.storage.list(lake.root)] == before
    copies = [text for text in redshift.statements if text.startswith("COPY") and lake.root in text]
    assert len(copies) == 2
    assert '("order_id", "note", "_ddb_version", "_ddb_extra") FROM' in copies[0]
    assert copies[0].endswith("IAM_ROLE 'arn:aws:iam::123456789012:role/copy' FORMAT AS PARQUET MANIFEST")


def test_local_parts_need_a_staging_folder(direct: RedshiftEngine, exports: tuple[Report, Report]) -> None:
    with direct as warehouse, pytest.raises(WarehouseError, match=r"is not on S3, where COPY reads: .*&staging=s3://"):
        load(warehouse, exports[0])


def test_a_part_that_was_changed_on_s3_is_named(
    direct: RedshiftEngine, exports: tuple[Report, Report], lake: Place
) -> None:
    made = on_s3(exports[0], lake)
    part = made.root.parts[0]
    data = bytearray(lake.storage.read(part.uri))
    data[len(data) // 2] ^= 1
    lake.storage.write(part.uri, bytes(data))
    with direct as warehouse, pytest.raises(LoadError, match=f"part {part.uri} is damaged"):
        load(warehouse, made)


def test_columns_that_changed_places_on_s3_are_noticed(direct: RedshiftEngine, tmp_path: Path, lake: Place) -> None:
    """Two columns of one type. COPY goes by position, so it would not notice."""
    pair = tuple(Column(name=n, path=(n,), type="VARCHAR(64)") for n in ("billing", "shipping"))
    rows = [{"order_id": "a", "billing": "b", "shipping": "s", "_ddb_version": BASE_MICROS + 5}]
    made = write(tmp_path / "p", relation("orders", (KEY, *pair, VERSION, EXTRA)), rows)
    swapped = made.model_copy(update={"columns": (KEY, *reversed(pair), VERSION, EXTRA)})
    with direct as warehouse, pytest.raises(LoadError, match="has the columns order_id, billing, shipping"):
        load(warehouse, on_s3(report([swapped], export_time=at(5)), lake))


def test_a_value_that_is_too_long_is_named_with_its_file_and_line(
    over_redshift: RedshiftEngine, tmp_path: Path
) -> None:
    rows = [
        {"order_id": "a" * 60, "_ddb_version": BASE_MICROS + 5},
        {"order_id": "ä" * 40, "_ddb_version": BASE_MICROS + 5},
    ]
    made = report([write(tmp_path / "p", relation("orders", (KEY, VERSION, EXTRA)), rows)], export_time=at(5))
    with pytest.raises(
        LoadError, match=r"part-00000\.parquet in line 2 of column 'order_id', varchar\(64\): .* Data: 80"
    ):
        load(over_redshift, made)
    assert select(over_redshift, "SELECT order_id FROM orders") == []


@pytest.mark.parametrize("local", [True, False])
def test_documents_longer_than_a_varchar_arrive(
    over_redshift: RedshiftEngine, direct: RedshiftEngine, tmp_path: Path, lake: Place, local: bool
) -> None:
    """Changes one column of one part; the others stay as they are."""
    long = {f"ä{n}": ["x" * 60_000, n] for n in range(20)}
    more = Column(name="doc", path=("doc",), type="SUPER")
    rows = [
        {"order_id": f"k{n}", "doc": json.dumps(long if n == 3 else {"n": n}), "_ddb_version": BASE_MICROS + 5}
        for n in range(6)
    ]
    made = report(
        [write(tmp_path / "p", relation("orders", (KEY, more, VERSION, EXTRA)), rows, parts=3)], export_time=at(5)
    )
    with nullcontext(over_redshift) if local else direct as warehouse:
        load(warehouse, made if local else on_s3(made, lake))
        assert json.loads(select(warehouse, "SELECT doc FROM orders WHERE order_id = 'k3'")[0][0]) == long
        assert select(warehouse, "SELECT CAST(doc.n AS BIGINT) FROM orders ORDER BY order_id") == [
            (0,), (1,), (2,), (None,), (4,), (5,)
        ]  # fmt: skip


def test_a_percent_sign_means_nothing(over_redshift: RedshiftEngine) -> None:
    assert over_redshift.fetch(
        Statement('SELECT \'%s %% ?\', "a?" FROM (SELECT CAST(? AS VARCHAR) AS "a?") AS t', ("5%s?",))
    ) == [("%s %% ?", "5%s?")]
    assert over_redshift.fetch(Statement("SELECT '100 % ?'")) == [("100 % ?",)]


def test_an_administrator_can_tell_who_asks(redshift: RedshiftServer, over_redshift: RedshiftEngine) -> None:
    settings = over_redshift.settings
    with RedshiftEngine(settings, storage=Storage(), label="orders 2026-03-01's"):
        assert "SET query_group TO 'orders 2026-03-01''s'" in redshift.statements
    assert "SET statement_timeout TO 14400000" in redshift.statements


SECRET = "hunter2-%'\"x"


def test_the_password_is_nowhere(
    exports: tuple[Report, Report],
    redshift: RedshiftServer,
    over_redshift: RedshiftEngine,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    said: list[str] = []
    monkeypatch.setenv(PASSWORD, SECRET)
    caplog.set_level(logging.INFO)
    with pytest.raises(WarehouseError, match="refuses us: password authentication failed") as caught:
        over_redshift.__class__(over_redshift.settings, storage=Storage()).__enter__()
    said += [str(caught.value), repr(caught.value), repr(over_redshift), repr(over_redshift.settings)]
    said += [str(caught.value.__cause__), str(caught.value.__context__)]
    with pytest.raises(WarehouseError, match=f"must not hold a password: take it out and set {PASSWORD}") as caught:
        open_warehouse("redshift://me:hunter2-x@host/db")
    said.append(str(caught.value))
    monkeypatch.setenv(PASSWORD, redshift.password)
    load(over_redshift, exports[0])
    said += [*redshift.statements, caplog.text, *capsys.readouterr()]
    assert not [text for text in said if "hunter2" in text]
    assert not [text for text in redshift.statements if redshift.password in text.replace("sandbox/", "")]


def test_a_load_that_commits_while_a_chain_is_looked_at_is_no_difference(
    redshift: RedshiftServer,
    over_redshift: RedshiftEngine,
    exports: tuple[Report, Report],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    full, window = exports
    load(over_redshift, full)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")

    def reading(engine: SqlEngine, schema: str, relation: str) -> dict[str, int]:
        before = newest_rows(engine, schema, relation)
        load(over_redshift, window)
        return before

    monkeypatch.setattr(inspection, "newest_rows", reading)
    target = WarehouseTarget(url=f"{redshift.url}?sslmode=disable&staging=s3://staging/copy")
    assert loaded.ask(target, AWS(), Contract(table="Orders"), counted=True).differing == {}
    assert ledger(over_redshift)[-1][0] == 2


def test_a_password_can_come_from_secrets_manager(
    redshift: RedshiftServer, s3: "S3Client", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(PASSWORD, raising=False)
    for name, value in {"ACCESS_KEY_ID": "x", "SECRET_ACCESS_KEY": "x", "DEFAULT_REGION": "us-east-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    aws = AWS(endpoint=s3.meta.endpoint_url)
    client = aws._boto3().client("secretsmanager", endpoint_url=aws.endpoint)
    client.create_secret(
        Name="loader", SecretString=json.dumps({"username": redshift.user, "password": redshift.password})
    )
    client.create_secret(Name="odd", SecretString="hunter2")
    base = f"redshift://{redshift.host}:{redshift.port}/dev?sslmode=disable&secret="
    with open_warehouse(base + "loader", aws=aws) as warehouse:
        assert warehouse.query("SELECT 1") == [(1,)]
    for name, message in {"odd": "is not JSON with username and password", "none": "there is no secret 'none'"}.items():
        with pytest.raises(Exception, match=message) as caught, open_warehouse(base + name, aws=aws):
            pass
        assert "hunter2" not in str(caught.value)


def test_iam_logs_in_to_clusters_and_workgroups(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"ACCESS_KEY_ID": "key", "SECRET_ACCESS_KEY": "secret", "SESSION_TOKEN": "token"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    keys = {"access_key_id": "key", "secret_access_key": "secret", "session_token": "token"}
    cluster = RedshiftSettings.parse("redshift://loader@/dev?cluster=main&region=eu-west-1").arguments(AWS())
    assert (
        cluster.items()
        >= (keys | {"iam": True, "cluster_identifier": "main", "db_user": "loader", "ssl": True}).items()
    )
    assert "password" not in cluster
    workgroup = RedshiftSettings.parse("redshift:///dev?workgroup=main").arguments(AWS())
    assert workgroup.items() >= (keys | {"is_serverless": True, "serverless_work_group": "main"}).items()


def test_tls_is_the_default(redshift: RedshiftServer, over_redshift: RedshiftEngine) -> None:
    with (
        pytest.raises(WarehouseError, match=r"no connection to Redshift at .*refuses SSL"),
        open_warehouse(redshift.url),
    ):
        pass


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("redshift://me@host", "names no database"),
        ("redshift:///db", "names no host"),
        ("redshift://host/db", "names no user"),
        ("redshift://me@host:x/db", "is not a Redshift URL"),
        ("redshift://me@host/db?schemaa=x", "'schemaa' is not an option of a Redshift URL: schema, iam_role"),
        ("redshift://me@host/db?staging=/tmp/x", "write s3://bucket/prefix"),
        ("redshift://me@host/db?sslmode=prefer", "one of verify-full, verify-ca, disable"),
        ("redshift://me@host/db?cluster=a&workgroup=b", "give one of them"),
        ("redshift://me@/db?cluster=a&sslmode=disable", "IAM needs an encrypted connection"),
        ("redshift://me@host/db?statement_timeout=1h", "write a number of seconds"),
        ("redshift://me@host/db?analyze_threshold=101", "write a percentage, 0 to 100"),
        ("redshift://me@host/db?iam_role=copy", "iam_role is 'copy': write default, or arn:aws:iam::ACCOUNT:role/NAME"),
    ],
)
def test_a_wrong_url_is_explained(url: str, message: str) -> None:
    with pytest.raises(WarehouseError, match=message):
        open_warehouse(url)


def test_a_missing_password_is_said_before_anything_is_tried(
    redshift: RedshiftServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(PASSWORD, raising=False)
    with (
        pytest.raises(WarehouseError, match=f"there is no password for awsuser at .*: set {PASSWORD}"),
        open_warehouse(redshift.url),
    ):
        pass


def test_a_server_that_is_not_there_is_said_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PASSWORD, "x")
    began = time.monotonic()
    with (
        pytest.raises(WarehouseError, match=r"127\.0\.0\.1:1 cannot be reached: Connection refused"),
        open_warehouse("redshift://me@127.0.0.1:1/db"),
    ):
        pass
    assert time.monotonic() - began < 5


def test_parquet_of_the_parts_stays_readable_in_ranges(lake: Place, direct: RedshiftEngine, tmp_path: Path) -> None:
    """The footer is longer than one request reads."""
    columns = tuple(Column(name=f"{'c' * 100}{n}", path=(f"c{n}",), type="BIGINT") for n in range(600))
    rows = [{"order_id": "a", "_ddb_version": BASE_MICROS + 5}]
    made = write(tmp_path / "wide", relation("orders", (KEY, *columns, VERSION, EXTRA)), rows)
    data = Path(made.parts[0].uri).read_bytes()
    assert int.from_bytes(data[-8:-4], "little") > 64 << 10
    assert len(pl.read_parquet_schema(io.BytesIO(data))) == 603
    with direct as warehouse:
        assert load(warehouse, on_s3(report([made], export_time=at(5)), lake)).table_rows == {"orders": 1}


def in_region(server: RedshiftServer, region: str, role: str = "default") -> RedshiftSettings:
    return RedshiftSettings.parse(f"{server.url}?sslmode=disable&region={region}&iam_role={role}")


def test_a_bucket_in_another_region_is_refused_before_anything_is_copied(
    over_redshift: RedshiftEngine, redshift: RedshiftServer, exports: tuple[Report, Report], lake: Place
) -> None:
    made = on_s3(exports[0], lake)
    with (
        RedshiftEngine(in_region(redshift, "eu-west-1"), storage=lake.storage) as warehouse,
        pytest.raises(
            WarehouseError, match=r"bucket lake-\w+ is in us-east-1 and Redshift in eu-west-1.*DDB_ASSETS_LAKE"
        ),
    ):
        load(warehouse, made)
    with RedshiftEngine(in_region(redshift, "us-east-1"), storage=lake.storage) as warehouse:
        assert load(warehouse, made).applied


@pytest.mark.parametrize(
    ("host", "home"),
    [
        ("main.abc123.eu-west-1.redshift.amazonaws.com", "eu-west-1"),
        ("wg.123456789012.us-gov-west-1.redshift-serverless.amazonaws.com", "us-gov-west-1"),
        ("main.abc123.cn-north-1.redshift.amazonaws.com.cn", "cn-north-1"),
        ("redshift.internal.example.com", ""),
    ],
)
def test_the_region_is_that_of_the_host(host: str, home: str) -> None:
    assert RedshiftSettings.parse(f"redshift://me@{host}/dev").home == home


def test_govcloud_and_china_have_roles_of_their_own(
    over_redshift: RedshiftEngine, redshift: RedshiftServer, exports: tuple[Report, Report], lake: Place
) -> None:
    for region, partition in {"cn-north-1": "aws-cn", "us-gov-west-1": "aws-us-gov", "eu-west-1": "aws"}.items():
        role = f"arn:{partition}:iam::123456789012:role/copy"
        assert in_region(redshift, region, role).iam_role == role
        with pytest.raises(
            WarehouseError, match=f"is of the partition aws-iso, and a Redshift in {region} only takes .*"
        ):
            in_region(redshift, region, "arn:aws-iso:iam::123456789012:role/copy")
    role = "arn:aws-us-gov:iam::123456789012:role/a/copy,arn:aws-us-gov:iam::210987654321:role/lake"
    with RedshiftEngine(
        RedshiftSettings.parse(f"{redshift.url}?sslmode=disable&iam_role={role}"), storage=lake.storage
    ) as warehouse:
        load(warehouse, on_s3(exports[0], lake))
    assert [text for text in redshift.statements if f"IAM_ROLE '{role}'" in text]


def test_parts_that_are_encrypted_with_a_kms_key_are_loaded(
    direct: RedshiftEngine, exports: tuple[Report, Report], lake: Place
) -> None:
    """Their ETag is not an MD5, so there is nothing to compare. The emulator can imitate this."""
    made = on_s3(exports[0], lake)
    lake.storage.s3.meta.events.register_last("after-call.s3.GetObject", no_md5, unique_id="no md5")
    for relation_ in made.relations:
        for part in relation_.parts:
            bucket, key = part.uri.removeprefix("s3://").split("/", 1)
            lake.storage.s3.put_object(
                Bucket=bucket,
                Key=key,
                Body=lake.storage.read(part.uri),
                ServerSideEncryption="aws:kms",
                SSEKMSKeyId="arn:aws:kms:us-east-1:123456789012:key/1",
            )
    with direct as warehouse:
        try:
            load(warehouse, made)
        finally:
            lake.storage.s3.meta.events.unregister("after-call.s3.GetObject", unique_id="no md5")
        assert read(warehouse) == {"a": Item("first", ("x", "y")), "b": Item("gone")}


def no_md5(parsed: dict[str, object], **_: object) -> None:
    """The ETag that S3 gives an object that is encrypted with a KMS key: 32 digits that are not the MD5 of its content."""
    if parsed.get("ServerSideEncryption") == "aws:kms":
        parsed["ETag"] = '"0123456789abcdef0123456789abcdef"'


@pytest.mark.usefixtures("over_redshift")
def test_a_schema_in_capitals_is_the_one_in_small_letters(
    redshift: RedshiftServer, exports: tuple[Report, Report]
) -> None:
    """So that it is the same schema on a case-sensitive cluster."""
    with to_redshift(redshift, "MyÄSchema") as warehouse:
        assert warehouse.default_schema == "myäschema"
        load(warehouse, exports[0])
        assert load(warehouse, exports[0]).applied is False
        assert select(warehouse, 'SELECT COUNT(*) FROM "myäschema".orders') == [(2,)]
        warehouse.execute(Statement('DROP SCHEMA "myäschema" CASCADE'))


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        (
            "User arn:aws:redshift:x is not authorized to assume IAM Role arn:aws:iam::1:role/x",
            "attach the role to the",
        ),
        ("S3ServiceException:Access Denied,Status 403,Error AccessDenied", "s3:GetObject on the objects"),
        (
            "Spectrum Scan Error: User is not authorized to perform: kms:Decrypt, Status 403",
            "allow COPY's role kms:Decrypt",
        ),
        ("S3ServiceException:The bucket must be addressed using the specified endpoint.,Status 301", "its own Region"),
    ],
)
def test_copy_refused_for_want_of_a_right_says_which(
    over_redshift: RedshiftEngine,
    redshift: RedshiftServer,
    exports: tuple[Report, Report],
    monkeypatch: pytest.MonkeyPatch,
    said: str,
    advice: str,
) -> None:
    execute = over_redshift.execute

    def failing(statement: Statement) -> None:
        if statement.text.startswith("COPY"):
            redshift.faults.fail_statement(1, ServerError(said))
        execute(statement)

    monkeypatch.setattr(over_redshift, "execute", failing)
    with pytest.raises(LoadError, match=f"COPY of 'orders' failed: .*; .*{advice}"):
        load(over_redshift, exports[0])


def test_keys_that_differ_by_trailing_blanks_are_one_key_in_redshift(
    over_redshift: RedshiftEngine, tmp_path: Path
) -> None:
    """The item with the blank goes to quarantine with its reason. If one reaches the warehouse, nothing is loaded."""
    lines = [b'{"Item":{"order_id":{"S":"%s"},"note":{"S":"%s"}}}' % pair for pair in ((b"a", b"x"), (b"a ", b"y"))]
    storage = Storage()
    source = write_export(storage, str(tmp_path / "bucket"), lines=[lines])
    made = flatten(
        storage,
        read_export(storage, source),
        table=Contract(table="Orders"),
        key=KeySchema(partition_key="order_id"),
        out=str(tmp_path / "out"),
    ).report
    result = load(over_redshift, made, max_quarantined=1)
    assert (result.items, result.upserted, result.quarantined) == (2, 1, 1)
    assert select(over_redshift, "SELECT order_id, note FROM orders") == [("a", "x")]
    assert b"the key without the space" in storage.read(made.quarantine[0])
    rows = [{"order_id": key, "_ddb_version": BASE_MICROS + 9} for key in ("b", "b  ")]
    twice = report([write(tmp_path / "p", relation("others", (KEY, VERSION, EXTRA)), rows)], export_time=at(9))
    with pytest.raises(LoadError, match="'others' has more than one row with order_id='b"):
        load(over_redshift, twice)
    assert select(over_redshift, "SELECT order_id FROM others") == []
