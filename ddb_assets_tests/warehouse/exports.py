"""A DynamoDB table as a list of writes, and its flattened exports, as AWS and the Parquet stage would make them.

Parquet files and reports are real. Only the way from items to rows is short.
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from ddb_assets.aws.storage import Storage
from ddb_assets.contract.report import Column, Relation, Report
from ddb_assets.flatten.arrow_types import arrow_schema
from ddb_assets.flatten.parts import write_part

BASE = datetime(2026, 3, 1, tzinfo=UTC)
BASE_MICROS = int(BASE.timestamp()) * 1_000_000
Row = Mapping[str, object]

KEY = Column(name="order_id", path=("orderId",), type="VARCHAR(64)", role="key")
VERSION = Column(name="_ddb_version", path=(), type="BIGINT", role="version")
DELETED = Column(name="_ddb_deleted", path=(), type="BOOLEAN", role="deleted")
EXTRA = Column(name="_ddb_extra", path=(), type="SUPER", role="extra")
HASH = Column(name="_ddb_hash", path=(), type="VARCHAR(32)", role="hash")
OLD_HASH = Column(name="_ddb_old_hash", path=(), type="VARCHAR(32)", role="old_hash")
INDEX = Column(name="_ddb_index", path=(), type="BIGINT", role="index")
NOTE = Column(name="note", path=("note",), type="VARCHAR(64)")
LINE = Column(name="value", path=(), type="VARCHAR(64)")


NOTHING: Mapping[str, Any] = {}


def at(time: int) -> datetime:
    """The moment `time` microseconds after the beginning of the test's world."""
    return BASE + timedelta(microseconds=time)


def relation(name: str, columns: Sequence[Column], path: tuple[str, ...] = ()) -> Relation:
    return Relation(name=name, path=path, columns=tuple(columns))


