"""Writes exports in AWS's form from functions that make their lines, in several processes, once for each size."""

import base64
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import orjson
from isal import igzip

from ddb_assets.dynamodb.export_manifests import Summary, base64_md5, file_entry
from ddb_assets.microseconds import to_micros
from ddb_assets.sandbox.export_files import GzipLines

MEGABYTE = 1_000_000
FILES = 4
TABLE_ARN = "arn:aws:dynamodb:us-east-1:123456789012:table"
EXPORT_ID = "01725148800000-5f0c1b2a"
WRITERS = 2
FROM, WINDOW_SECONDS = datetime(2024, 8, 31, 23, tzinfo=UTC), 3600
FROM_MICROS = to_micros(FROM)
"""The first moment of the window of incremental exports."""

LineMaker = Callable[[int], dict[str, Any]]


def written(
    folder: Path, table: str, make: LineMaker, megabytes: int, *, files: int = FILES, incremental: bool = False
) -> Path:
    """The folder of an export of about this many raw megabytes below `folder`. It is generated unless it is there."""
    home, data = _homes(folder)
    if not (home / "manifest-summary.json").exists():
        shutil.rmtree(folder, ignore_errors=True)
        data.mkdir(parents=True)
        with ProcessPoolExecutor(WRITERS) as pool:
            share = megabytes * MEGABYTE // files
            entries = list(pool.map(partial(_write_file, data, make, share, files), range(files)))
        _write_manifests(home, table, entries, incremental=incremental)
    return home


def repeated(folder: Path, source: Path, table: str, generation: bytes, times: int) -> Path:
    """An export with the files of `source`, `times` times, each time with other keys, so that no item is there twice.

    `generation` is the beginning of every line, including the two digits that are replaced.
    """
    home, data = _homes(folder)
    if not (home / "manifest-summary.json").exists():
        shutil.rmtree(folder, ignore_errors=True)
        data.mkdir(parents=True)
        originals = sorted((source / "data").iterdir())
        with ProcessPoolExecutor(WRITERS) as pool:
            copies = [(data, original, generation, number) for original in originals for number in range(times)]
            entries = list(pool.map(_write_copy, *zip(*copies, strict=True)))
        _write_manifests(home, table, entries)
    return home


def _homes(folder: Path) -> tuple[Path, Path]:
    home = folder / "AWSDynamoDB" / EXPORT_ID
    return home, home / "data"


def _write_file(data: Path, make: LineMaker, size: int, step: int, first: int) -> bytes:
    path = data / f"{first:04d}.json.gz"
    with path.open("wb") as target:
        lines = GzipLines(target)
        for line in _lines_of_size(make, size, count(first, step)):
            lines.write(line)
        md5 = lines.finish()
    return _entry(path, lines.count, md5)


def _lines_of_size(make: LineMaker, size: int, numbers: Iterator[int]) -> Iterator[bytes]:
    while size > 0:
        line = orjson.dumps(make(next(numbers)), option=orjson.OPT_APPEND_NEWLINE)
        size -= len(line)
        yield line


def _write_copy(data: Path, original: Path, generation: bytes, number: int) -> bytes:
    lines: bytes = igzip.decompress(original.read_bytes())  # type: ignore[no-untyped-call]
    other = generation[:-3] + b"%02d-" % number
    copy = igzip.compress(lines.replace(generation, other), compresslevel=1)
    path = data / f"{original.stem.removesuffix('.json')}-{number:02d}.json.gz"
    path.write_bytes(copy)
    return _entry(path, lines.count(b"\n"), base64.b64encode(hashlib.md5(copy).digest()).decode())


def _entry(path: Path, items: int, md5: str) -> bytes:
    return file_entry(items, md5, "none-1", f"AWSDynamoDB/{EXPORT_ID}/data/{path.name}")


def _write_manifests(home: Path, table: str, entries: list[bytes], *, incremental: bool = False) -> None:
    end = _iso(FROM + timedelta(seconds=WINDOW_SECONDS))
    summary = Summary(
        arn=f"{TABLE_ARN}/{table}/export/{EXPORT_ID}",
        table_arn=f"{TABLE_ARN}/{table}",
        table_id="b116b490-6460-4d4a-9a6b-5d360abf4fb3",
        started="2024-09-01T00:00:00.000Z",
        ended="2024-09-01T00:10:00.000Z",
        span={"exportFromTime": _iso(FROM), "exportToTime": end} if incremental else {"exportTime": end},
        place={"s3Bucket": "bench", "s3Prefix": None, "s3SseAlgorithm": "AES256", "s3SseKmsKeyId": None},
        files_key=f"AWSDynamoDB/{EXPORT_ID}/manifest-files.json",
        billed_bytes=1,
        items=sum(json.loads(entry)["itemCount"] for entry in entries),
        view="NEW_AND_OLD_IMAGES" if incremental else None,
    )
    for name, text in (("manifest-files", b"".join(entries)), ("manifest-summary", summary.text())):
        (home / f"{name}.json").write_bytes(text)
        (home / f"{name}.md5").write_bytes(base64_md5(text))


def _iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.000Z")


def size(home: Path) -> tuple[int, int]:
    """The number of items of an export, and of the decompressed bytes of its data files."""
    entries = (home / "manifest-files.json").read_bytes().splitlines()
    raw = sum(int.from_bytes(path.read_bytes()[-4:], "little") for path in (home / "data").iterdir())  # gzip's ISIZE
    return sum(json.loads(entry)["itemCount"] for entry in entries), raw
