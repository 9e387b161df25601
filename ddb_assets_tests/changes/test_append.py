"""Landings in tables of changes: each once, with all of its rows, whatever comes between."""

import threading
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pyiceberg.catalog import Catalog
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.table import Table

from ddb_assets.aws.storage import Storage
from ddb_assets.changes.append import Appended, append
from ddb_assets.changes.read import read_changes
from ddb_assets.contract.identity import FORMAT, Identity
from ddb_assets.contract.report import Column, Hidden, Report
from ddb_assets.iceberg.catalog import open_catalog
from ddb_assets.iceberg.errors import IcebergError
from ddb_assets.iceberg.url import CatalogUrl
from ddb_assets_tests.warehouse.exports import (
    BASE_MICROS,
    DELETED,
    EXTRA,
    KEY,
    VERSION,
    Source,
    at,
    relation,
    report,
    write,
)


class Log:
    """The tables of changes of `orders` in a catalog of the test's own."""

    def __init__(self, folder: Path) -> None:
        self.url = CatalogUrl.parse(f"iceberg:///{folder}/catalog.sqlite")
        self._open = open_catalog(self.url)
        self.catalog: Catalog = self._open.__enter__()

    def close(self) -> None:
        self._open.__exit__(None, None, None)

    def append(self, made: Report, **options: Any) -> dict[str, Appended]:
        return append(self.catalog, self.url, Storage(), made, **options)

    def table(self, relation: str = "orders") -> Table:
        return self.catalog.load_table(f"ddb_assets.{relation}__changes")

    def rows(self, relation: str = "orders") -> list[dict[str, Any]]:
        found = read_changes(self.table(relation)).read_all().to_pylist()
        return sorted(found, key=lambda row: tuple(str(row[c]) for c in ("order_id", "_ddb_version", "_ddb_export_id")))

    def notes(self) -> list[tuple[Any, ...]]:
        columns = ("order_id", "note", "_ddb_version", "_ddb_deleted", "_ddb_kind")
        return [tuple(row[c] - BASE_MICROS if c == "_ddb_version" else row[c] for c in columns) for row in self.rows()]

    def files(self, relation: str = "orders") -> set[str]:
        return {task.file.file_path for task in self.table(relation).scan().plan_files()}

    def snapshots(self, relation: str = "orders") -> int:
        return len(self.table(relation).snapshots())


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    found = Log(tmp_path)
    yield found
    found.close()


@pytest.fixture
def source(tmp_path: Path) -> Source:
    made = Source(tmp_path / "parquet")
    made.put(1, "a", "first", "x", "y")
    made.put(1, "b", "gone soon")
    return made


def test_every_version_is_a_row(log: Log, source: Source) -> None:
    done = log.append(source.full(10, export_id="full"))
    assert [(name, one.name, one.applied, one.rows, one.files) for name, one in done.items()] == [
        ("orders", "orders__changes", True, 2, 1),
        ("orders__lines", "orders__lines__changes", True, 2, 1),
    ]
    source.put(11, "a", "second", "z")
    source.delete(12, "b")
    log.append(source.window(10, 20))
    assert log.notes() == [
        ("a", "first", 10, False, "full"),
        ("a", "second", 11, False, "window"),
        ("b", "gone soon", 10, False, "full"),
        ("b", None, 12, True, "window"),
    ]
    lines = [
        (row["order_id"], row["_ddb_index"], row["value"], row["_ddb_version"] - BASE_MICROS)
        for row in log.rows("orders__lines")
    ]
    assert sorted(lines) == [("a", 0, "x", 10), ("a", 0, "z", 11), ("a", 1, "y", 10)]


