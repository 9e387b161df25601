"""The output folder of a flattened export: its file names, its content, and how the content is replaced.

Parts and quarantined lines are written first, then the report that lists them. So a folder without a report is incomplete,
and a folder with a report has everything that the report lists. The schema and the profile are written last.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING

from pydantic import ValidationError

from ddb_assets.aws.owned_folder import FolderError, OwnedFolder, is_claim, own_files
from ddb_assets.aws.storage import MissingFileError, StorageError
from ddb_assets.contract.model import first_problem
from ddb_assets.contract.report import FORMAT, Report
from ddb_assets.errors import DdbAssetsError
from ddb_assets.flatten.schema import Schema

if TYPE_CHECKING:
    from ddb_assets.aws.storage import Storage

REPORT, SCHEMA, PROFILE, FILES = "report.json", "schema.json", "profile.json", "files.jsonl"
QUARANTINE, SPILL, UNREAD = "_quarantine", "_spill", "_unread"


class FlattenError(DdbAssetsError):
    """An export cannot be flattened, or the counts of its result do not agree."""


def read_report(storage: "Storage", out: str) -> Report:
    """The report of a flattened export. Raises MissingFileError when there is none, FlattenError when it cannot be read,
    FormatVersionError when a newer ddb_assets wrote it.
    """
    uri = f"{out}/{REPORT}"
    try:
        report = FORMAT.read(Report, storage.read(uri), uri)
    except ValidationError as error:
        raise FlattenError(f"{uri}: {first_problem(error)}; flatten the export again") from None
    if report.identity:
        report.identity.check_format(uri)
    return report


def claimed(storage: "Storage", out: str, run: str = "") -> OwnedFolder:
    """The output folder for a new run, or for the one that has claimed it before. Raises FolderError as `OwnedFolder` does."""
    return OwnedFolder(storage, out, _former(storage, out), permanent=partial(_is_spilled, out), run=run)


@contextmanager
def attempt(storage: "Storage", out: str) -> Iterator[OwnedFolder]:
    """The output folder for one attempt. If the attempt fails before its report, the files that it wrote are deleted.

    Raises FolderError when the folder has files that no run of this package wrote.
    """
    folder = claimed(storage, out)
    try:
        yield folder
    except (Exception, KeyboardInterrupt):
        with suppress(StorageError):
            folder.give_up()
        raise


def finish(
    folder: OwnedFolder, report: Report, schema: Schema, profile: bytes, spilled: Iterable[str], files: bytes = b""
) -> None:
    """Writes the report, which makes the new content valid, then schema and profile, and deletes the previous content.

    `files` is the list of what a job made of each data file; empty when no job made the content.
    """
    folder.switch(REPORT, report.model_dump_json(indent=1).encode())
    folder.storage.write(folder.named(SCHEMA), schema.model_dump_json(indent=1).encode())
    folder.storage.write(folder.named(PROFILE), profile)
    if files:
        folder.storage.write(folder.named(FILES), files)
    folder.finish({*_listed(folder.uri, report), *spilled} - (set() if files else {folder.named(FILES)}))


def discard(storage: "Storage", out: str) -> None:
    """Deletes a flattened export, but for the texts that it has spilled: rows may name them.

    The report goes before what it lists, so nobody reads a part of it. Whoever is killed in between leaves a claim, by which
    the rest is known as ours. Raises FolderError for other files, before anything is deleted.
    """
    folder = claimed(storage, out)
    storage.delete([folder.named(name) for name in (SCHEMA, PROFILE)])
    storage.delete([folder.named(REPORT)])
    folder.finish(())


def content(storage: "Storage", out: str) -> list[str]:
    """All files of a flattened export, in the order in which they can be deleted: what shows that they are ours comes last.

    Raises FolderError when the folder holds files that are not ours.
    """
    last = f"{out}/{REPORT}"
    found = own_files(storage, out, _former(storage, out), partial(_is_spilled, out))
    return sorted(found, key=lambda uri: (bool(is_claim(out, uri)), uri == last, uri))


def _former(storage: "Storage", out: str) -> tuple[str, ...]:
    try:
        return _listed(out, read_report(storage, out))
    except MissingFileError:
        return ()
    except FlattenError as error:
        raise FolderError(f"{out} cannot be replaced, because ddb-assets did not write its report: {error}") from None


def _is_spilled(out: str, uri: str) -> bool:
    return re.fullmatch(rf"{re.escape(out)}/{SPILL}/[0-9a-f]{{64}}\.txt", uri) is not None


def _listed(out: str, report: Report) -> tuple[str, ...]:
    """The files of a flattened export by its report. Spilled texts are not listed: rows refer to them, so they stay."""
    return (*report.files, *(f"{out}/{name}" for name in (REPORT, SCHEMA, PROFILE, FILES)))
