"""Folders that the project fills. A folder with other files is refused, and only the project's own files are deleted.

A folder is written beside what is there, under names that carry a run's id, and then switched by one file that lists the
new content. Then the files of the previous content are deleted. A file is ours when such a list names it, or when it carries
the id of a run whose claim is in the folder: a run that was killed leaves its claim, and the next run that ends cleans up
after it. Everything that replaces or deletes the content of a folder goes through here.
"""

import json
import secrets
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

from ddb_assets.aws.storage import PARTIAL, is_s3, join, local_path, split_s3
from ddb_assets.errors import DdbAssetsError

if TYPE_CHECKING:
    from ddb_assets.aws.storage import Storage

CLAIM = "_unfinished-"
RUN_DIGITS = 12


class FolderError(DdbAssetsError):
    """A folder cannot be written to without touching what belongs to others."""


def normalized(folder: str, sources: Iterable[str] = ()) -> str:
    """The folder's absolute path or s3:// URI without a slash at its end.

    Raises FolderError for an empty name, a root, a bucket as a whole, and a folder that is, or holds, one of `sources`.
    """
    if not folder.strip():
        raise FolderError(
            "the output folder has an empty name (is a variable unset?): name a folder for the output alone"
        )
    if is_s3(folder):
        bucket, key = split_s3(folder)
        if not key.strip("/"):
            raise FolderError(
                f"{folder} is a whole bucket: name a prefix in it for the output alone, such as s3://{bucket}/out"
            )
        folder = f"s3://{bucket}/{key.strip('/')}"
    else:
        path = local_path(folder).resolve()
        if path == path.parent:
            raise FolderError(f"{folder} is the root of the file system: name a folder for the output alone")
        if path.exists() and not path.is_dir():
            raise FolderError(f"{folder} is a file: name a folder for the output alone")
        folder = str(path)
    for source in sources:
        place = source.rstrip("/") if is_s3(source) else str(local_path(source).resolve())
        if place == folder or place.startswith(f"{folder}/"):
            raise FolderError(
                f"{folder} holds {source}, which is read: name another folder for the output, which would replace it"
            )
    return folder


def refuse_others(folder: str, present: Iterable[str], is_ours: Callable[[str], object]) -> None:
    """Raises FolderError when one of the files in a folder is not ours; `present` are the URIs of all of them."""
    if others := [uri for uri in present if not is_ours(uri) and not PARTIAL.search(uri)]:
        raise FolderError(
            f"{folder} holds {len(others)} files that ddb_assets has not written there, such as {others[0]}: name an empty or "
            "new folder, or move them away"
        )


def own_files(
    storage: "Storage", folder: str, listed: Iterable[str], permanent: Callable[[str], bool] = lambda _: False
) -> list[str]:
    """The URIs of all files of a folder. Raises FolderError for a file that neither a list names nor a claimed run wrote."""
    present = [entry.uri for entry in storage.list(folder)]
    runs = _known_runs(storage, folder, present)
    known = set(listed)
    runs |= {_run_of(uri) for uri in known} - {""}  # a task that was given up may still write a file of that run
    refuse_others(
        folder,
        present,
        lambda uri: uri in known or _run_of(uri) in runs or is_claim(folder, uri) in runs or permanent(uri),
    )
    return present


def withdraw(storage: "Storage", folder: str, run: str) -> None:
    """Deletes what a run has written that ends without a new content. `run` had claimed the folder.

    The claim stays: somebody may still write for the run, and the next run that ends deletes both. It is written again if
    another run has deleted it.
    """
    claim = _claim_of(folder, run)
    storage.create(claim, json.dumps({"former": []}).encode())
    storage.delete([entry.uri for entry in storage.list(folder) if _run_of(entry.uri) == run and entry.uri != claim])


def _claim_of(folder: str, run: str) -> str:
    return join(folder, f"{CLAIM}{run}.json")


def is_claim(folder: str, uri: str) -> str:
    """The id of the run whose claim on the folder this file is; empty for any other file."""
    name = uri.removeprefix(f"{folder}/")
    run = name.removeprefix(CLAIM).removesuffix(".json")
    return run if name == f"{CLAIM}{run}.json" and _is_run(run) else ""


