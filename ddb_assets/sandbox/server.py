"""The sandbox: an AWS emulator on this machine. It is moto's server with DynamoDB tables on disk, and exports and Kinesis
streams like AWS's.

It runs in threads of this process (`with Sandbox() as sandbox:`); `process` runs it as a separate process. Other processes
reach it with the variables of `environment()`. It starts empty; `demo` makes the demo tables.
"""

import functools
import json
import socket
import tempfile
import threading
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import boto3
import botocore.session
from botocore.config import Config
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.dynamodb.exceptions import ERROR_TYPE_PREFIX
from moto.dynamodb.models import dynamodb_backends

from ddb_assets.aws.service_models import boto3_session
from ddb_assets.errors import DdbAssetsError
from ddb_assets.microseconds import to_micros
from ddb_assets.sandbox.backend import Recovery, SandboxBackend
from ddb_assets.sandbox.backup_api import BackupApi
from ddb_assets.sandbox.bulk_put import BulkPutRunner
from ddb_assets.sandbox.bulk_put_api import BulkPutApi
from ddb_assets.sandbox.change_log import Change, ChangeLog, LoggedWrite
from ddb_assets.sandbox.clock import MICROS, Clock
from ddb_assets.sandbox.destination_api import DestinationApi
from ddb_assets.sandbox.emr_serverless_api import SIGNING_NAME, EmrServerlessApi
from ddb_assets.sandbox.export_api import ExportApi
from ddb_assets.sandbox.exporter import Exporter
from ddb_assets.sandbox.glue_api import TARGET, GlueApi
from ddb_assets.sandbox.http_server import served
from ddb_assets.sandbox.image import Attributes
from ddb_assets.sandbox.json_api import JsonApi
from ddb_assets.sandbox.kinesis_api import KinesisApi
from ddb_assets.sandbox.kinesis_shards_api import KinesisShardsApi
from ddb_assets.sandbox.kinesis_streams import KinesisStreams
from ddb_assets.sandbox.moto_speed import Dispatcher
from ddb_assets.sandbox.moto_state import sandbox_state
from ddb_assets.sandbox.rest_api import RestApi
from ddb_assets.sandbox.restore_api import Restores
from ddb_assets.sandbox.spark_jobs import SparkJobs
from ddb_assets.sandbox.stream_delivery import StreamDelivery
from ddb_assets.sandbox.stream_faults import Faults
from ddb_assets.sandbox.table_streams import TableStreams
from ddb_assets.sandbox.time_to_live import expire

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client

    from ddb_assets.sandbox.redshift.external_tables import DataCatalog

HOST = "127.0.0.1"
EXPORTS = "exports.json"
DYNAMODB, DYNAMODB_STREAMS, KINESIS = "DynamoDB_20120810", "DynamoDBStreams_20120810", "Kinesis_20131202"
REGION = "us-east-1"
ONCE = Config(retries={"total_max_attempts": 1})  # a server on this machine would refuse a retry too
ACCESS_KEY = "sandbox"  # also the secret: moto accepts any

_one_per_process = threading.Lock()


class SandboxError(DdbAssetsError):
    """The sandbox cannot start."""


@dataclass(frozen=True, slots=True)
class Write:
    """One write of a table's history: the whole item after it, or the key of the deleted item, in DynamoDB JSON."""

    at: datetime
    item: Attributes
    deleted: bool = False


def _former_exports(folder: Path) -> dict[str, dict[str, object]]:
    """The exports of earlier sandboxes in this folder: the answers of DescribeExport, by ARN."""
    file = folder / EXPORTS
    found: dict[str, dict[str, object]] = json.loads(file.read_text()) if file.is_file() else {}
    return found


