"""Writes small exports in every form that AWS, or a user who copies one, may leave behind."""

import base64
import gzip
import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any

from ddb_assets.aws.storage import Storage, join

ID = "01695097218000-d6299cbd"
TABLE_ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/Orders"
LINES: Sequence[Sequence[bytes]] = (
    [b'{"Item":{"id":{"S":"a"}}}', b'{"Item":{"id":{"S":"b"}}}'],
    [],
    [b'{"Item":{"id":{"S":"c"}}}'],
)


def md5(data: bytes) -> str:
    return base64.b64encode(hashlib.md5(data).digest()).decode()


def write_export(
    storage: Storage,
    root: str,
    *,
    lines: Sequence[Sequence[bytes]] = LINES,
    incremental: bool = False,
    prefix: str | None = "exports",
    prefix_in_keys: bool = True,
    checksums: str | None = ".md5",
    export_id: str = ID,
    **summary_changes: Any,
) -> str:
    """Writes an export of the table Orders below the bucket root; returns its folder. A change to None is written as null."""
    home = join(root, prefix or "", "AWSDynamoDB")
    key_home = join(prefix if prefix and prefix_in_keys else "", "AWSDynamoDB").lstrip("/")
    entries = []
    for number, content in enumerate(lines):
        data = gzip.compress(b"".join(line + b"\n" for line in content), mtime=0)
        tail = f"data/{export_id[-8:]}{number}.json.gz" if incremental else f"{export_id}/data/file{number}.json.gz"
        storage.write(join(home, tail), data)
        entries.append(
            {
                "itemCount": len(content),
                "md5Checksum": md5(data),
                "etag": hashlib.md5(data).hexdigest() + "-1",
                "dataFileS3Key": f"{key_home}/{tail}",
            }
        )
    period = (
        {"exportFromTime": "2023-09-18T17:00:00.000Z", "exportToTime": "2023-09-19T04:00:00.000Z"}
        if incremental
        else {"exportTime": "2023-09-19T04:20:18.000Z"}
    )
    summary = {
        "version": "2023-08-01" if incremental else "2020-06-30",
        "exportArn": f"{TABLE_ARN}/export/{export_id}",
        "startTime": "2023-09-19T04:20:18.000Z",
        "endTime": "2023-09-19T04:40:24.780Z",
        "tableArn": TABLE_ARN,
        "tableId": "b116b490-6460-4d4a-9a6b-5d360abf4fb3",
        **period,
        "s3Bucket": "bucket",
        "s3Prefix": prefix,
        "s3SseAlgorithm": "AES256",
        "s3SseKmsKeyId": None,
        "manifestFilesS3Key": f"{key_home}/{export_id}/manifest-files.json",
        "billedSizeBytes": 10485760,
        "itemCount": sum(map(len, lines)),
        "outputFormat": "DYNAMODB_JSON",
        **({"outputView": "NEW_AND_OLD_IMAGES"} if incremental else {}),
        "exportType": "INCREMENTAL_EXPORT" if incremental else "FULL_EXPORT",
        **summary_changes,
    }
    home = join(home, export_id)
    storage.write(f"{home}/_started", b"")
    manifests = {
        "manifest-files": "".join(json.dumps(entry, separators=(",", ":")) + "\n" for entry in entries).encode(),
        "manifest-summary": json.dumps(summary, separators=(",", ":")).encode(),
    }
    for name, data in manifests.items():
        storage.write(f"{home}/{name}.json", data)
        if checksums:
            storage.write(f"{home}/{name}{checksums}", md5(data).encode() + b"\n")
    return home


def alter(storage: Storage, uri: str, change: Callable[[bytes], bytes]) -> None:
    """Rewrites a file, and its checksum file if it is a manifest, as an attacker or an editing user would."""
    data = change(storage.read(uri))
    storage.write(uri, data)
    checksum = uri.removesuffix(".json") + ".md5"
    if uri.endswith(".json") and storage.exists(checksum):
        storage.write(checksum, md5(data).encode())


def alter_summary(storage: Storage, folder: str, **changes: Any) -> None:
    """Changes fields of the summary; `...` removes one."""

    def change(data: bytes) -> bytes:
        fields = json.loads(data) | changes
        return json.dumps({name: value for name, value in fields.items() if value is not ...}).encode()

    alter(storage, f"{folder}/manifest-summary.json", change)


def alter_entry(storage: Storage, folder: str, number: int, **changes: Any) -> None:
    """Changes fields of one line (from 0) of manifest-files.json."""

    def change(data: bytes) -> bytes:
        lines = data.splitlines(keepends=True)
        lines[number] = json.dumps(json.loads(lines[number]) | changes).encode() + b"\n"
        return b"".join(lines)

    alter(storage, f"{folder}/manifest-files.json", change)