def write(folder: Path, relation: Relation, rows: Sequence[Row], parts: int = 1) -> Relation:
    """The relation with its rows in Parquet files, with the types that flattening writes."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for number in range(parts):
        mine = rows[number::parts]
        path = folder / f"{len(list(folder.iterdir())):03}.parquet"
        table = pa.Table.from_pylist(mine, schema=arrow_schema(relation))
        made.append(write_part(Storage(), str(path), table, "zstd"))
    return relation.with_parts(made)


def report(
    relations: Sequence[Relation],
    *,
    export_time: datetime | None = None,
    window: tuple[datetime, datetime] | None = None,
    export_id: str | None = None,
    digest: str = "d1",
    deletes: int = 0,
    table_arn: str = "arn:aws:dynamodb:eu-west-1:123456789012:table/Orders",
    table_id: str = "11111111-2222-3333-4444-555555555555",
    schema_version: int = 1,
    quarantine: tuple[str, ...] = (),
    reasons: tuple[str, ...] = (),
    unread: Relation | None = None,
    old_images: bool = False,
    **numbers: int,
) -> Report:
    root = relations[0]
    name = export_id or (f"full-{export_time}" if export_time else f"window-{window}")
    counts = {"quarantined": 0, "extra_values": 0, "items_in_manifest": root.rows} | numbers
    return Report(
        table="Orders",
        name="orders",
        table_arn=table_arn,
        table_id=table_id,
        export_id=name,
        export_arn=f"{table_arn}/export/{name}",
        export_type="FULL_EXPORT" if export_time else "INCREMENTAL_EXPORT",
        export_time=export_time,
        from_time=window[0] if window else None,
        to_time=window[1] if window else None,
        digest=digest,
        schema_version=schema_version,
        lines_read=counts["items_in_manifest"],
        rows={r.name: r.rows for r in relations},
        deletes=deletes,
        bytes_raw=0,
        bytes_parquet=sum(p.bytes for r in relations for p in r.parts),
        seconds=0.0,
        relations=tuple(relations),
        quarantine=quarantine,
        reasons=reasons,
        unread=unread,
        old_images=old_images,
        **counts,
    )


@dataclass(frozen=True)
class Item:
    """An order: a note and the lines that become the child relation."""

    note: str
    lines: tuple[str, ...] = ()

    @property
    def hash(self) -> str:
        return hashlib.md5(repr((self.note, self.lines)).encode(), usedforsecurity=False).hexdigest()


@dataclass
class Source:
    """A table's history: each write is (time, key, item or None for a delete), at most one per key and microsecond.

    `hashed`: its exports are flattened for a history, with the hashes of items.
    """

    folder: Path
    writes: list[tuple[int, str, Item | None]] = field(default_factory=list)
    made: int = 0
    hashed: bool = False

    def put(self, time: int, key: str, note: str, *lines: str) -> None:
        self.writes.append((time, key, Item(note, lines)))

    def delete(self, time: int, key: str) -> None:
        self.writes.append((time, key, None))

    def state(self, time: int) -> dict[str, tuple[int, Item]]:
        """Key to (time of the last write, item) for what is there just before `time`."""
        last = {key: (t, item) for t, key, item in sorted(self.writes, key=lambda w: w[0]) if t < time}
        return {key: (t, item) for key, (t, item) in last.items() if item is not None}

    def full(self, time: int, **more: Any) -> Report:
        rows = [(key, time, item) for key, (_, item) in self.state(time).items()]
        return self._report(rows, incremental=False, export_time=at(time), **more)

    def window(self, start: int, end: int, **more: Any) -> Report:
        """One record per key with its last write. A key that was inserted and deleted within has no record, as with AWS."""
        before = self.state(start)
        last = {k: (t, i) for t, k, i in sorted(self.writes, key=lambda w: w[0]) if start <= t < end}
        # versions as flattening makes them: at the earliest a microsecond after the window begins
        rows = [(k, max(t, start + 1), i) for k, (t, i) in last.items() if i is not None or k in before]
        more.setdefault("old_images", self.hashed)
        old = {key: item for key, (_, item) in before.items()} if more["old_images"] else {}
        return self._report(rows, incremental=True, window=(at(start), at(end)), old=old, **more)

    def landing(
        self, rows: Sequence[tuple[str, int, Item | None]], span: tuple[datetime, datetime], export_id: str, **more: Any
    ) -> Report:
        """Records of a stream as a window has them: key, time of the write as the stream says it, and item."""
        return self._report(rows, incremental=True, window=span, export_id=export_id, **more)

    def _report(
        self,
        every: Sequence[tuple[str, int, Item | None]],
        *,
        incremental: bool,
        unread: Collection[str] = (),
        unkeyed: Collection[str] = (),
        old: Mapping[str, Item | None] = NOTHING,
        **more: object,
    ) -> Report:
        """The items `unread` and `unkeyed` went to quarantine. Of `unkeyed`, even the key could not be read."""
        self.made += 1
        folder = self.folder / str(self.made)
        rows = [row for row in every if row[0] not in {*unread, *unkeyed}]
        missed = [{"order_id": key, "_ddb_version": BASE_MICROS + time} for key, time, _ in every if key in unread]
        flag = (DELETED,) if incremental else ()
        hashes = () if not self.hashed else (HASH, OLD_HASH) if incremental else (HASH,)
        root = relation("orders", (KEY, NOTE, VERSION, *flag, EXTRA, *hashes))
        child = relation("orders__lines", (KEY, INDEX, LINE, VERSION, EXTRA), ("lines",))
        root_rows = [
            {
                "order_id": key,
                "note": item and item.note,
                "_ddb_version": BASE_MICROS + time,
                "_ddb_deleted": item is None,
                "_ddb_hash": item and item.hash,
                "_ddb_old_hash": (before := old.get(key)) and before.hash,
            }
            for key, time, item in rows
        ]
        child_rows = [
            {"order_id": key, "_ddb_index": index, "value": line, "_ddb_version": BASE_MICROS + time}
            for key, time, item in rows
            if item
            for index, line in enumerate(item.lines)
        ]
        relations = [write(folder / "orders", root, root_rows), write(folder / "lines", child, child_rows)]
        counts = {"items_in_manifest": len(every), "quarantined": len(every) - len(rows)}
        if len(every) > len(rows):
            more |= {"quarantine": ("somewhere/_quarantine/0.jsonl",), "reasons": ("file0 line 1: no number",)}
        if missed:
            keys = write(folder / "unread", relation("_ddb_unread__orders", (KEY, VERSION)), missed)
            more["unread"] = keys
        return report(relations, deletes=sum(item is None for _, _, item in rows), **counts, **more)  # type: ignore[arg-type]
