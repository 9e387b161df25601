"""Reads and checks the manifests of a DynamoDB export to S3.

`read_export` reads an export as AWS wrote it, on S3 or in a folder, even if it was copied elsewhere, and returns an
`Export`. It only locates the data files; `data_file.py` reads and verifies them, `flatten/` decodes the items, and
`request.py` requests exports.

Facts: S3DataExport.Output in the DynamoDB Developer Guide. The summary has version 2020-06-30 (full) or 2023-08-01
(incremental); manifest-files.json is JSON Lines; keys are relative to the bucket; incremental exports share one
`AWSDynamoDB/data/` beside their folders; `.md5` (or `.checksum`) files hold the base64 MD5 of the manifest beside them.
"""

import base64
import binascii
import hashlib
import json
import logging
import os
import re
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar, cast

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import from_json, to_json

from ddb_assets.aws.storage import MissingFileError, TooLargeError, is_s3, local_path
from ddb_assets.contract.scan import FORMAT, Scanned
from ddb_assets.errors import DdbAssetsError

if TYPE_CHECKING:
    from ddb_assets.aws.storage import Storage

logger = logging.getLogger(__name__)

SUMMARY = "manifest-summary.json"
FILES = "manifest-files.json"
STARTED = "_started"
OUTSIDE = "points outside the export's folder: AWS did not write it like this; fetch the manifest again"
VERSIONS = "2020-06-30 (full) and 2023-08-01 (incremental)"
MAX_SUMMARY_BYTES = 1 << 20  # AWS's have about 1 KB
MAX_FILES_BYTES = 256 << 20  # about a million files
MAX_LINE_BYTES = 16 << 10  # a key has at most 1 KB, the rest of a line about 150 bytes
LISTED = 10  # how many exports or files an error names before it says "and N more"

Kind = Literal["full", "incremental"]
View = Literal["NEW_IMAGE", "NEW_AND_OLD_IMAGES"]
ExportFormat = Literal["DYNAMODB_JSON", "ION"]
JSON_ONLY: tuple[ExportFormat, ...] = ("DYNAMODB_JSON",)

_TABLE_ARN = r"arn:aws[a-z-]*:dynamodb:[a-z0-9-]+:[0-9]{12}:table/[A-Za-z0-9_.-]{1,255}"
_NAME = r"[A-Za-z0-9_-][A-Za-z0-9_.-]*"  # never "..", never a slash
_DATA_KEY = re.compile(rf"AWSDynamoDB/(?:(?P<id>{_NAME})/)?data/(?P<name>{_NAME})")
_FILES_KEY = re.compile(rf"AWSDynamoDB/(?P<id>{_NAME})/{re.escape(FILES)}")


class ManifestError(DdbAssetsError):
    """The export is missing, not finished, damaged, or not the expected one."""


@dataclass(frozen=True)
class DataFile:
    """One gzip file of items: its present URI, its key in the manifest, its number of items, and its base64 MD5.

    The MD5 is that of the compressed bytes.
    """

    uri: str
    key: str
    item_count: int
    md5: str


@dataclass(frozen=True)
class Export:
    """A finished export; its times are aware and in UTC.

    A full export has `export_time`; an incremental one has `from_time` (inclusive), `to_time` (exclusive) and `view`. `uri`
    is that of the manifest summary, `billed_bytes` the size that AWS bills. `scan` says how a scan wrote it that took the
    place of a full export.
    """

    id: str
    arn: str
    table_arn: str
    table_name: str
    table_id: str
    kind: Kind
    export_time: datetime | None
    from_time: datetime | None
    to_time: datetime | None
    view: View | None
    item_count: int
    billed_bytes: int
    files: tuple[DataFile, ...]
    uri: str
    scan: Scanned | None = None
    format: ExportFormat = "DYNAMODB_JSON"

    @property
    def digest(self) -> str:
        """Hex SHA-256 of the export's content: its ARN, and the MD5 and count of each file. A copy has the same digest."""
        content = [self.arn, self.item_count, sorted((file.md5, file.item_count) for file in self.files)]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _md5_checked(value: str) -> str:
    try:
        if len(base64.b64decode(value, validate=True)) == hashlib.md5(usedforsecurity=False).digest_size:
            return value
    except binascii.Error:
        pass
    raise ValueError("is not a base64 MD5")


