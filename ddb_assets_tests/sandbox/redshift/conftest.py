"""A connection with a schema of its own, and files that COPY can read."""

import uuid
from collections.abc import Iterator
from contextlib import suppress

import pytest
from redshift_connector.error import Error

from ddb_assets.sandbox.redshift.server import RedshiftServer
from ddb_assets_tests.sandbox.redshift.serving import Database, Lake, connect
from ddb_assets_tests.support.places import Place


@pytest.fixture
def db(redshift: RedshiftServer) -> Iterator[Database]:
    schema = f"t{uuid.uuid4().hex[:12]}"
    made = Database(redshift, connect(redshift), schema)
    made.run(f"CREATE SCHEMA {schema}")
    made.run(f"SET search_path TO {schema}")
    yield made
    redshift.faults.clear()
    for connection in (made.connection, *made.others):
        with suppress(Error, OSError):  # a test may have broken the connection
            connection.close()


@pytest.fixture
def files(lake: Place) -> Lake:
    return Lake(lake)
