"""Runs exports, each in a separate thread: reads the change log and writes the same objects as AWS.

`export_api` checks requests and starts exports; `export_files` makes the bytes of data files. Objects are written
through the S3 API.
Facts: AWS pages S3DataExport.Output (layout and manifests) and S3DataExport_Requesting.
"""

import secrets
import tempfile
import threading
from base64 import b32encode
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from botocore.exceptions import ClientError
from moto.s3.models import s3_backends

from ddb_assets.dynamodb import export_manifests
from ddb_assets.microseconds import from_micros
from ddb_assets.sandbox import export_files
from ddb_assets.sandbox.change_log import ChangeLog, LogReader
from ddb_assets.sandbox.tables import SandboxTable

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

PARALLEL = 2  # exports that run at the same time; the others wait and are IN_PROGRESS
SPOOL_BYTES = 1 << 20
LEAST_BILLED_INCREMENTAL = 10 << 20


@dataclass(frozen=True)
class ExportPeriod:
    """The period `[start, end)` of an incremental export, in microseconds, and its view."""

    start: int
    end: int
    view: str  # NEW_IMAGE or NEW_AND_OLD_IMAGES


@dataclass
class ExportTask:
    """One export; its times are in microseconds.

    A full export has no window; it has all items as of `export_time`. An incremental one has the changes of its window.
    """

    table: SandboxTable
    request: dict[str, Any]
    started: int
    export_time: int
    window: ExportPeriod | None
    id: str = field(init=False)
    status: str = "IN_PROGRESS"
    ended: int | None = None
    item_count: int = 0
    billed_bytes: int = 0
    failure: tuple[str, str] | None = None

    def __post_init__(self) -> None:
        self.id = f"{self.started // 1000:014d}-{secrets.token_hex(4)}"

    @property
    def arn(self) -> str:
        return f"{self.table.table_arn}/export/{self.id}"

    @property
    def kind(self) -> str:
        return "INCREMENTAL_EXPORT" if self.window else "FULL_EXPORT"

    @property
    def sse(self) -> str:
        return str(self.request.get("S3SseAlgorithm", "AES256"))

    def key(self, *parts: str) -> str:
        """An object key under this export's prefix, relative to the bucket."""
        prefix = self.request.get("S3Prefix")
        return "/".join([*([prefix.rstrip("/")] if prefix else []), "AWSDynamoDB", *parts])

    @property
    def summary_key(self) -> str:
        return self.key(self.id, "manifest-summary.json")


