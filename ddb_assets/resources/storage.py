"""Files by URI, on S3 or in a local folder, behind one small interface.

A URI is `s3://bucket/key` or a local path. Everything that reads exports or writes Parquet, reports and schema
documents goes through a `Storage`; nothing here knows what the bytes mean. boto3 is only reached through the client
handed in, so a `Storage()` without a client serves local folders.
"""

import os
import shutil
import uuid
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast
from urllib.parse import urlparse

from boto3.exceptions import S3UploadFailedError
from botocore.exceptions import BotoCoreError, ClientError

from ddb_assets.errors import DdbAssetsError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

READ_BYTES = 8 << 20
DELETE_BATCH = 1000  # DeleteObjects takes at most 1,000 keys a call
RESUMES = 5  # how often a download that breaks off is taken up again


class StorageError(DdbAssetsError):
    """A file or bucket cannot be reached, or the URI is not one."""


class MissingFileError(StorageError):
    """There is no file at this URI."""


class FileTakenError(StorageError):
    """The file changed, or another one was first, so a conditional request was refused."""


class BrokenOffError(StorageError):
    """There is no connection to S3, or it broke off."""


@dataclass(frozen=True)
class Entry:
    """One file of a listing: its URI and its size in bytes."""

    uri: str
    size: int


def join(base: str, *parts: str) -> str:
    """`join("s3://b/p/", "x")` -> `s3://b/p/x`, the same for local paths; empty parts and doubled slashes vanish."""
    return "/".join([base.rstrip("/"), *(p.strip("/") for p in parts if p.strip("/"))])


def split_s3(uri: str) -> tuple[str, str]:
    """`s3://bucket/key` -> (bucket, key). Raises StorageError when it is no such URI."""
    parsed = urlparse(uri, allow_fragments=False)
    if parsed.scheme != "s3" or not parsed.netloc:
        raise StorageError(f"{uri!r} is not an S3 URI: write s3://bucket/key")
    return parsed.netloc, uri.removeprefix(f"s3://{parsed.netloc}").removeprefix("/")


def is_s3(uri: str) -> bool:
    """True for `s3://…`; everything else is a local path."""
    return uri.startswith("s3://")


class Storage:
    """Reads and writes whole files and streams by URI.

    Errors: `MissingFileError` for a file that is not there, `StorageError` for a bucket that does not exist or that
    refuses us; both name the URI.
    """

    def __init__(self, s3: "S3Client | None" = None) -> None:
        self._s3 = s3

    @property
    def s3(self) -> "S3Client":
        """The S3 client; raises StorageError when there is none."""
        if self._s3 is None:
            raise StorageError("an s3:// URI needs AWS access, and none is configured here")
        return self._s3

    def read(self, uri: str) -> bytes:
        """The file's bytes."""
        with self.open(uri) as stream:
            return stream.read()

    @contextmanager
    def open(self, uri: str) -> Iterator[BinaryIO]:
        """The file as a stream of bytes, not seekable."""
        if is_s3(uri):
            with closing(_S3Stream(self.s3, uri)) as body:
                yield cast("BinaryIO", body)
        else:
            with _explained(uri):
                stream = Path(uri).open("rb")  # noqa: SIM115 - closed below; only opening it is explained
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
        with _explained(uri):
            if is_s3(uri):
                bucket, key = split_s3(uri)
                return self.s3.head_object(Bucket=bucket, Key=key)["ContentLength"]
            if not Path(uri).is_file():
                raise FileNotFoundError(uri)
            return Path(uri).stat().st_size

    def write(self, uri: str, data: bytes) -> None:
        """Writes the file whole: a reader sees the old content or the new, never a part."""
        with _explained(uri):
            if is_s3(uri):
                bucket, key = split_s3(uri)
                self.s3.put_object(Bucket=bucket, Key=key, Body=data)
            else:
                with _new_file(Path(uri)) as new:
                    new.write_bytes(data)
                    os.replace(new, uri)

    def create(self, uri: str, data: bytes) -> bool:
        """Writes the file only if there is none (S3: `If-None-Match: *`); False when another one was first."""
        if is_s3(uri):
            bucket, key = split_s3(uri)
            try:
                with _explained(uri):
                    self.s3.put_object(Bucket=bucket, Key=key, Body=data, IfNoneMatch="*")
            except FileTakenError:
                return False
            return True
        with _explained(uri), _new_file(Path(uri)) as new:
            new.write_bytes(data)
            try:
                os.link(new, uri)  # atomic, and fails when the name is taken
            except FileExistsError:
                return False
        return True

    def upload(self, path: Path, uri: str) -> None:
        """Copies a local file to the URI, in pieces when it is large."""
        with _explained(uri):
            if is_s3(uri):
                bucket, key = split_s3(uri)
                self.s3.upload_file(str(path), bucket, key)
            else:
                with _new_file(Path(uri)) as new:
                    shutil.copyfile(path, new)
                    os.replace(new, uri)

    def list(self, uri: str) -> Iterator[Entry]:
        """Every file below a folder URI, by name, S3's folder markers left out; nothing if there is no such folder."""
        if is_s3(uri):
            bucket, prefix = split_s3(uri)
            prefix = prefix.rstrip("/") + "/" if prefix else ""
            with _explained(uri):
                for page in self.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
                    for found in page.get("Contents", []):
                        if not found["Key"].endswith("/"):
                            yield Entry(f"s3://{bucket}/{found['Key']}", found["Size"])
        else:
            for path in sorted(p for p in Path(uri).rglob("*") if p.is_file()):
                yield Entry(str(path), path.stat().st_size)

    def folders(self, uri: str, after: str = "") -> Iterator[str]:
        """The names of the folders right below a folder URI, sorted as `name/`, those up to and with `after` left out.

        On S3 the cost is that of the folders listed, not of the files in them, nor of what lies before `after`.
        """
        if is_s3(uri):
            bucket, prefix = split_s3(uri)
            prefix = prefix.rstrip("/") + "/" if prefix else ""
            start = f"{prefix}{after}0" if after else ""  # "0" follows "/": past all that is in `after`
            pages = self.s3.get_paginator("list_objects_v2").paginate(
                Bucket=bucket, Prefix=prefix, Delimiter="/", StartAfter=start
            )
            with _explained(uri):
                for page in pages:
                    for found in page.get("CommonPrefixes", []):
                        yield found["Prefix"].removeprefix(prefix).rstrip("/")
        elif Path(uri).is_dir():
            names = sorted(f"{path.name}/" for path in Path(uri).iterdir() if path.is_dir())
            yield from (name.rstrip("/") for name in names if not after or name > f"{after}/")

    def delete(self, uris: Iterable[str]) -> None:
        """Deletes these files; those that are not there do not matter."""
        buckets: dict[str, list[str]] = {}
        for uri in uris:
            if is_s3(uri):
                bucket, key = split_s3(uri)
                buckets.setdefault(bucket, []).append(key)
            else:
                with _explained(uri):
                    Path(uri).unlink(missing_ok=True)
        for bucket, keys in buckets.items():
            for start in range(0, len(keys), DELETE_BATCH):
                batch = keys[start : start + DELETE_BATCH]
                with _explained(f"s3://{bucket}"):
                    done = self.s3.delete_objects(
                        Bucket=bucket, Delete={"Objects": [{"Key": key} for key in batch], "Quiet": True}
                    )
                if failed := done.get("Errors"):
                    first = failed[0]
                    raise StorageError(
                        f"{len(failed)} objects of s3://{bucket} could not be deleted, "
                        f"first {first.get('Key')}: {first.get('Message')}"
                    )


