"""A Redshift emulator and its bucket, shared by all tests of a session, and connections to it."""

import io
import json
import re
from dataclasses import dataclass, field
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest
import redshift_connector
from redshift_connector.core import Connection
from redshift_connector.error import ProgrammingError

from ddb_assets.sandbox.redshift.server import RedshiftServer
from ddb_assets_tests.support.places import Place

ROLE = "arn:aws:iam::123456789012:role/copy"


def connect(server: RedshiftServer, *, autocommit: bool = True, **more: Any) -> Connection:
    settings = {"host": server.host, "port": server.port, "database": server.database, "ssl": False, **more}
    settings.setdefault("application_name", "tests")  # else the driver reads the source of all callers, for 0.1 seconds
    connection = redshift_connector.connect(**({"user": server.user, "password": server.password} | settings))
    connection.autocommit = autocommit
    return connection


@dataclass
class Database:
    """A connection with its own schema; by default every statement commits."""

    server: RedshiftServer
    connection: Connection
    schema: str
    others: list[Connection] = field(default_factory=list)

    def run(self, sql: str, *values: object) -> list[list[Any]]:
        cursor = self.connection.cursor()
        cursor.execute(sql, values or None)
        return [list(row) for row in cursor.fetchall()] if cursor.description else []

    def one(self, sql: str, *values: object) -> Any:
        return self.run(sql, *values)[0][0]

    def other(self, **more: Any) -> "Database":
        connection = connect(self.server, **more)
        self.others.append(connection)
        found = Database(self.server, connection, self.schema, self.others)
        found.run(f"SET search_path TO {self.schema}")
        connection.commit()
        return found

    def user(self) -> "Database":
        """A connection of a new user without rights; its name is that of the schema with a `u`."""
        self.run(f"CREATE USER u{self.schema} PASSWORD 'Secret1'")
        return self.other(user=f"u{self.schema}", password="Secret1")

    def refused(self, message: str, sql: str, *values: object) -> dict[str, str]:
        """Runs a statement that must fail and returns the fields of the error."""
        with pytest.raises(ProgrammingError) as caught:
            self.run(sql, *values)
        fields: dict[str, str] = caught.value.args[0]
        assert re.search(message, fields["M"] + fields.get("D", "")), fields
        return fields


def parquet(frame: pl.DataFrame) -> bytes:
    """Writes Parquet as flattening does; polars would write short decimals as integers."""
    buffer = io.BytesIO()
    pq.write_table(frame.to_arrow(), buffer, store_schema=False)
    return buffer.getvalue()


@dataclass
class Lake:
    """Writes Parquet files and their manifests to the lake."""

    place: Place
    files: int = 0

    def put(self, frame: pl.DataFrame | bytes, name: str = "") -> str:
        self.files += 1
        uri = f"{self.place.root}/{name or f'part-{self.files}.parquet'}"
        self.place.storage.write(uri, frame if isinstance(frame, bytes) else parquet(frame))
        return uri

    def entry(self, uri: str, **changes: Any) -> dict[str, Any]:
        size = self.place.storage.size(uri) if self.place.storage.exists(uri) else 1
        return {"url": uri, "mandatory": True, "meta": {"content_length": size}} | changes

    def manifest(self, *entries: dict[str, Any]) -> str:
        return self.put(json.dumps({"entries": entries}).encode(), f"manifest-{self.files}")

    def copy(self, table: str, *frames: pl.DataFrame, options: str = "") -> str:
        """Writes frames and returns the COPY statement for them."""
        manifest = self.manifest(*(self.entry(self.put(frame)) for frame in frames))
        return f"COPY {table} FROM '{manifest}' IAM_ROLE '{ROLE}' FORMAT AS PARQUET MANIFEST {options}"
