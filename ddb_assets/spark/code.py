"""Which code this is: Dagster's side, the driver and the tasks of a job must have the same, or the rows could differ.

A version number alone does not tell two installations from a repository apart.
"""

import hashlib
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import ddb_assets

DIGITS = 12
_NOT_OURS = {"__pycache__", "defs"}
"""Folders whose files people may add."""


@cache
def own_code() -> str:
    """The version and a digest of the Python files of this installation: `0.1.0-0123456789ab`."""
    root = Path(ddb_assets.__path__[0])
    files = {path.relative_to(root): path for path in root.rglob("*.py")}
    digest = hashlib.sha256()
    for place in sorted(files, key=Path.as_posix):
        if not _NOT_OURS & set(place.parts):
            digest.update(f"{place.as_posix()} {hashlib.sha256(files[place].read_bytes()).hexdigest()}\n".encode())
    try:
        number = version("ddb-assets")
    except PackageNotFoundError:  # run from the folder of a repository
        number = "unknown"
    return f"{number}-{digest.hexdigest()[:DIGITS]}"


def other_code(wanted: str, where: str) -> str:
    """Why this process must not work on a job that Dagster's side made with the code `wanted`; empty if it may."""
    if (ours := own_code()) == wanted:
        return ""
    return (
        f"the job was made by ddb-assets {wanted}, and {where} has ddb-assets {ours}, which could make other rows: make the "
        "bundle again (`ddb-assets job bundle`) and set DDB_ASSETS_JOB_BUNDLE to what it prints; without a bundle, install the "
        "same ddb-assets on the driver and the workers"
    )
