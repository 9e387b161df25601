"""Keeps the sandbox's files in a folder between two runs, because the server forgets everything.

So exports that are in the embedded warehouse are still there in the next run. Only for the sandbox.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from ddb_assets.aws.owned_folder import FolderError, normalized, refuse_others
from ddb_assets.aws.storage import Storage, StorageError, join, split_s3

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

LIST = ".ddb_assets-lake.json"
"""The file that lists what was kept in a folder, and marks the folder as ours."""


def check(folder: Path) -> None:
    """Raises FolderError for a folder that holds files that were not kept there. Changes nothing."""
    _kept(normalized(str(folder)))


def restore(s3: "S3Client", folder: Path, uri: str) -> None:
    """Copies every file of the folder back below the URI; creates the bucket if it is missing. Raises FolderError."""
    kept = _kept(normalized(str(folder)))
    s3.create_bucket(Bucket=split_s3(uri)[0])
    storage = Storage(s3)
    for name in kept:
        storage.upload(folder / name, join(uri, name))


def keep(storage: Storage, uri: str, folder: Path) -> None:
    """Replaces the files in the folder by those below the URI.

    The list names each file before it is written, so that an interruption leaves only listed files. Files that are
    no longer below the URI are deleted last. Raises FolderError for a folder that is not ours, StorageError for a key that
    is not a valid file name here.
    """
    root, local = Path(normalized(str(folder))), Storage()
    previous = _kept(str(root))
    names = {entry.uri.removeprefix(uri).lstrip("/"): entry.uri for entry in storage.list(uri)}
    for name, source in names.items():
        if not (path := (root / name).resolve()).is_relative_to(root) or path.name in {"", LIST}:
            raise StorageError(f"{source} cannot be kept in {folder}: its key points outside the folder")
    local.write(str(root / LIST), orjson.dumps({"files": sorted({*previous, *names})}))
    for name, source in names.items():
        local.write(str(root / name), storage.read(source))
    local.write(str(root / LIST), orjson.dumps({"files": sorted(names)}))
    local.delete([str(root / name) for name in set(previous) - names.keys()])


def _kept(folder: str) -> tuple[str, ...]:
    """The names of the files that were kept in a folder and are still there."""
    storage, root = Storage(), Path(folder)
    try:
        listed = orjson.loads(storage.read(str(root / LIST)))["files"] if (root / LIST).is_file() else []
        names = {str(name) for name in listed}
    except (orjson.JSONDecodeError, KeyError, TypeError):
        raise FolderError(f"{root / LIST} is not a list of ours: name a new folder") from None
    present = [entry.uri for entry in storage.list(folder)]
    refuse_others(folder, present, {str(root / name) for name in (*names, LIST)}.__contains__)
    return tuple(sorted(name for uri in present if (name := str(Path(uri).relative_to(root))) in names))