class Sandbox:
    """DynamoDB, Kinesis and S3 on a loopback port, as a context manager. moto's state is global, so a process can run only one.

    `folder` is for the change log (default: a temporary folder), which starts empty each time. The folder keeps only the
    descriptions of completed exports, so that their files can be used again. The latest restorable time is `latest_lag`
    before now. An export or a bulk put is IN_PROGRESS for `export_delay` before its work begins; a restored table and a stream
    are CREATING for as long, and the backup of a deleted table appears as long after the deletion. Raises SandboxError if the
    port is taken or a sandbox is already running in this process.
    """

    def __init__(
        self,
        folder: Path | None = None,
        port: int = 0,
        latest_lag: timedelta = timedelta(minutes=5),
        export_delay: timedelta = timedelta(seconds=0.5),
    ) -> None:
        self.clock = Clock()
        self.endpoint_url = ""
        self._folder = folder
        self._port = port
        self._latest_lag = latest_lag
        self._export_delay = export_delay
        self._stack = ExitStack()
        self._making = threading.Lock()  # a session makes one client at a time
        self._clients: dict[str, Any] = {}

    def __enter__(self) -> Self:
        if not _one_per_process.acquire(blocking=False):
            raise SandboxError(
                "A sandbox is already running in this process: use its endpoint, or start another one as a separate "
                "process with `ddb-assets sandbox`."
            )
        with ExitStack() as stack:
            stack.callback(_one_per_process.release)
            folder = self._folder or Path(
                stack.enter_context(tempfile.TemporaryDirectory(prefix="ddb-assets-sandbox-"))
            )
            folder.mkdir(parents=True, exist_ok=True)
            listening = stack.enter_context(_listen(self._port))
            self.endpoint_url = f"http://{HOST}:{listening.getsockname()[1]}"
            self._clients.clear()  # of another port
            self.streams = KinesisStreams(self.clock, self._export_delay)
            self._delivery = StreamDelivery(self.streams)
            self.table_streams = TableStreams(self.clock)
            self._log = ChangeLog(folder / "change_log.sqlite", self.clock, self._hears)
            stack.callback(self._log.close)
            stack.enter_context(
                sandbox_state(
                    functools.partial(
                        SandboxBackend,
                        log=self._log,
                        latest_lag=self._latest_lag,
                        streams=self.table_streams,
                        backup_delay=self._export_delay,
                    )
                )
            )
            exporter = Exporter(self._log, self.s3(), self._export_delay)
            bulk_puts = BulkPutRunner(self._log, self.s3(), self._export_delay)
            moto = Dispatcher()
            restores = Restores(self._log, self._export_delay, _regional)
            exports = ExportApi(exporter, self.clock, _backend, _former_exports(folder))
            destinations = DestinationApi(self.streams, self._delivery, _backend, self._export_delay)
            operations = {
                **exports.operations(),
                **destinations.operations(),
                **BackupApi(self.clock, restores, _backend).operations(),
                **BulkPutApi(bulk_puts, self.clock, _backend).operations(),
                "RestoreTableToPointInTime": restores.restore,
            }
            stack.callback(lambda: (folder / EXPORTS).write_text(json.dumps(exports.completed())))
            app = JsonApi(moto, DYNAMODB, "1.0", operations, threading.Lock(), ERROR_TYPE_PREFIX)
            kinesis = KinesisApi(self.streams).operations() | KinesisShardsApi(self.streams).operations()
            app = JsonApi(app, KINESIS, "1.1", kinesis, self.streams.lock)
            own = self.table_streams
            app = JsonApi(app, DYNAMODB_STREAMS, "1.0", own.operations(), own.lock, ERROR_TYPE_PREFIX)
            self.jobs = SparkJobs(self._s3_as, self.environment)
            glue = GlueApi(self.jobs, self.client("logs")).operations()
            app = JsonApi(app, TARGET, "1.1", glue, threading.Lock())
            emr = EmrServerlessApi(self.jobs, self.s3())
            self.app = RestApi(app, SIGNING_NAME, emr.routes(), threading.Lock())
            stack.enter_context(served(self.app, listening, lambda: self.clock.micros() // MICROS))
            stack.callback(exporter.stop)
            stack.callback(bulk_puts.stop)
            stack.callback(self.jobs.stop)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    def environment(self) -> dict[str, str]:
        """The environment variables with which boto3, the AWS CLI and this project use the sandbox instead of AWS."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": ACCESS_KEY,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_REGION": REGION,
        }

    def dynamodb(self) -> "DynamoDBClient":
        """The boto3 client of the sandbox's DynamoDB."""
        client: DynamoDBClient = self.client("dynamodb")
        return client

    def s3(self) -> "S3Client":
        """The boto3 client of the sandbox's S3."""
        client: S3Client = self.client("s3")
        return client

    def kinesis(self) -> Any:
        """The boto3 client of the sandbox's Kinesis."""
        return self.client("kinesis")

    def dynamodb_streams(self) -> Any:
        """The boto3 client of the sandbox's DynamoDB Streams."""
        return self.client("dynamodbstreams")

    def glue(self) -> Any:
        """The boto3 client of the sandbox's Glue Data Catalog."""
        return self.client("glue")

    def data_catalog(self) -> "DataCatalog":
        """The sandbox's Glue Data Catalog, for a Redshift that reads its tables."""
        from ddb_assets.sandbox.redshift.external_tables import DataCatalog  # with the packages of the emulator

        files = {
            "endpoint": self.endpoint_url,
            "access-key-id": ACCESS_KEY,
            "secret-access-key": ACCESS_KEY,
            "region": REGION,
        }
        return DataCatalog(self.glue(), {f"s3.{name}": value for name, value in files.items()})

    def client(self, service: Any) -> Any:
        """The boto3 client of any service of the sandbox. Made once for each start: that takes as long as several requests."""
        with self._making:
            if service not in self._clients:
                self._clients[service] = self._session.client(service, endpoint_url=self.endpoint_url, config=ONCE)
            return self._clients[service]

    def _s3_as(self, access_key: str) -> "S3Client":
        """The S3 of whoever has this access key."""
        client: S3Client = self._session.client(
            "s3",
            endpoint_url=self.endpoint_url,
            config=ONCE,
            aws_access_key_id=access_key,
            aws_secret_access_key=ACCESS_KEY,
        )
        return client

    def _hears(self, number: int, change: Change) -> None:
        """Every change of a table goes to its Kinesis stream and to its own one."""
        self._delivery(number, change)
        self.table_streams.hears(number, change)

    @functools.cached_property
    def _session(self) -> "boto3.session.Session":
        core = botocore.session.Session()
        core.set_credentials(ACCESS_KEY, ACCESS_KEY)
        core.set_config_variable("region", REGION)
        return boto3_session(core)

    def seed(self, table_name: str, history: Iterable[Write]) -> int:
        """Adds backdated writes to a table and returns their number. They are read lazily and may be in any order.

        They have the same effect as writes through the API at their times, in reads, exports and restores.
        """
        table = _home().sandbox_table(table_name)

        def logged() -> Iterable[LoggedWrite]:
            for write in history:
                micros = to_micros(write.at)
                if write.deleted:
                    yield LoggedWrite(micros, table.storage_key(write.item), None, 0)
                else:
                    yield LoggedWrite(micros, *table.encode(write.item))

        return self._log.load(table.number, logged())

    def expire_items(self, table_name: str) -> int:
        """Deletes the items whose time to live has passed, as the service does, and returns how many."""
        return expire(_home().sandbox_table(table_name))

    def set_stream_faults(self, stream_arn: str, faults: Faults) -> None:
        """From now on the records of tables come to this stream with these faults. Late records of before arrive first."""
        self._delivery.set_faults(stream_arn, faults)

    def skipped_records(self, stream_arn: str) -> int:
        """How many records were not delivered to this stream because they had more than 1 MiB."""
        return self._delivery.skipped[stream_arn]

    def replicate(self, table_name: str, *regions: str) -> None:
        """Makes the table a global one with replicas in these Regions, as far as DescribeTable says; none takes them away."""
        _home().sandbox_table(table_name).replicas = regions

    def enable_recovery(self, table_name: str, since: datetime) -> None:
        """Switches on point-in-time recovery as of `since`, which becomes the earliest restorable time."""
        backend = _home()
        backend.recovery[backend.sandbox_table(table_name).table_id] = Recovery(to_micros(since))


def _home() -> SandboxBackend:
    return _regional(REGION)


def _regional(region: str) -> SandboxBackend:
    backend: Any = dynamodb_backends[DEFAULT_ACCOUNT_ID][region]
    assert isinstance(backend, SandboxBackend)  # noqa: S101 - the running sandbox has put it there
    return backend


def _backend(account: str, region: str) -> SandboxBackend | None:
    known: Any = dynamodb_backends[account].get(region) if account in dynamodb_backends else None
    return known if isinstance(known, SandboxBackend) else None


def _listen(port: int) -> socket.socket:
    try:
        return socket.create_server((HOST, port), backlog=128)
    except OSError as error:
        raise SandboxError(
            f"Port {port} of {HOST} cannot be used ({error.strerror}): stop the program that uses it or choose another port."
        ) from None