def test_a_landing_is_one_commit_that_says_what_it_is(log: Log, source: Source) -> None:
    done = log.append(source.full(10, export_id="01234-full", digest="d9"))["orders"]
    table = log.table()
    (snapshot,) = table.snapshots()
    assert snapshot.summary is not None
    said = {name: snapshot.summary[f"ddb-assets.{name}"] for name in ("export-id", "digest", "kind", "rows")}
    assert said == {"export-id": "01234-full", "digest": "d9", "kind": "full", "rows": "2"}
    assert (done.snapshot_id, done.total_rows, done.total_files) == (snapshot.snapshot_id, 2, 1)
    assert 0 < done.bytes == done.total_bytes


def test_a_landing_is_there_once(log: Log, source: Source) -> None:
    made = source.full(10)
    log.append(made)
    again = log.append(made)
    assert not any(one.applied for one in again.values())
    assert (again["orders"].total_rows, again["orders"].rows, log.snapshots()) == (2, 0, 1)
    assert len(log.notes()) == 2


def test_a_landing_that_was_flattened_otherwise_takes_the_place_of_its_rows(log: Log, source: Source) -> None:
    log.append(source.full(10, export_id="one"))
    log.append(source.full(20, export_id="two"))
    source.writes[0] = (1, "a", source.writes[1][2])
    done = log.append(source.full(10, export_id="one", digest="d2"))
    assert done["orders"].replaced
    assert log.notes() == [
        ("a", "gone soon", 10, False, "full"),
        ("a", "first", 20, False, "full"),
        ("b", "gone soon", 10, False, "full"),
        ("b", "gone soon", 20, False, "full"),
    ]
    assert {row["_ddb_digest"] for row in log.rows() if row["_ddb_export_id"] == "one"} == {"d2"}
    assert [row["order_id"] for row in log.rows("orders__lines")] == ["a", "a"]  # those of `two`


def test_rows_of_a_list_that_is_no_relation_any_more_are_taken_out(log: Log, source: Source) -> None:
    """As after a change of the contract: the landing comes again without the relation."""
    made = source.full(10)
    source.put(11, "a", "second", "z")
    window = source.window(10, 20)
    log.append(made)
    log.append(window)

    def without_lines(report: Report) -> Report:
        return report.model_copy(update={"relations": (report.root,), "digest": "d2"})

    done = log.append(without_lines(window))["orders__lines"]
    assert (done.applied, done.replaced, done.rows, done.total_rows) == (True, True, 0, 2)
    assert {row["_ddb_export_id"] for row in log.rows("orders__lines")} == {made.export_id}
    snapshots = log.snapshots("orders__lines")
    assert not log.append(without_lines(window))["orders__lines"].applied
    assert log.snapshots("orders__lines") == snapshots
    assert log.append(window)["orders__lines"].total_rows == 3
    log.append(without_lines(made), restart=True)
    assert log.rows("orders__lines") == []
    log.catalog.drop_table("ddb_assets.orders__lines__changes")
    assert list(log.append(without_lines(window))) == ["orders"]
    assert "orders__lines__changes" not in {name for _, name in log.catalog.list_tables("ddb_assets")}


def test_it_is_known_after_its_snapshot_has_expired(log: Log, source: Source) -> None:
    made = source.full(10)
    log.append(made)
    log.append(source.full(20))
    table = log.table()
    table.maintenance.expire_snapshots().by_id(table.snapshots()[0].snapshot_id).commit()
    assert log.snapshots() == 1
    assert not log.append(made)["orders"].applied
    assert len(log.notes()) == 4


def test_a_landing_without_rows_changes_nothing(log: Log, source: Source) -> None:
    log.append(source.full(10))
    assert log.append(source.window(10, 20))["orders"].total_rows == 2
    assert log.append(source.window(10, 20))["orders"].total_rows == 2
    assert log.snapshots() == 1


