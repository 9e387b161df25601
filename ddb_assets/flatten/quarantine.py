"""The lines of quarantine files: where an item stood, why it was put aside, and its text unless that must not be seen."""

import base64

import orjson

from ddb_assets.contract.table import Table
from ddb_assets.exports.manifest import DataFile
from ddb_assets.flatten.block import Rejected


def quarantine_line(file: DataFile, rejected: Rejected, table: Table) -> bytes:
    """One line of a quarantine file: where the original stood, why it is here, and its text (or base64 of its bytes).

    If the contract masks or excludes attributes, the text is left out; it is in the export, in that file and line. Then the
    reason has no values either (`rules.Rules.said`).
    """
    where = {"file": file.uri, "line": rejected.line}
    if table.hides:
        return orjson.dumps({**where, "reason": rejected.reason}) + b"\n"
    if isinstance(rejected.text, str):
        return orjson.dumps({**where, "reason": rejected.reason, "text": rejected.text}) + b"\n"
    return (
        orjson.dumps({**where, "reason": rejected.reason, "base64": base64.b64encode(rejected.text).decode()}) + b"\n"
    )
