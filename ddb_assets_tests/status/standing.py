"""A loaded chain of the sandbox's `Orders` that a test may wreck: everything is put back before the next one."""

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import dagster as dg

from ddb_assets.aws.clients import AWS
from ddb_assets.aws.lake import LakePaths
from ddb_assets.contract.contract_yaml import read_table
from ddb_assets.contract.table import Table
from ddb_assets.sandbox import demo
from ddb_assets.settings import warehouse_address
from ddb_assets.status.codes import Finding
from ddb_assets.status.facts import dagster_says
from ddb_assets.status.look import NOT_ASKED, Status, look
from ddb_assets.warehouse.duckdb.connection import DuckDBEngine
from ddb_assets.warehouse.sql.statements import Statement
from ddb_assets_tests.support.sandboxed import warehouse_file
from ddb_assets_tests.support.window_chain import Chain, hours_ago, key_of

DEFS = Path(__file__).parents[2] / "ddb_assets/defs/orders/defs.yaml"
ORDERS: Table = read_table(DEFS)
FULL = (
    "exports/orders_full_export",
    *("parquet/orders_full_parquet", "parquet/orders__items_full_parquet"),
    *("loads/orders_initial_load", "loads/orders__items_initial_load"),
)
WINDOW = (
    "exports/orders_window_export",
    *("parquet/orders_window_parquet", "parquet/orders__items_window_parquet"),
    *("warehouse/orders", "warehouse/orders__items"),
)
FIRST = 3
"""Hours ago that the initial load shows."""


def since(hours: int) -> list[str]:
    """The windows since so many hours ago that have ended."""
    return [key_of(hours_ago(before)) for before in range(hours, 0, -1)]


@dataclass
class Standing:
    """The chain; `kept` has its objects on S3, `early` the warehouse as it was before the newest window was loaded."""

    chain: Chain
    kept: dict[str, bytes] = field(default_factory=dict)
    early: Path = Path()
    late: Path = Path()
    _read: dict[str, bytes] = field(default_factory=dict)  # by ETag

    @classmethod
    def made(cls, chain: Chain, folder: Path) -> "Standing":
        """Loads the initial load and every window since."""
        standing = cls(chain, early=folder / "early.duckdb", late=folder / "late.duckdb")
        config = {"exports__orders_full_export": {"config": {"as_of": hours_ago(FIRST).start.isoformat()}}}
        assert chain.run(*FULL, config=config).success
        *first, last = since(FIRST)
        assert chain.run(*WINDOW, partitions=first).success
        shutil.copy(warehouse_file(), standing.early)
        assert chain.run(*WINDOW, partitions=[last]).success
        shutil.copy(warehouse_file(), standing.late)
        standing.kept = standing.objects()
        return standing

    @contextmanager
    def whole(self) -> Iterator["Standing"]:
        """The chain, which is whole again when the block ends."""
        try:
            yield self
        finally:
            self.put_back()

    def put_back(self) -> None:
        """Makes the warehouse and the lake as they were kept."""
        shutil.copy(self.late, warehouse_file())
        now = self._tags()
        self.chain.delete(*(now.keys() - self.kept.keys()))
        changed = (name for name, data in self.kept.items() if now.get(name) != hashlib.md5(data).hexdigest())
        self.chain.put({name: self.kept[name] for name in changed})

    def objects(self, below: str = "") -> dict[str, bytes]:
        """Every object of the chain's lake below a prefix."""
        s3 = self.chain.sandbox.s3()
        tags = self._tags(below)
        for name, tag in tags.items():
            if tag not in self._read:
                self._read[tag] = s3.get_object(Bucket=demo.BUCKET, Key=name)["Body"].read()
        return {name: self._read[tag] for name, tag in tags.items()}

    def _tags(self, below: str = "") -> dict[str, str]:
        """The name and ETag of every object: the MD5 of what was written in one piece."""
        paginator = self.chain.sandbox.s3().get_paginator("list_objects_v2")
        pages = paginator.paginate(Bucket=demo.BUCKET, Prefix=f"{self.chain.prefix}/{below}")
        return {found["Key"]: found["ETag"].strip('"') for page in pages for found in page.get("Contents", [])}

    def lose(self, *folders: str) -> None:
        """Deletes everything below these prefixes of the lake."""
        for folder in folders:
            self.chain.delete(*self._tags(folder))

    @property
    def lake(self) -> LakePaths:
        return LakePaths(f"s3://{demo.BUCKET}/{self.chain.prefix}")

    def status(self, instance: dg.DagsterInstance | None = None, *, dagster: bool = True, address: str = "") -> Status:
        """A look at the table; without `dagster`, Dagster is not asked."""
        ask = partial(dagster_says, instance or self.chain.instance) if dagster else NOT_ASKED
        return look(AWS(), address or warehouse_address(), self.lake, ORDERS, ask)

    def found(
        self, instance: dg.DagsterInstance | None = None, *, dagster: bool = True, address: str = ""
    ) -> dict[str, Finding]:
        """The findings that need a person, by code."""
        status = self.status(instance, dagster=dagster, address=address)
        return {finding.code: finding for finding in status.findings if finding.needs_a_person}


def by_hand(*statements: str) -> None:
    """What somebody does to the warehouse."""
    with DuckDBEngine(warehouse_file()) as warehouse:
        for statement in statements:
            warehouse.execute(Statement(statement))
