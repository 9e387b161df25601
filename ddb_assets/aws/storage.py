"""Files by URI, on S3 or in a local folder, behind one small interface.

A URI is `s3://bucket/key` or a local path. Everything that reads exports or writes Parquet, reports and schema
documents goes through a `Storage`; nothing here knows what the bytes mean. `s3_files.py` makes the calls to S3; a
`Storage()` without a client serves local folders, and never pays for importing boto3.
"""

import hashlib
import os
import re
import shutil
import stat
import uuid
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from ddb_assets.errors import DdbAssetsError, RetryableError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from ddb_assets.aws.s3_files import S3Files

READ_BYTES = 1 << 20
ENDS_BYTES = 1 << 16
"""How much of a local file's beginning and of its end tells it from another one."""


PARTIAL = re.compile(r"/\.new-[0-9a-f]{32}$")
"""The name of a local file whose process was killed while it wrote the file."""


class StorageError(DdbAssetsError):
    """A file or bucket cannot be reached, or the URI is not one."""


class MissingFileError(StorageError):
    """There is no file at this URI."""


class TooLargeError(StorageError):
    """The file has more bytes than a file of its kind ever has."""


class FileTakenError(StorageError):
    """The file changed, or another one was first, so a conditional request was refused."""


class BrokenOffError(StorageError, RetryableError):
    """There is no connection to S3, or it broke off."""


@dataclass(frozen=True)
class Entry:
    """One file: its URI and its size in bytes. `etag` is what S3 gives each content of an object; None for a local file.

    `modified` is when it was last written, as a listing says. `kms`: a key of KMS encrypts it, so its ETag is not the MD5 of
    its content; a listing does not say so.
    """

    uri: str
    size: int
    etag: str | None = None
    modified: datetime | None = field(default=None, compare=False)
    kms: bool = field(default=False, compare=False)


def join(base: str, *parts: str) -> str:
    """`join("s3://b/p/", "x")` -> `s3://b/p/x`, the same for local paths; empty parts and doubled slashes vanish."""
    return "/".join([base.rstrip("/"), *(p.strip("/") for p in parts if p.strip("/"))])