def _in_utc(time: datetime) -> datetime:
    try:
        return time.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("is outside the years 1 to 9999 in UTC") from error


_Count = Annotated[int, Field(ge=0)]
_Time = Annotated[AwareDatetime, AfterValidator(_in_utc)]


class _ManifestModel(BaseModel):
    """AWS may add fields, so unknown ones are ignored. Known fields must have exactly the right type."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True, alias_generator=to_camel)


_M = TypeVar("_M", bound=_ManifestModel)


class _Summary(_ManifestModel):
    version: str
    export_arn: str = Field(pattern=rf"^{_TABLE_ARN}/export/{_NAME}$")
    table_arn: str = Field(pattern=rf"^{_TABLE_ARN}$")
    table_id: str = Field(min_length=1)
    s3_prefix: str | None = None
    manifest_files_s3_key: str
    item_count: _Count
    billed_size_bytes: _Count = 0
    output_format: str = "DYNAMODB_JSON"
    export_type: Literal["FULL_EXPORT", "INCREMENTAL_EXPORT"] = "FULL_EXPORT"  # absent in older full exports
    export_time: _Time | None = None
    export_from_time: _Time | None = None
    export_to_time: _Time | None = None
    output_view: View | None = None
    scan: Scanned | None = None


class _FileLine(_ManifestModel):
    item_count: _Count
    md5_checksum: Annotated[str, AfterValidator(_md5_checked)]
    data_file_s3_key: str


def read_export(
    storage: "Storage",
    source: str,
    *,
    expected_table: str | None = None,
    formats: Collection[ExportFormat] = JSON_ONLY,
) -> Export:
    """The export at `source`: a manifest-summary.json, its folder, or a prefix with exactly one export below it.

    `expected_table` is a table name or ARN; an export of another table is refused. Both manifests are verified against
    their checksum files, if there are any, and the item counts of the files against the summary's. Data files are located
    in the given folder, else by their keys in the bucket; a missing file is noticed when it is read. `formats`: those that
    the caller can read.
    Raises ManifestError, and StorageError when the storage cannot be read.
    """
    uri, content = _found_summary(storage, source)
    folder = os.path.dirname(uri)
    _check_sum(storage, uri, content)
    summary = _parsed(_Summary, _scan_of_today(content, uri), uri)
    _check_summary(summary, uri, expected_table, formats)
    declared = _key_in_export(_FILES_KEY, summary.manifest_files_s3_key, summary.s3_prefix)
    if declared is None:
        raise ManifestError(f"{uri}: manifestFilesS3Key {summary.manifest_files_s3_key!r} {OUTSIDE}")
    export_id = summary.export_arn.rpartition("/")[2]
    ids = {export_id, declared["id"], os.path.basename(folder)}
    files = _data_files(storage, folder, summary, ids)
    if (counted := sum(file.item_count for file in files)) != summary.item_count:
        raise ManifestError(
            f"{uri} counts {summary.item_count} items, but the files in {FILES} have {counted}: "
            "a manifest is incomplete or of another export; fetch both again or export again"
        )
    logger.info(
        "export %s of %s: %d items, %d files",
        export_id,
        summary.table_arn,
        counted,
        len(files),
        extra={"export": export_id},
    )
    return Export(
        id=export_id,
        arn=summary.export_arn,
        table_arn=summary.table_arn,
        table_name=summary.table_arn.rpartition("/")[2],
        table_id=summary.table_id,
        kind="full" if summary.export_type == "FULL_EXPORT" else "incremental",
        export_time=summary.export_time,
        from_time=summary.export_from_time,
        to_time=summary.export_to_time,
        view=summary.output_view,
        item_count=summary.item_count,
        billed_bytes=summary.billed_size_bytes,
        files=files,
        uri=uri,
        scan=summary.scan,
        format=cast("ExportFormat", summary.output_format),
    )


def _found_summary(storage: "Storage", source: str) -> tuple[str, bytes]:
    """Where the summary is, and its bytes. It is read at once, because asking first would be one more request."""
    root = source.rstrip("/") if is_s3(source) else os.path.abspath(local_path(source))
    folder = os.path.dirname(root) if root.endswith(f"/{SUMMARY}") else root
    with suppress(MissingFileError):
        return f"{folder}/{SUMMARY}", _read(storage, f"{folder}/{SUMMARY}", MAX_SUMMARY_BYTES)
    below = [entry.uri.rpartition("/") for entry in storage.list(folder)]
    if folder != root:  # the source is a file, so exports further down do not count
        below = [parts for parts in below if parts[0] == folder]
    finished = [place for place, _, name in below if name == SUMMARY]
    if len(finished) == 1:
        uri = f"{finished[0]}/{SUMMARY}"
        return uri, _read(storage, uri, MAX_SUMMARY_BYTES)
    if finished:
        raise ManifestError(f"{folder} contains {len(finished)} exports, name one of them: {some(finished)}")
    if started := [place for place, _, name in below if name == STARTED]:
        raise ManifestError(
            f"the export in {some(started)} is not finished: it has {STARTED} and no {SUMMARY}; wait until "
            "DescribeExport says COMPLETED, and export again if it says FAILED"
        )
    raise ManifestError(f"there is no export in {folder}: no {SUMMARY} in it or below it; check the path")


def _check_sum(storage: "Storage", uri: str, content: bytes) -> None:
    """Checks a manifest's bytes against the `.md5` or `.checksum` file beside it if there is one."""
    actual = base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()
    for suffix in (".md5", ".checksum"):
        checksum = uri.removesuffix(".json") + suffix
        try:
            expected = _read(storage, checksum, MAX_SUMMARY_BYTES).decode("ascii", "replace").strip()
        except MissingFileError:
            continue
        if expected != actual:
            raise ManifestError(
                f"{uri} is damaged: its MD5 is {actual}, {checksum} says {expected[:32]!r}; fetch both again"
            )