def test_the_table_is_partitioned_by_the_day_of_the_version(log: Log, source: Source) -> None:
    day = 86_400_000_000
    source.put(day - 1, "c", "before midnight")
    source.put(day + 1, "d", "after")
    log.append(source.window(day - 5, day + 5))
    partitions = {str(task.file.partition[0]) for task in log.table().scan().plan_files()}
    assert len(partitions) == 2
    assert {(row["order_id"], row["_ddb_day"]) for row in log.rows()} == {
        ("c", date(2026, 3, 1)),
        ("d", date(2026, 3, 2)),
    }


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("number", [1, 2])
def test_a_landing_that_was_broken_off_is_brought_to_an_end(
    log: Log, source: Source, monkeypatch: pytest.MonkeyPatch, number: int, after: bool
) -> None:
    """The process dies right before or after a table's commit: the list's is the first, the root's the second."""
    log.append(source.full(10))
    source.put(11, "a", "second", "z")
    window, commit, made = source.window(10, 20), SqlCatalog.commit_table, 0

    class KilledError(BaseException):
        pass

    def killed(self: SqlCatalog, *arguments: Any) -> Any:
        nonlocal made
        made += 1
        if made == number and not after:
            raise KilledError
        answer = commit(self, *arguments)
        if made == number:
            raise KilledError
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(SqlCatalog, "commit_table", killed)
        with pytest.raises(KilledError):
            log.append(window)
    for _ in range(2):
        log.append(window)
    assert [(key, note) for key, note, *_ in log.notes()] == [("a", "first"), ("a", "second"), ("b", "gone soon")]
    assert len(log.rows("orders__lines")) == 3


