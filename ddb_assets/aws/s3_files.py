"""Files on S3, for `storage.py`. The errors of every call are translated into ours, which name the URI."""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from boto3.exceptions import S3UploadFailedError
from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

from ddb_assets.aws.errors import ODD_ANSWER, code_and_message, http_status, meaning, only_aws_answers, remedy
from ddb_assets.aws.storage import BrokenOffError, Entry, FileTakenError, MissingFileError, StorageError, split_s3

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

READ_BYTES = 8 << 20
DELETE_BATCH = 1000  # DeleteObjects takes at most 1,000 keys a call
RESUMES = 5  # how often a download that breaks off is resumed
_OTHER_REGION = {"PermanentRedirect", "301", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"}
_REQUESTER_PAYS = re.compile(r"requester[ -]pays?", re.IGNORECASE)


class S3Files:
    """The calls that files on S3 take; errors as `Storage` says."""

    def __init__(self, client: "S3Client") -> None:
        self.client = client
        self._existing: set[str] = set()  # buckets
        only_aws_answers(client.meta.events)

    def open(self, uri: str) -> "S3Stream":
        """The object's bytes from front to back."""
        return S3Stream(self.client, uri)

    def entry(self, uri: str) -> Entry:
        """The object as a listing has it."""
        bucket, key = split_s3(uri)
        with _explained(uri):
            try:
                found = self.client.head_object(Bucket=bucket, Key=key)
                kms = found.get("ServerSideEncryption", "").startswith("aws:kms")
                return Entry(uri, found["ContentLength"], found.get("ETag"), kms=kms)
            except ClientError as error:
                if bucket not in self._existing or code_and_message(error)[0] != "404":
                    self._ask_why(bucket, key)
                raise

    def _ask_why(self, bucket: str, key: str) -> None:
        """Raises what S3 says to GET, because an answer to HEAD has no body and so gives no reason."""
        try:
            self.client.get_object(Bucket=bucket, Key=key, Range="bytes=0-0")["Body"].close()
        except ClientError as error:
            if code_and_message(error)[0] == "NoSuchKey":
                self._existing.add(bucket)
            raise

    def write(self, uri: str, data: bytes) -> None:
        """Puts the object; S3 shows it whole or not at all."""
        bucket, key = split_s3(uri)
        with _explained(uri):
            self.client.put_object(Bucket=bucket, Key=key, Body=data)

    def create(self, uri: str, data: bytes) -> bool:
        """Puts the object if there is none; False when there is."""
        bucket, key = split_s3(uri)
        try:
            with _explained(uri):
                self.client.put_object(Bucket=bucket, Key=key, Body=data, IfNoneMatch="*")
        except FileTakenError:
            return False
        return True

    def upload(self, path: Path, uri: str) -> None:
        """Copies a local file to the object, in pieces when it is large."""
        bucket, key = split_s3(uri)
        with _explained(uri):
            self.client.upload_file(str(path), bucket, key)

    def list(self, uri: str) -> Iterator[Entry]:
        """Every object below a prefix, by name, folder markers left out."""
        bucket, prefix = _folder(uri)
        with _explained(uri):
            for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
                for found in page.get("Contents", []):
                    if not found["Key"].endswith("/"):
                        uri = f"s3://{bucket}/{found['Key']}"
                        yield Entry(uri, found["Size"], found.get("ETag"), found.get("LastModified"))

    def region(self, bucket: str) -> str:
        """The Region of a bucket; empty when S3 does not say."""
        try:
            return self.client.head_bucket(Bucket=bucket).get("BucketRegion", "")
        except (ClientError, BotoCoreError):
            return ""

    def folders(self, uri: str, after: str) -> Iterator[str]:
        """The names right below a prefix that have objects below them, those after `after`."""
        bucket, prefix = _folder(uri)
        start = f"{prefix}{after}0" if after else ""  # "0" follows "/": past all that is in `after`
        pages = self.client.get_paginator("list_objects_v2").paginate(
            Bucket=bucket, Prefix=prefix, Delimiter="/", StartAfter=start
        )
        with _explained(uri):
            for page in pages:
                for found in page.get("CommonPrefixes", []):
                    yield found["Prefix"].removeprefix(prefix).rstrip("/")

    def delete(self, uris: Iterable[str]) -> None:
        """Deletes these objects, a thousand a call."""
        buckets: dict[str, list[str]] = {}
        for uri in uris:
            bucket, key = split_s3(uri)
            buckets.setdefault(bucket, []).append(key)
        for bucket, keys in buckets.items():
            for start in range(0, len(keys), DELETE_BATCH):
                self._delete(bucket, keys[start : start + DELETE_BATCH])

    def _delete(self, bucket: str, keys: Sequence[str]) -> None:
        with _explained(f"s3://{bucket}"):
            done = self.client.delete_objects(
                Bucket=bucket, Delete={"Objects": [{"Key": key} for key in keys], "Quiet": True}
            )
        if failed := done.get("Errors"):
            first = failed[0]
            raise StorageError(
                f"{len(failed)} objects of s3://{bucket} could not be deleted, "
                f"first {first.get('Key')}: {first.get('Message')}"
            )


class S3Stream:
    """An object's bytes from front to back; a connection that breaks off is opened again where it stopped.

    Without an ETag in the answer nothing tells the object from a later one, so then it is not.
    """

    def __init__(self, s3: "S3Client", uri: str) -> None:
        self._s3 = s3
        self._uri = uri
        self._place = 0
        self._resumes = 0
        self._bucket, self._key = split_s3(uri)
        with _explained(uri):
            answer = s3.get_object(Bucket=self._bucket, Key=self._key)
        self._etag: str | None = answer.get("ETag")
        self._body = answer["Body"]

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
                if self._resumes > RESUMES or self._etag is None:
                    raise
                self._reopen(self._etag)
            else:
                self._place += len(data)
                return data

    def _reopen(self, etag: str) -> None:
        self._body.close()
        with _explained(self._uri):
            self._body = self._s3.get_object(
                Bucket=self._bucket, Key=self._key, Range=f"bytes={self._place}-", IfMatch=etag
            )["Body"]

    def close(self) -> None:
        self._body.close()


def _folder(uri: str) -> tuple[str, str]:
    bucket, prefix = split_s3(uri)
    return bucket, prefix.rstrip("/") + "/" if prefix else ""


@contextmanager
def _explained(uri: str) -> Iterator[None]:
    """Turns the many ways in which an object can be out of reach into one of our errors, naming the URI."""
    try:
        yield
    except ClientError as error:
        raise _translated(error, uri) from error
    except S3UploadFailedError as error:  # boto3 wraps the client's error, and says nothing of it but its text
        if isinstance(error.__context__, ClientError):
            raise _translated(error.__context__, uri) from error
        raise StorageError(f"{uri}: {error}") from error
    except ParamValidationError as error:
        raise StorageError(f"{uri!r} cannot be a file on S3: {' '.join(str(error).split())}") from error
    except (BotoCoreError, HTTPError) as error:
        cause = getattr(error, "kwargs", {}).get("error")
        if isinstance(cause, RecursionError):  # where botocore raises it depends on the depth of the stack
            raise BrokenOffError(f"{uri}: the answer {ODD_ANSWER} ({cause!r})") from None
        raise BrokenOffError(f"S3 cannot be reached for {uri}: {error}") from error
    except (ResponseParserError, LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
        # what botocore raises for an answer that is not from S3; the last for redirections in a circle
        raise BrokenOffError(f"{uri}: the answer {ODD_ANSWER} ({error!r})") from None
    except OSError as error:
        raise StorageError(f"{uri}: {error.strerror}: check the permissions and the space left") from error


def _translated(error: ClientError, uri: str) -> StorageError:
    code, message = code_and_message(error)
    meant = meaning(code, http_status(error))
    bucket = split_s3(uri)[0]
    said = f"{code}: {message}"
    if advice := remedy(code, message):
        return StorageError(f"AWS refuses access to {uri}: {advice} ({said})")
    if code in {"PreconditionFailed", "ConditionalRequestConflict", "412", "409"}:
        return FileTakenError(f"{uri} was changed by another writer: try again")
    if code in {"NoSuchKey", "404", "NotFound"}:
        return MissingFileError(f"there is no file {uri}")
    if code == "NoSuchBucket":
        return StorageError(f"there is no bucket {bucket!r} (from {uri}): check the name and the account")
    if code in _OTHER_REGION:
        home = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("x-amz-bucket-region")
        region = f" to {home}" if home else ""
        return StorageError(f"{bucket!r} (from {uri}) is in another Region: set AWS_DEFAULT_REGION{region} ({said})")
    if meant == "denied" or code in {"403", "AllAccessDisabled"}:
        return StorageError(f"AWS refuses access to {uri}: {_denial(message)} ({said})")
    if code == "InvalidObjectState":
        return StorageError(f"{uri} is archived (S3 Glacier): restore it first ({said})")
    if meant in ("throttled", "failing"):
        return BrokenOffError(f"S3 is busy, {uri} is out of reach: try again later ({said})")
    return StorageError(f"{uri}: {error}")


def _denial(message: str) -> str:
    if _REQUESTER_PAYS.search(message):
        return "the requester has to pay for reading this bucket, which is not supported: ask its owner for a copy"
    grant = "grant s3:GetObject, s3:PutObject and s3:ListBucket on it"
    if message.strip(" .").lower() in {"", "access denied", "forbidden"}:
        return f"{grant}; a bucket in which requesters pay looks the same, and cannot be read"
    return grant