class _S3Stream:
    """An object's bytes from front to back; a connection that breaks off is opened again where it stopped."""

    def __init__(self, s3: "S3Client", uri: str) -> None:
        self._s3 = s3
        self._uri = uri
        self._place = 0
        self._resumes = 0
        self._bucket, self._key = split_s3(uri)
        with _explained(uri):
            answer = s3.get_object(Bucket=self._bucket, Key=self._key)
        self._etag, self._body = answer["ETag"], answer["Body"]

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes, all that are left when it is negative; `b""` at the end."""
        if size < 0:
            return b"".join(iter(lambda: self.read(READ_BYTES), b""))
        while True:
            try:
                with _explained(self._uri):
                    data: bytes = self._body.read(size)
            except BrokenOffError:
                self._resumes += 1
                if self._resumes > RESUMES:
                    raise
                self._reopen()
            else:
                self._place += len(data)
                return data

    def _reopen(self) -> None:
        self._body.close()
        with _explained(self._uri):
            self._body = self._s3.get_object(
                Bucket=self._bucket, Key=self._key, Range=f"bytes={self._place}-", IfMatch=self._etag
            )["Body"]

    def close(self) -> None:
        self._body.close()


@contextmanager
def _new_file(path: Path) -> Iterator[Path]:
    """A name beside `path`, in a folder that exists, for a file to be moved into its place; gone afterwards."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".new-{uuid.uuid4().hex}")
    try:
        yield new
    finally:
        new.unlink(missing_ok=True)


@contextmanager
def _explained(uri: str) -> Iterator[None]:
    """Turns the many ways in which a file can be out of reach into one of our errors, naming the URI."""
    try:
        yield
    except ClientError as error:
        raise _translated(error, uri) from error
    except S3UploadFailedError as error:  # boto3 wraps the client's error, and says nothing of it but its text
        if isinstance(error.__context__, ClientError):
            raise _translated(error.__context__, uri) from error
        raise StorageError(f"{uri}: {error}") from error
    except BotoCoreError as error:
        raise BrokenOffError(f"S3 cannot be reached for {uri}: {error}") from error
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise MissingFileError(f"there is no file {uri}") from error
    except OSError as error:
        raise StorageError(f"{uri}: {error.strerror}: check the permissions and the space left") from error


def _translated(error: ClientError, uri: str) -> StorageError:
    code = str(error.response.get("Error", {}).get("Code", ""))
    if code in {"PreconditionFailed", "ConditionalRequestConflict", "412", "409"}:
        return FileTakenError(f"{uri} was changed by another writer: try again")
    if code in {"NoSuchKey", "404", "NotFound"}:
        return MissingFileError(f"there is no file {uri}")
    if code == "NoSuchBucket":
        return StorageError(f"there is no bucket {split_s3(uri)[0]!r} (from {uri}): check the name and the account")
    if code in {"AccessDenied", "403", "AllAccessDisabled"}:
        return StorageError(f"AWS refuses access to {uri}: grant s3:GetObject, s3:PutObject and s3:ListBucket on it")
    return StorageError(f"{uri}: {error}")