def split_s3(uri: str) -> tuple[str, str]:
    """`s3://bucket/key` -> (bucket, key). Raises StorageError when it is no such URI."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    if not is_s3(uri) or not bucket:
        raise StorageError(f"{uri!r} is not an S3 URI: write s3://bucket/key")
    return bucket, key


def is_s3(uri: str) -> bool:
    """True for `s3://…`; anything else is a local path, or refused by `local_path`."""
    return uri.startswith("s3://")


def local_path(uri: str) -> Path:
    """The path of a file that is not on S3. Raises StorageError for the URI of anything else."""
    if found := _SCHEME.match(uri):
        raise StorageError(f"{uri!r}: files of {found[0]} cannot be reached: write s3://bucket/key or a local path")
    if "\0" in uri or not uri:
        raise StorageError(f"{uri!r} is not the path of a file")
    return Path(uri)


_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:/")


def local_identity(uri: str) -> dict[str, object]:
    """What tells the content of a local file from another one, by the words for it, without reading all of it."""
    with _explained(uri), local_path(uri).open("rb") as stream:
        found = os.fstat(stream.fileno())
        digest = hashlib.blake2b(stream.read(ENDS_BYTES), digest_size=16)
        stream.seek(max(0, found.st_size - ENDS_BYTES))
        digest.update(stream.read(ENDS_BYTES))
    return {"modified": found.st_mtime_ns, "head and tail": digest.hexdigest()}


class Storage:
    """Reads and writes whole files and streams by URI.

    Errors: `MissingFileError` for a file that is not there, `StorageError` for a bucket that does not exist or that
    refuses us; both name the URI.
    """

    def __init__(self, s3: "S3Client | None" = None) -> None:
        self._s3 = None if s3 is None else _s3_files(s3)

    @property
    def s3(self) -> "S3Client":
        """The S3 client; raises StorageError when there is none."""
        return self._on_s3.client

    @property
    def _on_s3(self) -> "S3Files":
        if self._s3 is None:
            raise StorageError("an s3:// URI needs AWS access, and none is configured here")
        return self._s3

    def read(self, uri: str, *, most: int | None = None) -> bytes:
        """The file's bytes. Raises TooLargeError when there are more than `most`, without reading them all."""
        with self.open(uri) as stream:
            if most is None:
                return stream.read()
            data = bytearray()
            while len(data) <= most and (piece := stream.read(min(READ_BYTES, most + 1 - len(data)))):
                data += piece
        if len(data) > most:
            raise TooLargeError(f"{uri} has more than {most} bytes, more than such a file ever has: check it")
        return bytes(data)

    @contextmanager
    def open(self, uri: str) -> Iterator[BinaryIO]:
        """The file as a stream of bytes, not seekable."""
        if is_s3(uri):
            with closing(self._on_s3.open(uri)) as body:
                yield cast("BinaryIO", body)
        else:
            with _explained(uri):
                stream = local_path(uri).open("rb")
            with stream:
                yield stream

    def exists(self, uri: str) -> bool:
        """Whether a file (not a folder) is there."""
        try:
            self.size(uri)
        except MissingFileError:
            return False
        return True

    def size(self, uri: str) -> int:
        """The file's size in bytes."""
        return self.entry(uri).size

    def entry(self, uri: str) -> Entry:
        """The file as a listing has it."""
        if is_s3(uri):
            return self._on_s3.entry(uri)
        with _explained(uri):
            found = local_path(uri).stat()
            if not stat.S_ISREG(found.st_mode):
                raise FileNotFoundError(uri)
            return Entry(uri, found.st_size)

    def write(self, uri: str, data: bytes) -> None:
        """Writes the file whole: a reader sees the old content or the new, never a part."""
        if is_s3(uri):
            self._on_s3.write(uri, data)
            return
        with _explained(uri, writing=True), new_file(local_path(uri)) as new:
            new.write_bytes(data)
            os.replace(new, uri)

    def create(self, uri: str, data: bytes) -> bool:
        """Writes the file only if there is none (S3: `If-None-Match: *`); False when another one was first."""
        if is_s3(uri):
            return self._on_s3.create(uri, data)
        with _explained(uri, writing=True), new_file(local_path(uri)) as new:
            new.write_bytes(data)
            try:
                os.link(new, uri)  # atomic, and fails when the name is taken
            except FileExistsError:
                return False
        return True

    def upload(self, path: Path, uri: str) -> None:
        """Copies a local file to the URI, in pieces when it is large."""
        if is_s3(uri):
            self._on_s3.upload(path, uri)
            return
        with _explained(uri, writing=True), new_file(local_path(uri)) as new:
            shutil.copyfile(path, new)
            os.replace(new, uri)

    def list(self, uri: str) -> Iterator[Entry]:
        """Every file below a folder URI, by name, S3's folder markers left out; nothing if there is no such folder."""
        if is_s3(uri):
            yield from self._on_s3.list(uri)
            return
        with _explained(uri):
            found = sorted(_files_below(local_path(uri)))
        for path, size, time in found:
            yield Entry(str(path), size, modified=datetime.fromtimestamp(time, UTC))

    def region(self, bucket: str) -> str:
        """The Region of a bucket on S3; empty when S3 does not say."""
        return self._on_s3.region(bucket)

    def folders(self, uri: str, after: str = "") -> Iterator[str]:
        """The names of the folders right below a folder URI, sorted as `name/`, without those up to and including `after`.

        S3 lists only these folders: neither the files in them nor the names before `after` cost anything.
        """
        if is_s3(uri):
            yield from self._on_s3.folders(uri, after)
            return
        with _explained(uri):
            found = list(os.scandir(local_path(uri))) if local_path(uri).is_dir() else []
            names = sorted(f"{entry.name}/" for entry in found if entry.is_dir())
        yield from (name.rstrip("/") for name in names if not after or name > f"{after}/")

    def delete(self, uris: Iterable[str]) -> None:
        """Deletes these files. Missing ones are skipped."""
        on_s3: list[str] = []
        for uri in uris:
            if is_s3(uri):
                on_s3.append(uri)
            else:
                with _explained(uri):
                    local_path(uri).unlink(missing_ok=True)
        if on_s3:
            self._on_s3.delete(on_s3)


def _s3_files(client: "S3Client") -> "S3Files":
    from ddb_assets.aws.s3_files import S3Files  # where there is a client, boto3 is imported already

    return S3Files(client)


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """A name for a new file beside `path`, to be moved there. The folder is made; a file that was not moved is deleted."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".new-{uuid.uuid4().hex}")
    try:
        yield new
    finally:
        new.unlink(missing_ok=True)


def _files_below(folder: Path) -> Iterator[tuple[Path, int, float]]:
    """Every file below a folder with its size and the time of its last change; none when there is no such folder.

    Raises OSError for a folder that cannot be listed.
    """

    def refuse(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError | NotADirectoryError):
            raise error

    for place, _, names in os.walk(folder, onerror=refuse):
        for path in (Path(place, name) for name in names):
            try:
                found = path.stat()
            except FileNotFoundError:  # deleted since it was listed, or a broken link
                continue
            if stat.S_ISREG(found.st_mode):
                yield path, found.st_size, found.st_mtime


@contextmanager
def _explained(path: str, *, writing: bool = False) -> Iterator[None]:
    """Turns the ways in which a local file can be out of reach into one of our errors, naming it."""
    try:
        yield
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError, FileExistsError) as error:
        if not writing:
            raise MissingFileError(f"there is no file {path}") from error
        raise StorageError(
            f"{path} cannot be written: a file is in the place of a folder, or a folder in its place"
        ) from error
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}: check the permissions and the space left") from error
    except ValueError as error:
        raise StorageError(f"{path!r} is not the path of a file: {error}") from error
