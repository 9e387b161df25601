"""The bytes of an export's manifests: manifest-summary.json, manifest-files.json and their checksums.

Pure: no S3, no tables. The sandbox writes them for exports; a drain of a change stream and a scan write them for what they
land. `exports/manifest.py` reads them. Facts: AWS page S3DataExport.Output.
"""

import hashlib
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

VERSIONS = {"FULL_EXPORT": "2020-06-30", "INCREMENTAL_EXPORT": "2023-08-01"}


@dataclass(frozen=True)
class Summary:
    """What manifest-summary.json says. Its times are texts in the form of ISO 8601, in UTC.

    `span` has exportTime, or exportFromTime and exportToTime; `place` has the members about S3. `view` is None for a full
    export. `scan` has what a scan says of itself, a member that no export has.
    """

    arn: str
    table_arn: str
    table_id: str
    started: str
    ended: str
    span: Mapping[str, str]
    place: Mapping[str, str | None]
    files_key: str
    billed_bytes: int
    items: int
    view: str | None
    scan: Mapping[str, Any] | None = None

    def text(self) -> bytes:
        """The file's content, with its members in AWS's order."""
        kind = "INCREMENTAL_EXPORT" if self.view else "FULL_EXPORT"
        return _line(
            {
                "version": VERSIONS[kind],
                "exportArn": self.arn,
                "startTime": self.started,
                "endTime": self.ended,
                "tableArn": self.table_arn,
                "tableId": self.table_id,
                **self.span,
                **self.place,
                "manifestFilesS3Key": self.files_key,
                "billedSizeBytes": self.billed_bytes,
                "itemCount": self.items,
                "outputFormat": "DYNAMODB_JSON",
                **({"outputView": self.view} if self.view else {}),
                "exportType": kind,
                **({"scan": self.scan} if self.scan else {}),
            }
        )


def file_entry(count: int, md5: str, etag: str, key: str) -> bytes:
    """One line of manifest-files.json."""
    return _line({"itemCount": count, "md5Checksum": md5, "etag": etag, "dataFileS3Key": key})


def base64_md5(data: bytes) -> bytes:
    """The content of a manifest's `.md5` file."""
    return b64encode(hashlib.md5(data, usedforsecurity=False).digest())


def _line(fields: dict[str, Any]) -> bytes:
    """Compact JSON and a newline."""
    return orjson.dumps(fields) + b"\n"
