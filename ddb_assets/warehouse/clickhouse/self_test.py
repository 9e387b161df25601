"""Tries whether a ClickHouse does what loads assume, with a small table of its own, which is dropped afterwards."""
# ruff: noqa: S608  -- names come from quoted(), values from literal()

import secrets
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

import pyarrow as pa

from ddb_assets.aws.storage import Storage
from ddb_assets.contract.report import Column, Relation
from ddb_assets.errors import DdbAssetsError
from ddb_assets.flatten.arrow_types import arrow_schema
from ddb_assets.flatten.parts import write_part
from ddb_assets.warehouse.clickhouse import parts
from ddb_assets.warehouse.clickhouse.server import Server, StatementError
from ddb_assets.warehouse.clickhouse.sql import STAGE, table
from ddb_assets.warehouse.errors import WarehouseError
from ddb_assets.warehouse.results import Finding

if TYPE_CHECKING:
    from ddb_assets.warehouse.clickhouse.warehouse import ClickHouseWarehouse

_NOTE = "self test of ddb_assets"


def self_test(warehouse: "ClickHouseWarehouse", storage: Storage, folder: str) -> Iterator[Finding]:
    """Each assumption, and how the server differs."""
    server, own = warehouse.server, f"self_test_{secrets.token_hex(4)}"
    rows, stage = table(STAGE, own), table(STAGE, f"{own}_stage")
    tests: tuple[tuple[str, Callable[[], str]], ...] = (
        ("tables of the MergeTree family", lambda: _create(server, rows, stage)),
        ("parts of Parquet", lambda: _insert(server, storage, f"{folder.rstrip('/')}/{own}.parquet", stage)),
        ("a row inserted twice is dropped", lambda: _insert_twice(server, stage)),
        ("parts are handed over at once", lambda: _hand_over(server, rows, stage)),
        ("the newest version wins, and deletes hide", lambda: _versions(server, rows)),
        ("of one version the later row counts", lambda: _later(server, rows)),
        ("a table is created once", lambda: _lock(server, rows)),
    )
    try:
        for what, test in tests:
            try:
                yield Finding(what, test())
            except DdbAssetsError as error:
                yield Finding(what, str(error))
    finally:
        for place in (rows, stage):
            with suppress(WarehouseError):
                server.execute(f"DROP TABLE IF EXISTS {place}")


def _create(server: Server, rows: str, stage: str) -> str:
    columns = "`key` String, `version` Int64, `gone` UInt8"
    server.execute(
        f"CREATE TABLE {rows} ({columns}) ENGINE = ReplacingMergeTree(`version`, `gone`) ORDER BY `key` COMMENT '{_NOTE}'"
    )
    server.execute(
        f"CREATE TABLE {stage} AS {rows} ENGINE = MergeTree ORDER BY `key` SETTINGS non_replicated_deduplication_window = 10 "
        f"COMMENT '{_NOTE}'"
    )
    return ""


def _insert(server: Server, storage: Storage, uri: str, stage: str) -> str:
    columns = (
        Column(name="key", path=("key",), type="VARCHAR(16)", role="key"),
        Column(name="version", path=(), type="BIGINT", role="version"),
    )
    relation = Relation(name="self_test", path=(), columns=columns)
    content = pa.Table.from_pylist(
        [{"key": "a", "version": 2}, {"key": "b", "version": 2}], schema=arrow_schema(relation)
    )
    part = write_part(storage, uri, content, "zstd")
    try:
        parts.insert(
            server,
            storage,
            relation,
            part,
            f"{stage} (`key`, `version`)",
            ["CAST(key AS String)", "CAST(version AS Int64)"],
        )
    finally:
        storage.delete([uri])
    found = server.fetch(f"SELECT `key`, `version`, `gone` FROM {stage} ORDER BY `key`")
    return "" if found == [("a", 2, 0), ("b", 2, 0)] else f"the rows are {found}"


def _insert_twice(server: Server, stage: str) -> str:
    for _ in range(2):
        server.execute(
            f"INSERT INTO {stage} (`key`, `version`, `gone`) SETTINGS insert_deduplication_token = 'one' VALUES ('c', 2, 1)"
        )
    found = server.value(f"SELECT count() FROM {stage}")
    return "" if found == 3 else f"there are {found} rows instead of 3"


def _hand_over(server: Server, rows: str, stage: str) -> str:
    server.execute(f"INSERT INTO {rows} VALUES ('a', 1, 0), ('b', 3, 0), ('c', 1, 0)")
    for _ in range(2):
        server.execute(f"ALTER TABLE {rows} ATTACH PARTITION tuple() FROM {stage}")
    return ""


def _versions(server: Server, rows: str) -> str:
    found = server.fetch(f"SELECT `key`, `version` FROM {rows} FINAL ORDER BY `key`")
    return "" if found == [("a", 2), ("b", 3)] else f"the rows are {found}"


def _later(server: Server, rows: str) -> str:
    found = []
    for gone in (1, 0):
        server.execute(f"INSERT INTO {rows} VALUES ('b', 3, {gone})")
        found += server.fetch(f"SELECT `key`, {gone} FROM {rows} FINAL ORDER BY `key`")
    return "" if found == [("a", 1), ("a", 0), ("b", 0)] else f"the rows are {found}"


def _lock(server: Server, rows: str) -> str:
    try:
        server.execute(f"CREATE TABLE {rows} (`nothing` UInt8) ENGINE = Memory")
    except StatementError:
        return ""
    return "it was created a second time"