def test_processes_that_append_at_the_same_time_append_each_landing_once(
    log: Log, source: Source, tmp_path: Path
) -> None:
    log.append(source.full(10))
    for time in range(11, 15):
        source.put(time, f"key {time}", "x", "line")
    windows = [source.window(time, time + 1) for time in range(10, 15)]
    failed: list[BaseException] = []

    def work(order: list[Report]) -> None:
        other = Log(tmp_path)
        try:
            for made in order:
                other.append(made)
        except BaseException as error:
            failed.append(error)
        other.close()

    threads = [threading.Thread(target=work, args=(order,)) for order in (windows, windows[::-1], windows)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert [key for key, *_ in log.notes()] == ["a", "b", *(f"key {time}" for time in range(11, 15))]
    assert len(log.rows("orders__lines")) == 6
    files = {Path(task.file.file_path).name for task in log.table().scan().plan_files()}
    assert files == {
        path.name for path in tmp_path.rglob("ddb_assets/orders__changes-*/data/**/*.parquet")
    }  # none is left over


def landing(folder: Path, kind: str, time: int, value: object, **more: Any) -> Report:
    """A window with one row, of which `note` has this type."""
    note = Column(name="note", path=("note",), type=kind)
    root = relation("orders", (KEY, note, VERSION, DELETED, EXTRA))
    row = {"order_id": f"{time:03}", "note": value, "_ddb_version": BASE_MICROS + time, "_ddb_deleted": False}
    return report([write(folder / str(time), root, [row])], window=(at(time), at(time + 5)), **more)


def test_a_type_that_iceberg_cannot_widen_gets_a_new_field_and_reads_as_one_column(log: Log, tmp_path: Path) -> None:
    log.append(landing(tmp_path, "BIGINT", 10, -5))
    log.append(landing(tmp_path, "DECIMAL(18,2)", 20, Decimal("5.50")))
    log.append(landing(tmp_path, "DECIMAL(38,2)", 30, Decimal("1" * 36 + ".25")))
    log.append(landing(tmp_path, "BIGINT", 40, 7))  # flattened before the type grew
    assert [row["note"] for row in log.rows()] == [-5, Decimal("5.50"), Decimal("1" * 36 + ".25"), 7]
    log.append(landing(tmp_path, "VARCHAR(64)", 50, "1E+125"))
    log.append(landing(tmp_path, "DECIMAL(38,2)", 60, Decimal("100.00")))
    assert [row["note"] for row in log.rows()] == ["-5", "5.5", "1" * 36 + ".25", "7", "1E+125", "100"]
    log.append(landing(tmp_path, "BOOLEAN", 70, True))  # no type holds both
    assert [row["note"] for row in log.rows()] == [None] * 6 + [True]
    assert [row["_ddb_was__note__varchar"] for row in log.rows()][4:] == ["1E+125", "100", None]
    names = {field.name for field in log.table().schema().fields if "note" in field.name}
    assert names == {
        "note",
        "_ddb_was__note__varchar",
        "_ddb_was__note__bigint",
        "_ddb_was__note__decimal_38_2",
    }


def test_values_that_the_contract_hides_by_now_are_gone(log: Log, tmp_path: Path) -> None:
    log.append(landing(tmp_path, "VARCHAR(64)", 10, "secret"))
    hidden = (Hidden(path="note", how="sha256", columns={"orders": ("note", "_ddb_extra")}),)
    masked = landing(tmp_path, "VARCHAR(64)", 20, "5e884898").model_copy(update={"hidden": hidden})
    done = log.append(masked)
    assert "note is hidden now" in done["orders"].remarks[0]
    assert [row["note"] for row in log.rows()] == [None, "5e884898"]
    with pytest.raises(IcebergError, match=r"note must not be seen in ddb_assets.orders__changes"):
        log.append(landing(tmp_path, "VARCHAR(64)", 30, "shown"))
    assert [row["note"] for row in log.rows()] == [None, "5e884898"]


def identity(key: str) -> Identity:
    return Identity(format=FORMAT, key=(key,), key_masks=(None,), mask_secret="", schema_id="s", contract="c")


def test_rows_of_another_key_start_the_log_over(log: Log, source: Source) -> None:
    first = source.full(10).model_copy(update={"identity": identity("orderId")})
    log.append(first)
    other = source.full(20).model_copy(update={"identity": identity("id")})
    with pytest.raises(IcebergError, match=r"its key was orderId, now it is id\. Restore .* `restart: true`"):
        log.append(other)
    window = source.window(10, 20).model_copy(update={"identity": identity("id")})
    with pytest.raises(IcebergError, match="only be started over with a full export"):
        log.append(window, restart=True)
    log.append(other, restart=True)
    assert [version for _, _, version, *_ in log.notes()] == [20, 20]
    with pytest.raises(IcebergError, match="its key was id, now it is orderId"):
        log.append(first)


def test_tables_of_others_are_left_alone(log: Log, source: Source) -> None:
    made = source.full(10)
    log.append(made)
    other = source.full(20, table_arn="arn:aws:dynamodb:eu-west-1:123456789012:table/Other")
    with pytest.raises(IcebergError, match=r"are of arn:.*table/Orders, and this export is of arn:.*table/Other"):
        log.append(other)
    log.catalog.drop_table("ddb_assets.orders__changes")
    log.catalog.create_table("ddb_assets.orders__changes", log.table("orders__lines").schema())
    with pytest.raises(IcebergError, match="it is no log of changes: rename it"):
        log.append(made)


@pytest.mark.parametrize("how", ["damaged", "missing", "rows"])
def test_parts_that_are_not_those_of_the_report_leave_no_trace(
    log: Log, source: Source, tmp_path: Path, how: str
) -> None:
    made = source.full(10)
    path = Path(made.root.parts[0].uri)
    if how == "damaged":
        path.write_bytes(path.read_bytes()[:-9] + b"x" + path.read_bytes()[-8:])
    elif how == "missing":
        path.unlink()
    else:
        part = made.root.parts[0].model_copy(update={"rows": 3})
        root = made.root.model_copy(update={"parts": (part,)})
        made = made.model_copy(update={"relations": (root, *made.children)})
    with pytest.raises(Exception, match=str(path)) as caught:
        log.append(made)
    assert type(caught.value).__module__.startswith("ddb_assets.")
    assert log.rows() == []
    assert list(tmp_path.rglob("orders__changes-*/data/**/*.parquet")) == []
