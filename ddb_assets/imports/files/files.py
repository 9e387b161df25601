"""Which files a SOURCE means: one file, all files of a folder, or those of a glob, in which `*` also matches slashes.

Names that begin with `_` or `.` are what jobs and editors leave beside their files (`_SUCCESS`, `_temporary/`,
`.ipynb_checkpoints/`): in a folder or glob they are left out, at any depth. What is named is read.
"""

import fnmatch
import os
import re
from collections.abc import Iterator
from pathlib import Path

from ddb_assets.aws.storage import Entry, Storage, StorageError, is_s3, local_path, split_s3

_MAGIC = re.compile(r"[*?[]")


def find_files(storage: Storage, uri: str) -> list[Entry]:
    """The files, in the order of their names. Raises StorageError for a link to a file that is not there."""
    place = uri if is_s3(uri) else str(local_path(uri))  # so that `./d//x` is `d/x`, as the names in listings are
    is_folder = uri.endswith("/") or (is_s3(uri) and not split_s3(uri)[1])
    if not is_folder and storage.exists(place):  # also one with `[` in its name
        return [storage.entry(place)]
    if magic := _MAGIC.search(place):
        start = place[: magic.start()].rfind("/") + 1
        named = any(map(_is_hidden, place[start:].split("/")))
        matching = (file for file in _below(storage, place[:start]) if fnmatch.fnmatchcase(file.uri, place))
        if found := [file for file in matching if named or not _has_hidden(file.uri[start:])]:
            return found
    start = 0 if place == "." else len(place.rstrip("/")) + 1
    return [file for file in _below(storage, place) if not _has_hidden(file.uri[start:])]


def _has_hidden(path: str) -> bool:
    return any(map(_is_hidden, path.split("/")))


def _is_hidden(name: str) -> bool:
    return name.startswith(("_", ".")) and "=" not in name  # `_day=1` is a column


def _below(storage: Storage, folder: str) -> Iterator[Entry]:
    if is_s3(folder):
        return storage.list(folder)
    return iter(sorted(_through_links(storage, folder or ".", ()), key=lambda file: Path(file.uri)))


def _through_links(storage: Storage, folder: str, above: tuple[Path, ...]) -> Iterator[Entry]:
    """The files below a local folder and below the folders that links in it lead to, but for those above it."""
    yield from storage.list(folder)
    above = (*above, Path(folder).resolve())
    for place, folders, names in os.walk(folder):
        for link in (path for path in (Path(place, name) for name in [*folders, *names]) if path.is_symlink()):
            if not link.exists():
                raise StorageError(f"{link} is a link to something that is not there: mend or delete it")
            target = link.resolve()
            if link.is_dir() and not any(path.is_relative_to(target) for path in above):
                yield from _through_links(storage, str(link), above)