def _read(storage: "Storage", uri: str, most: int) -> bytes:
    try:
        return storage.read(uri, most=most)
    except TooLargeError as error:
        raise ManifestError(str(error)) from error


def _scan_of_today(content: bytes, where: str) -> bytes:
    """The summary with what it says of a scan in today's form. Raises FormatVersionError for a scan by a newer ddb_assets."""
    try:
        document = from_json(content)
    except ValueError:
        return content
    scan = document.get("scan") if isinstance(document, dict) else None
    if not isinstance(scan, dict) or FORMAT.check(scan.get(FORMAT.key), where) == FORMAT.version:
        return content
    return to_json({**document, "scan": FORMAT.migrated(scan, where)})


def _parsed(model: type[_M], content: bytes, where: str) -> _M:
    try:
        return model.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise ManifestError(
            f"{where}: {field + ': ' if field else ''}{first['msg']}; AWS does not write it like this: fetch it again"
        ) from error


def _check_summary(summary: _Summary, uri: str, expected_table: str | None, formats: Collection[ExportFormat]) -> None:
    if summary.output_format not in formats:
        raise ManifestError(
            f"{uri}: the export's format is {summary.output_format}, but only {' and '.join(formats)} can be read: "
            "export again with ExportFormat=DYNAMODB_JSON"
        )
    if not summary.export_arn.startswith(f"{summary.table_arn}/export/"):
        raise ManifestError(
            f"{uri}: exportArn {summary.export_arn} is not an export of tableArn {summary.table_arn}: fetch the manifest "
            "again or export again"
        )
    if expected_table is not None and expected_table not in (summary.table_arn, summary.table_arn.rpartition("/")[2]):
        raise ManifestError(
            f"{uri} is an export of {summary.table_arn}, not of table {expected_table}: name the right export"
        )
    start, end = summary.export_from_time, summary.export_to_time
    complete = summary.export_time if summary.export_type == "FULL_EXPORT" else (start and end and start < end)
    if not complete:
        needed = "exportTime" if summary.export_type == "FULL_EXPORT" else "exportFromTime before exportToTime"
        raise ManifestError(
            f"{uri}: a {summary.export_type} needs {needed}; its version is {summary.version}, supported are {VERSIONS}"
        )


