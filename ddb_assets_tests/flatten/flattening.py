"""Flattens the items of a test through an export on disk, and reads the result."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from ddb_assets.aws.storage import Storage
from ddb_assets.contract.key_schema import KeySchema
from ddb_assets.contract.report import Report
from ddb_assets.contract.table import Table
from ddb_assets.exports.manifest import read_export
from ddb_assets.flatten import fast_path
from ddb_assets.flatten.exact import ExactPath
from ddb_assets.flatten.flatten import Flattened, flatten
from ddb_assets.flatten.schema import Schema
from ddb_assets.flatten.schema_store import SchemaStore
from ddb_assets_tests.support.written_export import write_export

STORAGE = Storage()
WITHOUT_KERNEL = "needs the compiled kernel: a C++ compiler when the project is installed"
needs_kernel = pytest.mark.skipif(fast_path.kernel is None, reason=WITHOUT_KERNEL)


@contextmanager
def exact_path() -> Iterator[None]:
    """Every line takes the exact path, as without a C++ compiler."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fast_path, "kernel", None)
        yield


def no_exact_path(patch: pytest.MonkeyPatch) -> None:
    """From here on, an item that the kernel hands back is a failure."""
    if fast_path.kernel is None:
        pytest.skip(WITHOUT_KERNEL)
    patch.setattr(ExactPath, "item", lambda *_: pytest.fail("the fast path handed back an item"))


@dataclass
class Outcome:
    """A flattened export, with its rows by relation and by key."""

    flattened: Flattened

    @property
    def report(self) -> Report:
        return self.flattened.report

    @property
    def schema(self) -> Schema:
        return self.flattened.schema

    @property
    def types(self) -> dict[str, str]:
        """Column -> type, for the attributes of the root relation."""
        return {c.name: c.type for c in self.report.root.columns if c.role in {"key", "value"}}

    def rows(self, relation: str = "orders") -> list[dict[str, Any]]:
        found = next(r for r in self.report.relations if r.name == relation)
        return [row for part in found.parts for row in pl.read_parquet(part.uri).to_dicts()]

    def row(self, key: Any) -> dict[str, Any]:
        return next(row for row in self.rows() if row["pk"] == key)

    def extra(self, key: Any) -> Any:
        text = self.row(key)["_ddb_extra"]
        return None if text is None else json.loads(text)

    @property
    def quarantined(self) -> list[dict[str, Any]]:
        return [json.loads(line) for uri in self.report.quarantine for line in STORAGE.read(uri).splitlines()]


class Flattening:
    """A table whose exports are flattened one after another, with one schema store."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = SchemaStore(STORAGE, str(folder / "schemas"))
        self.exports = 0

    def __call__(self, *files: list[dict[str, Any]], **contract: Any) -> Outcome:
        """Flattens files of items in DynamoDB JSON; an item without a `pk` gets one: k0, k1, …"""
        self.exports += 1
        numbered = 0
        lines: list[list[bytes]] = []
        for items in files:
            lines.append([])
            for item in items:
                keyed = item if "pk" in item else {"pk": {"S": f"k{numbered}"}, **item}
                lines[-1].append(json.dumps({"Item": keyed}, separators=(",", ":"), ensure_ascii=False).encode())
                numbered += 1
        export_id = f"0169509721800{self.exports}-d6299cbd"
        source = write_export(STORAGE, str(self.folder / "bucket"), lines=lines, export_id=export_id)
        return Outcome(
            flatten(
                STORAGE,
                read_export(STORAGE, source),
                table=Table.model_validate({"table": "Orders", **contract}),
                key=KeySchema(partition_key="pk"),
                out=str(self.folder / f"out{self.exports}"),
                schemas=self.store,
            )
        )
