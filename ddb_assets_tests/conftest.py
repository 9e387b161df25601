"""Settings of all tests, and the marker of those that need a server.

Property tests have no deadline, because a busy machine is not a defect.
"""

import gc
import os
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from ddb_assets.aws.storage import Storage
from ddb_assets.cli.sandbox import REAL_ACCOUNT, environment
from ddb_assets.sandbox.clickhouse.server import ClickHouseServer
from ddb_assets.sandbox.clock import Clock
from ddb_assets.sandbox.redshift.postgres import SUPERUSER, postgres
from ddb_assets.sandbox.redshift.server import RedshiftServer
from ddb_assets.sandbox.server import Sandbox
from ddb_assets.warehouse.clickhouse.settings import PASSWORD as CLICKHOUSE_PASSWORD
from ddb_assets.warehouse.clickhouse.warehouse import ClickHouseWarehouse
from ddb_assets.warehouse.redshift.connection import RedshiftEngine
from ddb_assets.warehouse.redshift.settings import PASSWORD
from ddb_assets_tests.live.shop import Shop
from ddb_assets_tests.support.clickhouse import in_database
from ddb_assets_tests.support.clients import remember_classes, remember_handlers
from ddb_assets_tests.support.descriptions import describe_once
from ddb_assets_tests.support.engines import to_redshift, wipe
from ddb_assets_tests.support.in_memory import use_memory
from ddb_assets_tests.support.instances import without_migrations
from ddb_assets_tests.support.one_thread import one_thread
from ddb_assets_tests.support.places import Place, s3_in_process, s3_server
from ddb_assets_tests.support.ports import free_port
from ddb_assets_tests.support.sandboxed import demo_sandbox
from ddb_assets_tests.support.without_http import without_http

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
remember_handlers()
remember_classes()
describe_once()
one_thread()
use_memory()
without_migrations()

SERVERS = frozenset(
    {
        *{"account", "sandbox", "sandboxed", "s3", "bucket"},  # moto, and the sandbox around it
        *{
            "redshift",
            "streaming_redshift",
            "over_redshift",
            "redshift_subject",
            "redshift_world",
            "db",
            "files",
            "lake",
        },  # PostgreSQL behind Redshift's wire protocol
        *{"chain", "based", "definitions", "project", "installed"},  # Dagster, with processes or its own instance
        "world",  # what copies read and write
        "spark",
        *{"clickhouse_server", "clickhouse", "clickhouse_subject", "clickhouse_world"},
        *{"postgres_server", "postgres", "postgres_subject", "postgres_world"},
    }
)
"""Fixtures that start a server or a process. A test that uses one is not part of `make test-fast`."""


LONGEST = (
    "browser/test_backfill.py",
    "engines/test_engines.py",
    "spark/test_spark_job.py",
    "test_daemon.py",
    "live/test_live_daemon.py",
    "model/test_live_model.py",
    "test_demo.py",
    "warehouse/test_cold.py",
    "infrastructure/test_least_privilege.py",
    "flatten/kernel/test_kernel.py",
    "warehouse/test_clickhouse.py",
    "warehouse/test_cold_compaction.py",
    "warehouse/conformance/test_history.py",
    "copies/test_follow.py",
    "warehouse/test_iceberg.py",
    "warehouse/test_statements.py",
    "model/test_model.py",
    "warehouse/conformance/test_load.py",
    "recovery/test_recovering.py",
    "retention/test_retention.py",
    "windows/test_window_chain.py",
    "warehouse/test_tail.py",
    "deploy/test_deploy.py",
    "copies/test_command.py",
    "test_definitions.py",
    "scans/test_exact.py",
    "warehouse/test_cold_together.py",
    "warehouse/test_streaming.py",
    "sandbox/test_jobs.py",
    "warehouse/conformance/test_windows.py",
    "live/test_own_streams.py",
    "cli/test_import_command.py",
    "bench/test_bench.py",
    "copies/test_docs.py",
    "warehouse/test_load_stream.py",
    "windows/test_schedule.py",
    "windows/test_sensor_windows.py",
    "cli/test_sandbox_command.py",
    "windows/test_automation.py",
    "windows/test_recovery.py",
    "live/test_follow.py",
    "orchestration/test_pool.py",
    "windows/test_sensor.py",
    "scans/test_run.py",
    "live/test_cdc_cases.py",
    "live/test_assets.py",
    "warehouse/test_crash.py",
    "warehouse/conformance/test_guards.py",
    "warehouse/test_redshift.py",
    "warehouse/test_widening.py",
    "model/test_history_model.py",
)
"""Modules that take long. They begin first, because a module is a unit of work: the last one would keep the others waiting."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Gives the marker `server` to every test that uses such a fixture, by name or as a parameter; longest modules first."""
    for item in items:
        chosen = getattr(item, "callspec", None)
        used = {*getattr(item, "fixturenames", ()), *(map(str, chosen.params.values()) if chosen else ())}
        if used & SERVERS:
            item.add_marker("server")
    place = {name: number for number, name in enumerate(LONGEST)}
    root = Path(__file__).parent
    items.sort(key=lambda item: place.get(item.path.relative_to(root).as_posix(), len(LONGEST)))