class Exporter:
    """Starts exports and remembers them. `stop` cancels waiting exports and waits for running ones."""

    def __init__(self, log: ChangeLog, s3: "S3Client", delay: timedelta) -> None:
        self._log = log
        self._s3 = s3
        self._delay = delay
        self._slots = threading.Semaphore(PARALLEL)
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self.exports: dict[str, ExportTask] = {}  # by ARN

    def start(self, export: ExportTask) -> None:
        """Registers the export and runs it after the delay."""
        self.exports[export.arn] = export
        thread = threading.Thread(target=self._run, args=(export,), name=f"export {export.id}", daemon=True)
        self._threads = [running for running in self._threads if running.is_alive()] + [thread]
        thread.start()

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _run(self, export: ExportTask) -> None:
        if self._stopping.wait(self._delay.total_seconds()):
            return
        with self._slots:
            if self._stopping.is_set():
                return
            try:
                self._write(export)
            except ClientError as error:
                code = error.response["Error"]["Code"]
                fail = "S3NoSuchBucket" if code == "NoSuchBucket" else f"S3{code}"
                export.failure = (fail, error.response["Error"].get("Message", code))
            except Exception as error:  # a bug must end the export as FAILED, so that nobody polls it forever
                export.failure = ("UNKNOWN", f"{type(error).__name__}: {error}")
            if export.failure:
                export.ended = self._log.clock.micros()
                export.status = "FAILED"

    def _check_owner(self, export: ExportTask) -> None:
        """Raises AccessDenied, as S3 does, unless the bucket is of the account in the request, by default the table's."""
        _, account = s3_backends.bucket_accounts.get(export.request["S3Bucket"], ("", None))
        expected = export.request.get("S3BucketOwner", export.table.table_arn.split(":")[4])
        if account not in (None, expected):
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "Access Denied"}}, "PutObject")

    def _write(self, export: ExportTask) -> None:
        self._check_owner(export)
        self._put(export, export.key(export.id, "_started"), b"")
        self._log.clock.wait_until(export.export_time)  # it may be in the future: it was rounded up to a millisecond
        with self._log.reader() as reader:
            bounds = export_files.partition_bounds(self._log.totals(export.table.number)[1])
            partitions = export_files.split(_lines(export, reader), bounds)
            entries = [self._data_file(export, lines) for lines in partitions]
        if export.window:
            export.billed_bytes = max(export.billed_bytes, LEAST_BILLED_INCREMENTAL)
        self._put_with_md5(export, export.key(export.id, "manifest-files.json"), b"".join(entries))
        export.ended = self._log.clock.micros()
        self._put_with_md5(export, export.summary_key, _summary(export).text())
        export.status = "COMPLETED"

    def _data_file(self, export: ExportTask, lines: Iterator[bytes]) -> bytes:
        """Writes one data file and returns its line for manifest-files.json."""
        name = b32encode(secrets.token_bytes(16)).decode().rstrip("=").lower() + ".json.gz"
        key = export.key("data", name) if export.window else export.key(export.id, "data", name)
        with tempfile.SpooledTemporaryFile(SPOOL_BYTES) as spool:
            target = export_files.GzipLines(cast("BinaryIO", spool))
            for line in lines:
                target.write(line)
            md5 = target.finish()
            spool.seek(0)
            etag = self._upload(export, key, cast("BinaryIO", spool))
        export.item_count += target.count
        return export_manifests.file_entry(target.count, md5, etag, key)

    def _upload(self, export: ExportTask, key: str, body: BinaryIO) -> str:
        """Uploads a data file as AWS's exporter does: a multipart upload of one part, whose etag ends with "-1"."""
        encryption: Any = self._encryption(export)
        place: Any = {"Bucket": export.request["S3Bucket"], "Key": key}
        place["UploadId"] = self._s3.create_multipart_upload(**place, **encryption)["UploadId"]
        part = self._s3.upload_part(**place, PartNumber=1, Body=body)
        parts: Any = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
        return self._s3.complete_multipart_upload(**place, MultipartUpload=parts)["ETag"].strip('"')

    def _put_with_md5(self, export: ExportTask, key: str, data: bytes) -> None:
        """Writes an object and its checksum, the checksum first: `manifest-files.md5`, then `manifest-files.json`."""
        self._put(export, key.removesuffix(".json") + ".md5", export_manifests.base64_md5(data))
        self._put(export, key, data)

    def _put(self, export: ExportTask, key: str, data: bytes) -> None:
        encryption: Any = self._encryption(export)
        self._s3.put_object(Bucket=export.request["S3Bucket"], Key=key, Body=data, **encryption)

    @staticmethod
    def _encryption(export: ExportTask) -> dict[str, str]:
        if export.sse == "AES256":
            return {"ServerSideEncryption": "AES256"}
        key_id = export.request.get("S3SseKmsKeyId")
        return {"ServerSideEncryption": "aws:kms"} | ({"SSEKMSKeyId": key_id} if key_id else {})


def _lines(export: ExportTask, reader: LogReader) -> Iterator[tuple[bytes, bytes]]:
    """(storage key, line) of all content of the export, in key order. Adds to `billed_bytes` on the way."""
    number = export.table.number
    if export.window is None:
        for stored in reader.items_at(number, export.export_time):
            export.billed_bytes += stored.size
            yield stored.key, export_files.full_line(stored.image)
        return
    old_images = export.window.view == "NEW_AND_OLD_IMAGES"
    for change in reader.changes(number, export.window.start, export.window.end):
        export.billed_bytes += change.size
        yield change.key, export_files.change_line(change, export.table.table_key_attrs, old_images)


def _summary(export: ExportTask) -> export_manifests.Summary:
    window = export.window
    if window:
        span = {"exportFromTime": _iso(window.start), "exportToTime": _iso(window.end)}
    else:
        span = {"exportTime": _iso(export.export_time)}
    return export_manifests.Summary(
        arn=export.arn,
        table_arn=export.table.table_arn,
        table_id=export.table.table_id,
        started=_iso(export.started),
        ended=_iso(export.ended or export.started),
        span=span,
        place={
            "s3Bucket": export.request["S3Bucket"],
            "s3Prefix": export.request.get("S3Prefix"),
            "s3SseAlgorithm": export.sse,
            "s3SseKmsKeyId": export.request.get("S3SseKmsKeyId"),
        },
        files_key=export.key(export.id, "manifest-files.json"),
        billed_bytes=export.billed_bytes,
        items=export.item_count,
        view=window.view if window else None,
    )


def _iso(micros: int) -> str:
    """A time in the form of manifests: `2024-05-14T11:14:20.608Z`."""
    moment = from_micros(micros)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