def run_file(folder: str, below: str, name: str, run: str) -> str:
    """The URI of a file of a run: `<folder>/<below>/<name>` with the run's id before the name's ending."""
    stem, dot, ending = name.partition(".")
    return join(folder, below, f"{stem}-{run}{dot}{ending}")


class OwnedFolder:
    """One folder and the run that fills it. `listed` are the URIs that its present list names, and that of the list.

    Raises FolderError, before anything is touched, for a file that neither the list names nor a claimed run has written.
    `permanent` says which of our files are never deleted, because others refer to them. With `run`, the folder is that of a
    run that has claimed it before, perhaps in another process; FolderError when its claim is gone.
    """

    def __init__(
        self,
        storage: "Storage",
        folder: str,
        listed: Iterable[str],
        *,
        permanent: Callable[[str], bool] = lambda _: False,
        run: str = "",
    ) -> None:
        self.storage, self.uri = storage, folder
        self.run = run or secrets.token_hex(RUN_DIGITS // 2)
        self._claim = _claim_of(folder, self.run)
        if run:
            self.check()  # without its claim, the files of this run would look like those of others
        present = own_files(storage, folder, listed, permanent)
        self._former = {uri for uri in present if not permanent(uri)}
        self._written = [uri for uri in present if _run_of(uri) == run] if run else []
        self._switched = False
        if run:
            return
        # also names the previous runs: after the switch, only this claim shows that their files are ours
        former = sorted({_run_of(uri) for uri in self._former} - {""})
        storage.write(self._claim, json.dumps({"former": former}).encode())

    def named(self, name: str) -> str:
        """The URI of a file of the folder."""
        return join(self.uri, name)

    def new(self, folder: str, name: str) -> str:
        """A new URI for a file of this run: `<folder>/<name>` with the run's id before its ending."""
        uri = run_file(self.uri, folder, name, self.run)
        self._written.append(uri)
        return uri

    def wrote(self, uri: str) -> None:
        """Notes a file that this run wrote under another name."""
        self._written.append(uri)

    def check(self) -> None:
        """Raises FolderError when another run has replaced the content and deleted this run's files."""
        if not self.storage.exists(self._claim):
            raise FolderError(f"another run has written to {self.uri} at the same time: run this again")

    def switch(self, name: str, data: bytes) -> None:
        """Writes the list that makes the new content the folder's own."""
        self._switched = True  # before the write: a write that seems to fail may have succeeded
        self.storage.write(self.named(name), data)

    def finish(self, listed: Iterable[str]) -> None:
        """Deletes the previous content and files that this run did not need; `listed` are the files of the new list."""
        kept = set(listed)
        gone = [uri for uri in (*self._former, *self._written, self._claim) if uri not in kept]
        self.storage.delete([uri for uri in gone if not is_claim(self.uri, uri)])
        self.storage.delete(
            [uri for uri in gone if is_claim(self.uri, uri)]
        )  # last: they prove that the others are ours

    def give_up(self) -> None:
        """Deletes what this run wrote, so that the folder is as it was. Once the list may name these files, it does nothing.

        Then the claim stays, and the next run that ends cleans up.
        """
        if not self._switched:
            self.storage.delete([*self._written, self._claim])


def _known_runs(storage: "Storage", folder: str, present: Iterable[str]) -> set[str]:
    """The runs whose claims are present, and those that they name."""
    claims = {run: uri for uri in present if (run := is_claim(folder, uri))}
    named: set[str] = set()
    for uri in claims.values():
        with suppress(ValueError, AttributeError, TypeError):
            named.update(run for run in json.loads(storage.read(uri)).get("former", []) if _is_run(run))
    return {*claims, *named}


def _run_of(uri: str) -> str:
    """The run's id in a file's name, as `new` puts it there; empty when there is none."""
    run = uri.rpartition("/")[2].partition(".")[0].rpartition("-")[2]
    return run if _is_run(run) else ""


def _is_run(text: str) -> bool:
    return len(text) == RUN_DIGITS and set(text) <= set("0123456789abcdef")
