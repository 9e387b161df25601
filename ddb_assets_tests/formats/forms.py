"""What each form is made of, as `forms.json` records it: `python -m ddb_assets_tests.formats.forms` writes that file again.

A form that differs from the record has changed. Then either raise its version, write a migration from the version before, and
let `writing.py` keep an example of the new one; or, if nothing that is kept differs, only write the record again.
"""

import hashlib
import json
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pydantic import BaseModel

from ddb_assets.bulk import checkpoint, reject_file
from ddb_assets.contract import report, scan
from ddb_assets.contract.column_type import SqlType
from ddb_assets.contract.durable import DurableFormat
from ddb_assets.contract.key_schema import KeySchema
from ddb_assets.copies import copy_state
from ddb_assets.copies.following import follow_state
from ddb_assets.copies.restoring import made_table
from ddb_assets.flatten import profile, schema
from ddb_assets.iceberg import properties
from ddb_assets.imports import import_progress
from ddb_assets.imports.undoing import before_images
from ddb_assets.retention import deleting
from ddb_assets.scans import progress
from ddb_assets.warehouse import receipts
from ddb_assets.warehouse.clickhouse import ledger as clickhouse
from ddb_assets.warehouse.redshift.cold import moves
from ddb_assets.warehouse.sql import cold, ledger, settled, streams

RECORD = Path(__file__).with_suffix(".json")
DOCUMENTS: Mapping[str, tuple[DurableFormat, type[BaseModel]]] = {
    "schema document": (schema.FORMAT, schema.Schema),
    "report": (report.FORMAT, report.Report),
    "receipt": (receipts.FORMAT, receipts.Receipt),
    "reject file": (reject_file.FORMAT, reject_file.Heading),
    "before-images": (before_images.FORMAT, before_images.BeforeHeading),
    "landing of a scan": (scan.FORMAT, scan.Scanned),
    "segment of a scan": (progress.FORMAT, progress.SegmentState),
    "table that was made": (made_table.FORMAT, made_table.Remembered),
    "following": (follow_state.FORMAT, follow_state.Following),
    "checkpoint": (checkpoint.FORMAT, checkpoint._Document),
    "being deleted": (deleting.FORMAT, deleting.Unfinished),
}
STATES: Mapping[str, type[BaseModel]] = {
    "import": import_progress.ImportState,
    "copy": copy_state.CopyState,
    "scan": progress.ScanState,
}
"""What checkpoints keep besides; the version of the checkpoint is theirs too."""
TABLES: Mapping[str, tuple[DurableFormat, Mapping[str, SqlType] | Mapping[str, str]]] = {
    "ledger": (ledger.FORMAT, ledger.COLUMNS),
    "positions in streams": (ledger.FORMAT, streams.TYPES),
    "settled": (ledger.FORMAT, settled.TYPES),
    "moves of cold rows": (ledger.FORMAT, moves.TYPES),
    "fields of cold rows": (ledger.FORMAT, cold.FIELD_TYPES),
    "ledger in ClickHouse": (clickhouse.FORMAT, clickhouse.COLUMNS),
}
"""The tables beside a table's own, which the version of its ledger is of."""


FILES: Mapping[str, tuple[DurableFormat, Callable[[Path], AbstractContextManager[object]]]] = {
    "keys that a copy has seen": (checkpoint.FORMAT, copy_state.Collisions),
    "changes that were applied": (follow_state.FORMAT, follow_state.FollowState),
}
"""The SQLite files in the state folder, and what makes them."""


def forms() -> dict[str, Any]:
    """The version, the fields and a digest of each form, by its name."""
    documents = {name: {"version": form.version, **_said(model)} for name, (form, model) in DOCUMENTS.items()}
    states = {f"checkpoint: {name}": {"version": checkpoint.FORMAT.version, **_said(m)} for name, m in STATES.items()}
    tables = {
        name: {"version": form.version, "columns": {column: str(kind) for column, kind in types.items()}}
        for name, (form, types) in TABLES.items()
    }
    files = {name: {"version": form.version, "tables": _tables(made)} for name, (form, made) in FILES.items()}
    others = {
        "Iceberg tables": {"version": properties.FORMAT.version},
        "profile": {"version": profile.FORMAT.version},
        "key in Dagster's log": _said(KeySchema),
    }
    return {**documents, **states, **tables, **files, **others}


def _tables(made: Callable[[Path], AbstractContextManager[object]]) -> list[str]:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "file.sqlite"
        with made(path):
            pass
        with sqlite3.connect(path) as connection:
            return [sql for (sql,) in connection.execute("SELECT sql FROM sqlite_master WHERE sql > '' ORDER BY name")]


def _said(model: type[BaseModel]) -> dict[str, Any]:
    whole = _bare(model.model_json_schema())
    parts = {model.__name__.lstrip("_"): whole, **whole.get("$defs", {})}
    fields = {name: " ".join(sorted(part["properties"])) for name, part in parts.items() if "properties" in part}
    text = json.dumps(whole, sort_keys=True)
    return {"fields": dict(sorted(fields.items())), "digest": hashlib.sha256(text.encode()).hexdigest()[:16]}


def _bare(part: Any) -> Any:
    """A JSON schema without its texts. A property may be named like a text."""
    if isinstance(part, list):
        return [_bare(one) for one in part]
    if not isinstance(part, dict):
        return part
    texts = {"title", "description", "examples"}
    return {
        key: {name: _bare(one) for name, one in value.items()} if key in {"properties", "$defs"} else _bare(value)
        for key, value in part.items()
        if key not in texts
    }


if __name__ == "__main__":
    RECORD.write_text(json.dumps(forms(), indent=1) + "\n")