def _data_files(storage: "Storage", folder: str, summary: _Summary, ids: set[str]) -> tuple[DataFile, ...]:
    uri = f"{folder}/{FILES}"
    files: dict[str, DataFile] = {}
    chosen: dict[bool, int] = {}  # one look-up per layout: all its files are in the same place as its first one
    try:
        content = _read(storage, uri, MAX_FILES_BYTES)
    except MissingFileError as error:
        raise ManifestError(f"the export has no {uri}: fetch it again or export again") from error
    _check_sum(storage, uri, content)
    for number, line in enumerate(content.splitlines(), start=1):
        if not line.strip():
            continue
        where = f"{uri} line {number}"
        if len(line) > MAX_LINE_BYTES:
            raise ManifestError(f"{where} has {len(line)} bytes, more than AWS writes: fetch it again or export again")
        entry = _parsed(_FileLine, line, where)
        key = entry.data_file_s3_key
        parts = _key_in_export(_DATA_KEY, key, summary.s3_prefix)
        if parts is None or parts["id"] not in {*ids, None}:
            raise ManifestError(f"{where}: dataFileS3Key {key!r} {OUTSIDE}")
        if key in files:
            raise ManifestError(f"{where} names {key} a second time: fetch the manifest again")
        shared = parts["id"] is None
        places = _places(folder, parts["name"], shared, key, summary.s3_prefix)
        if shared not in chosen:
            found = next((index for index, place in enumerate(places) if storage.exists(place)), None)
            if found is None:
                raise ManifestError(
                    f"the export has no data file {key} ({where}): looked for {', '.join(places)}; fetch it again or export "
                    "again"
                )
            chosen[shared] = found
        files[key] = DataFile(places[chosen[shared]], key, entry.item_count, entry.md5_checksum)
    return tuple(files.values())


def _places(folder: str, name: str, shared: bool, key: str, prefix: str | None) -> list[str]:
    """Where a data file may be: beside the manifest, else in the bucket by its key, with and without the prefix."""
    places = [f"{folder}/data/{name}", f"{folder}/{name}"]  # the latter if all files were downloaded into one folder
    if shared:
        places.insert(0, f"{os.path.dirname(folder)}/data/{name}")
    if folder.startswith("s3://"):
        bucket = "/".join(folder.split("/", 3)[:3])
        places += [f"{bucket}/{key}", f"{bucket}/{(prefix or '').strip('/')}/{key}"]
    return places


def _key_in_export(pattern: re.Pattern[str], key: str, prefix: str | None) -> re.Match[str] | None:
    """The parts of a key in the place where AWS puts it, with or without the prefix; None for any other key."""
    if {".", ".."} & set(key.split("/")):
        return None
    folder = f"{(prefix or '').rstrip('/')}/"
    rest = key.removeprefix(folder).lstrip("/") if len(folder) > 1 and key.startswith(folder) else key
    return pattern.fullmatch(rest) or pattern.fullmatch(key)


def some(names: Iterable[str]) -> str:
    """`a, b and 3 more`: the first `LISTED` names in order, for a message."""
    ordered = sorted(names)
    more = len(ordered) - LISTED
    return ", ".join(ordered[:LISTED]) + (f" and {more} more" if more > 0 else "")
