"""Keeps the sandbox's files between two runs: the server forgets everything, a folder does not.

So exports that were applied to the embedded warehouse are still there the next time. Only for the sandbox.
"""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from ddb_assets.resources.storage import Storage, StorageError, join, split_s3

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def restore(s3: "S3Client", folder: Path, uri: str) -> None:
    """Puts every file of the folder below the URI again, in a bucket that is made if need be."""
    s3.create_bucket(Bucket=split_s3(uri)[0])
    storage = Storage(s3)
    for path in folder.rglob("*"):
        if path.is_file():
            storage.upload(path, join(uri, path.relative_to(folder).as_posix()))


def keep(storage: Storage, uri: str, folder: Path) -> None:
    """Replaces the folder by what lies below the URI. Raises StorageError for a key that is no file's name here."""
    new = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    for entry in storage.list(uri):
        path = Path(new, entry.uri.removeprefix(uri).lstrip("/")).resolve()
        if not path.is_relative_to(new.resolve()):
            raise StorageError(f"{entry.uri} cannot be kept in {folder}: its key leads out of it")
        path.parent.mkdir(parents=True, exist_ok=True)
        with storage.open(entry.uri) as source, path.open("wb") as copy:
            shutil.copyfileobj(source, copy)
    shutil.rmtree(folder, ignore_errors=True)
    new.rename(folder)
