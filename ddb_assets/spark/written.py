"""Checks that every file of a job's result is there, whole and unchanged, before anything is published.

One listing of the folder gives the sizes. On S3 it gives the ETag of each object as well: its MD5, or, if the bucket encrypts
with a key of KMS, what S3 said at the end of the task that wrote the object. The content is read of local files, and of objects
that were written again since then. Memory use does not depend on the size of the files.
Facts: Amazon S3, "Checking object integrity": ETags with KMS are not MD5s, but they change with the content.
"""

import base64
import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ddb_assets.aws.storage import READ_BYTES, Entry, MissingFileError
from ddb_assets.exports.manifest import some
from ddb_assets.spark.file_facts import md5_hex
from ddb_assets.spark.job import JobError, JobResult

if TYPE_CHECKING:
    from ddb_assets.aws.storage import Storage

THREADS = 16


@dataclass(frozen=True)
class Expected:
    """A file as the result describes it: its size in bytes, the base64 MD5 of its content, its ETag if that is another one."""

    uri: str
    bytes: int
    md5: str
    etag: str = ""


def expected_files(result: JobResult) -> list[Expected]:
    """All files that the report of a result lists."""
    report = result.report
    relations = (*report.relations, *([report.unread] if report.unread else []))
    files = [part for relation in relations for part in relation.parts] + [*result.quarantine]
    return [Expected(file.uri, file.bytes, file.md5, result.etags.get(file.uri, "")) for file in files]


def check_files(storage: "Storage", folder: str, files: Sequence[Expected]) -> None:
    """Raises JobError that names the files that are missing, too short or too long, or have another content."""
    wanted = {file.uri: file for file in files}
    found = {entry.uri: entry for entry in storage.list(folder) if entry.uri in wanted}

    def problem(file: Expected) -> str:
        return _problem(storage, file, found.get(file.uri))

    with ThreadPoolExecutor(THREADS) as pool:
        problems = [said for said in pool.map(problem, wanted.values()) if said]
    if problems:
        raise JobError(
            f"{len(problems)} of the {len(wanted)} files that the job says it has written to {folder} are not as it says: "
            f"{some(problems)}; nothing was published: flatten the export again"
        )


def _problem(storage: "Storage", file: Expected, entry: Entry | None) -> str:
    # guard: a file is there
    if entry is None:
        return f"{file.uri} is missing"
    # guard: a file is whole
    if entry.size != file.bytes:
        return f"{file.uri} has {entry.size} bytes, not {file.bytes}"
    if (etag := (entry.etag or "").strip('"')) and etag in {md5_hex(file.md5), file.etag}:
        return ""
    try:
        actual = _md5(storage, file.uri)
    except MissingFileError:
        return f"{file.uri} is missing"
    # guard: a file is unchanged
    if actual != file.md5:
        return f"{file.uri} has the MD5 {actual}, not {file.md5}"
    return ""


def _md5(storage: "Storage", uri: str) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with storage.open(uri) as stream:
        while piece := stream.read(READ_BYTES):
            digest.update(piece)
    return base64.b64encode(digest.digest()).decode()