def pytest_collection() -> None:
    gc.disable()  # until the modules and tests are there, which all stay


def pytest_collection_finish() -> None:
    """Lets the garbage collector leave alone what was collected, and look at the rest less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)
    gc.enable()


@pytest.fixture(scope="session")
def s3() -> Iterator["S3Client"]:
    with s3_server() as client:
        yield client


@pytest.fixture
def folder(tmp_path: Path) -> Place:
    return Place(Storage(), str(tmp_path / "bucket"))


@pytest.fixture
def bucket(s3: "S3Client") -> Place:
    name = f"bucket-{uuid.uuid4().hex}"
    s3.create_bucket(Bucket=name)
    return Place(Storage(s3), f"s3://{name}")


@pytest.fixture(params=["folder", "bucket"])
def place(request: pytest.FixtureRequest) -> Place:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Place)
    return found


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """AWS on this machine, of which each test uses tables of its own."""
    with Sandbox(latest_lag=timedelta(0), export_delay=timedelta(seconds=0.02)) as running, without_http(running):
        yield running


@pytest.fixture(scope="module")
def sandboxed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """The whole project against a sandbox with the demo tables. It has a lake and a warehouse of its own."""
    with demo_sandbox(tmp_path_factory.mktemp("state"), Clock()) as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def redshift() -> Iterator[RedshiftServer]:
    """A Redshift emulator and the bucket that it copies from."""
    with s3_in_process() as client, RedshiftServer(Storage(client)) as server:
        yield server


@pytest.fixture(scope="session")
def clickhouse_server() -> Iterator[ClickHouseServer]:
    """ClickHouse's engine in a process of its own."""
    own = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_REGION": "us-east-1"}
    with ClickHouseServer(environment=own, threads=1) as server:
        yield server


@pytest.fixture
def clickhouse(clickhouse_server: ClickHouseServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[ClickHouseWarehouse]:
    """A warehouse in a database of its own, which is dropped afterwards."""
    monkeypatch.setenv(CLICKHOUSE_PASSWORD, clickhouse_server.password)
    with in_database(clickhouse_server) as opened:
        yield opened


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a PostgreSQL, the one that the Redshift emulator uses."""
    port = free_port()
    with postgres(port):
        yield f"postgresql://{SUPERUSER}@127.0.0.1:{port}/postgres?sslmode=disable"


@pytest.fixture(scope="module")
def streaming_redshift(sandbox: Sandbox) -> Iterator[RedshiftServer]:
    """A Redshift emulator that copies from the sandbox's buckets, and reads its streams and its Iceberg tables."""
    with RedshiftServer(Storage(sandbox.s3()), kinesis=sandbox.kinesis(), catalog=sandbox.data_catalog()) as server:
        yield server


@pytest.fixture
def shop(request: pytest.FixtureRequest, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """On DuckDB, or on ClickHouse by the parameter `clickhouse`. With `CONFORMANCE=clickhouse` every test has the latter."""
    for name in REAL_ACCOUNT:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment(sandbox).items():
        monkeypatch.setenv(name, value)
    opened = Shop.opened(sandbox, tmp_path)
    if "clickhouse" not in {getattr(request, "param", ""), os.environ.get("CONFORMANCE")}:
        return opened
    found: ClickHouseWarehouse = request.getfixturevalue("clickhouse")
    settings = found.server.settings
    return replace(opened, address=f"clickhouse://{settings.server.user}@{settings.place}?secure=0")


@pytest.fixture
def redshift_shop(shop: Shop, streaming_redshift: RedshiftServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    """The same shop with a Redshift that can read its stream."""
    monkeypatch.setenv(PASSWORD, streaming_redshift.password)
    yield replace(shop, server=streaming_redshift)
    streaming_redshift.faults.clear()


@pytest.fixture
def lake(redshift: RedshiftServer) -> Place:
    """A new bucket that COPY can read."""
    storage = redshift.storage
    name = f"lake-{uuid.uuid4().hex}"
    storage.s3.create_bucket(Bucket=name)
    return Place(storage, f"s3://{name}")


@pytest.fixture
def over_redshift(redshift: RedshiftServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[RedshiftEngine]:
    """The emulator, over the driver. The parts are uploaded to S3 for every COPY."""
    monkeypatch.setenv(PASSWORD, redshift.password)
    with to_redshift(redshift) as open_:
        open_.session = "0a1b2c3d"  # one test at a time; with equal texts, the emulator need not translate them again
        wipe(open_)
        yield open_
    redshift.faults.clear()
