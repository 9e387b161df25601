"""Reads the parts of a relation: each is sent to the server as it is, or the server reads it from S3 itself.

Before a part is sent, its size, its MD5 and its columns are compared with the report. A part that the server reads itself has
its size compared; that the server has read the right values is seen from their measures, as for every part (`staging.py`).
"""
# ruff: noqa: S608  -- names come from quoted(), values from literal()

import base64
import hashlib
import io
from collections.abc import Sequence
from urllib.parse import quote

from ddb_assets.aws.storage import Storage, is_s3
from ddb_assets.contract.column_type import SqlType
from ddb_assets.contract.report import Part, Relation
from ddb_assets.warehouse.clickhouse.server import UNREADABLE, Server, StatementError
from ddb_assets.warehouse.clickhouse.sql import literal, quoted
from ddb_assets.warehouse.clickhouse.types import clickhouse_type
from ddb_assets.warehouse.errors import LoadError
from ddb_assets.warehouse.local_part import check_columns

_PATTERN = frozenset("*?{}")
"""Letters that ClickHouse takes for a pattern in the name of a file, so it gets such a part sent."""


def insert(server: Server, storage: Storage, relation: Relation, part: Part, into: str, select: Sequence[str]) -> None:
    """Inserts the rows of one part: `into` is the table with its columns and settings, `select` the values of these columns.

    Raises LoadError for a part that is missing, damaged, or of other columns.
    """
    size = storage.size(part.uri)
    # guard: ClickHouse: part's size
    if size != part.bytes:
        raise LoadError(f"part {part.uri} has {size} bytes, the report says {part.bytes}: flatten the export again")
    structure = ", ".join(
        f"{quoted(c.name)} {clickhouse_type(SqlType.parse(c.type), nullable=True)}" for c in relation.columns
    )
    values = ", ".join(select)
    itself = server.settings.s3 and is_s3(part.uri) and _PATTERN.isdisjoint(part.uri)
    try:
        if itself:
            server.execute(f"INSERT INTO {into} SELECT {values} FROM {_from_s3(server, storage, part.uri, structure)}")
        else:
            content = _content(storage, relation, part)
            server.execute(
                f"INSERT INTO {into} SELECT {values} FROM input({literal(structure)}) FORMAT Parquet", content
            )
    except StatementError as error:
        if error.code in UNREADABLE:
            raise LoadError(f"part {part.uri} cannot be read, flatten the export again: {error}") from None
        raise


def _from_s3(server: Server, storage: Storage, uri: str, structure: str) -> str:
    """The table function that reads a file of S3. Its credentials are the server's own, or those of a named collection."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    url = literal(f"{storage.s3.meta.endpoint_url}/{bucket}/{quote(key)}")
    if server.settings.s3 == "default":
        return f"s3({url}, 'Parquet', {literal(structure)})"
    collection = quoted(server.settings.s3)
    return f"s3({collection}, url = {url}, format = 'Parquet', structure = {literal(structure)})"


def _content(storage: Storage, relation: Relation, part: Part) -> bytes:
    with storage.open(part.uri) as file:
        content = file.read()
    digest = hashlib.md5(content, usedforsecurity=False).digest()
    # guard: ClickHouse: part's MD5
    if base64.b64encode(digest).decode() != part.md5:
        raise LoadError(f"part {part.uri} is damaged, its MD5 is not that of the report: flatten the export again")
    # guard: ClickHouse: part's columns
    check_columns(io.BytesIO(content), part, relation)
    return content
