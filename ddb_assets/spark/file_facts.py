"""What a Spark job says of each data file: in messages while it runs, and in a list beside the report once it is published.

Pure. The list is JSON Lines, so that people can query it: `SELECT * FROM 'files.jsonl' ORDER BY seconds DESC`.
"""

import base64
from collections.abc import Iterable

import orjson
from pydantic import BaseModel, ConfigDict


class FileFacts(BaseModel):
    """One data file of an export, the `number`th from 0: its `name`, and what one reading of it gave.

    `rows` are those of all relations, `bytes_raw` its uncompressed bytes, `bytes_parquet` and `parts` what was written for it,
    `seconds` the time that its task took for it.
    """

    number: int
    name: str
    lines: int
    rows: int
    quarantined: int
    bytes_raw: int
    bytes_parquet: int
    parts: int
    seconds: float

    model_config = ConfigDict(frozen=True, extra="forbid")


def listed(files: Iterable[FileFacts]) -> bytes:
    """The list as JSON Lines."""
    return b"".join(orjson.dumps(file.model_dump(), option=orjson.OPT_APPEND_NEWLINE) for file in files)


def md5_hex(md5: str) -> str:
    """A base64 MD5 as an ETag has it."""
    return base64.b64decode(md5).hex()
