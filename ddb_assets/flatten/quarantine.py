"""The lines of quarantine files: where the item is, why it is quarantined, and its text unless the contract hides values."""

import base64

import orjson

from ddb_assets.contract.table import Table
from ddb_assets.exports.manifest import DataFile
from ddb_assets.flatten.block import Quarantined


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
