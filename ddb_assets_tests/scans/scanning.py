"""Scans of tables in a sandbox, through a proxy that cuts pages small and fails as AWS does."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from ddb_assets.aws.storage import Storage
from ddb_assets.bulk.options import Filter
from ddb_assets.contract.scan import ScanOptions
from ddb_assets.dynamodb.item import Item, canonical_json
from ddb_assets.exports.manifest import Export
from ddb_assets.scans.plan import ScanPlan, plan_scan
from ddb_assets.scans.run import ScanReport, run_scan
from ddb_assets_tests.support.tables import client_of


def nothing(*_: object) -> None: ...


@dataclass
class Scanning:
    """Scans through the proxy at `endpoint`. `folder` has the landings in `out` and the progress in `state`.

    `said` is what scans said of runs before them.
    """

    endpoint: str
    folder: Path
    said: list[str] = field(default_factory=list)

    def plan(
        self,
        table: str,
        where: Filter | None = None,
        attributes: tuple[str, ...] = (),
        deadline: float = 60,
        **how: Any,
    ) -> ScanPlan:
        client = client_of(self.endpoint)
        options = ScanOptions(**{"segments": 4, "workers": 3, **how})
        return plan_scan(client, client, table, options, where=where, attributes=attributes, deadline=deadline)

    def scan(
        self,
        table: str,
        on_page: Callable[[int], object] = nothing,
        *,
        restart: bool = False,
        out: str = "",
        storage: Storage | None = None,
        **how: Any,
    ) -> ScanReport:
        return run_scan(
            self.plan(table, **how),
            out or str(self.folder / "out"),
            self.folder / "state",
            storage or Storage(),
            restart=restart,
            on_resumed=self.said.append,
            on_page=on_page,
        )


def lines(export: Export, storage: Storage | None = None) -> list[Item]:
    """The items of a landing, read without our reader of exports."""
    found: list[Item] = []
    for file in export.files:
        data = (storage or Storage()).read(file.uri)
        while data:
            member = zlib.decompressobj(wbits=31)
            found += [orjson.loads(line)["Item"] for line in member.decompress(data).splitlines()]
            data = member.unused_data
    return found


def known(items: list[Item]) -> list[str]:
    """Items in a form that is equal for equal items, sorted: one that is there twice is seen."""
    return sorted(map(str, map(canonical_json, items)))
