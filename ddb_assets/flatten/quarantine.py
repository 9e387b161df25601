"""The lines of quarantine files: where the item is, why it is quarantined, and its text unless the contract hides values."""

import base64
import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import orjson
from pydantic import BaseModel, ConfigDict, Field

from ddb_assets.contract.table import Table
from ddb_assets.exports.manifest import DataFile
from ddb_assets.flatten.block import Quarantined

if TYPE_CHECKING:
    from ddb_assets.aws.storage import Storage


class QuarantineFile(BaseModel):
    """A file of quarantined lines: how many, its size, and the base64 MD5 of its content."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    uri: str
    lines: Annotated[int, Field(gt=0)]
    bytes: Annotated[int, Field(gt=0)]
    md5: str


def write_quarantine(storage: "Storage", uri: str, lines: Sequence[bytes]) -> QuarantineFile:
    """Writes the lines (`quarantine_line`) of one block, of which there is at least one."""
    data = b"".join(lines)
    storage.write(uri, data)
    md5 = base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
    return QuarantineFile(uri=uri, lines=len(lines), bytes=len(data), md5=md5)


def quarantine_line(file: DataFile, quarantined: Quarantined, table: Table) -> bytes:
    """One line of a quarantine file: the original's file and line, the reason, and its text (or base64 of its bytes).

    If the contract masks or excludes attributes, the text is left out; the export still has it, in that file and line. The
    reason has no values then either (`rules.Rules.said`).
    """
    where = {"file": file.uri, "line": quarantined.line}
    if table.hides:
        return orjson.dumps({**where, "reason": quarantined.reason}) + b"\n"
    if isinstance(quarantined.text, str):
        return orjson.dumps({**where, "reason": quarantined.reason, "text": quarantined.text}) + b"\n"
    return (
        orjson.dumps({**where, "reason": quarantined.reason, "base64": base64.b64encode(quarantined.text).decode()})
        + b"\n"
    )
