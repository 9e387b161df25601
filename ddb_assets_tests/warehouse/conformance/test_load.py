"""A full export into the warehouse, exactly, once, or not at all."""

import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ddb_assets.contract.report import Column, Relation, Report
from ddb_assets.warehouse.errors import LoadError
from ddb_assets_tests.warehouse.conformance.subject import SOFT_DELETE, Subject, load, loads, read
from ddb_assets_tests.warehouse.exports import (
    BASE_MICROS,
    DELETED,
    EXTRA,
    KEY,
    VERSION,
    Item,
    Row,
    Source,
    at,
    relation,
    report,
    write,
)


def full(folder: Path, rows: list[Row], *columns: Column, time: int = 100, parts: int = 1, **more: Any) -> Report:
    """A full export of one relation at `time`, rows without version."""
    root = relation("orders", (KEY, *columns, VERSION, EXTRA))
    versioned = [{"_ddb_version": BASE_MICROS + time, **row} for row in rows]
    return report([write(folder / f"{time}-{more}", root, versioned, parts)], export_time=at(time), **more)


WHEN = datetime(2026, 1, 1, tzinfo=UTC).replace(tzinfo=None)


@pytest.mark.alike
def test_a_full_export_becomes_the_tables(subject: Subject, source: Source) -> None:
    source.put(1, "a", "first", "x", "y")
    source.put(2, "b", "second")
    result = load(subject, source.full(10))
    assert read(subject) == {"a": Item("first", ("x", "y")), "b": Item("second")}
    assert (result.applied, result.sequence) == (True, 1)
    assert (result.items, result.rows_in, result.upserted, result.deleted, result.stale) == (2, 2, 2, 0, 0)
    assert result.rows == result.table_rows == {"orders": 2, "orders__lines": 2}


@pytest.mark.alike
def test_a_later_full_export_replaces_all(subject: Subject, source: Source) -> None:
    source.put(1, "a", "old", "x", "y")
    source.put(2, "b", "gone later", "z")
    load(subject, source.full(10))
    source.put(11, "a", "new")
    source.delete(12, "b")
    source.put(13, "c", "added", "w")
    load(subject, source.full(20))
    assert read(subject) == {"a": Item("new"), "c": Item("added", ("w",))}


def test_an_export_is_applied_once(subject: Subject, source: Source) -> None:
    source.put(1, "a", "first", "x")
    export = source.full(10)
    first = load(subject, export)
    again = load(subject, export)
    assert not again.applied
    assert (again.sequence, again.upserted, again.rows, again.table_rows, again.loaded_at) == (
        first.sequence,
        first.upserted,
        first.rows,
        first.table_rows,
        first.loaded_at,
    )
    assert loads(subject) == 1


def test_force_and_a_new_digest_load_again_and_keep_the_history(subject: Subject, source: Source) -> None:
    source.put(1, "a", "first", "x")
    export = source.full(10)
    changed = export.model_copy(update={"digest": "d2"})
    done = [load(subject, export), load(subject, export, force=True), load(subject, changed)]
    assert not load(subject, changed).applied
    done.append(load(subject, export))  # its newest load has another digest
    assert [(one.applied, one.sequence, one.upserted, one.stale) for one in done] == [
        (True, 1, 1, 0),
        (True, 2, 1, 0),
        (True, 3, 1, 0),
        (True, 4, 1, 0),
    ]
    assert loads(subject) == 4
    assert read(subject) == {"a": Item("first", ("x",))}


def test_every_type_arrives_exactly(subject: Subject, tmp_path: Path) -> None:
    values: dict[str, tuple[str, object]] = {
        "whole": ("BIGINT", 9223372036854775807),
        "exact": ("DECIMAL(38,0)", Decimal("12345678901234567890123456789012345678")),
        "small": ("DECIMAL(38,37)", Decimal("-1.2345678901234567890123456789012345678")),
        "float": ("DOUBLE PRECISION", 0.1),
        "text": ("VARCHAR(65535)", "O'Brien \n\t\\ } \" 'x' % ? $1 ; -- \U0001f600"),
        "bytes": ("VARBYTE(64)", b"\x00\xff'"),
        "truth": ("BOOLEAN", False),
        "json": ("SUPER", '{"n":1.10,"big":12345678901234567890123456789012345678,"s":"O\'B","l":["1E+125",null]}'),
        "when": ("TIMESTAMP", datetime(2024, 2, 29, 23, 59, 59, 999999, tzinfo=UTC).replace(tzinfo=None)),
        "day": ("DATE", date(1, 1, 1)),
        "zoned": ("TIMESTAMPTZ", datetime(2024, 2, 29, 23, 59, 59, 999999, tzinfo=UTC)),
    }
    columns = [Column(name=n, path=(n,), type=t) for n, (t, _) in values.items()]
    rows: list[Row] = [{"order_id": "a", **{n: v for n, (_, v) in values.items()}}, {"order_id": "b"}]
    load(subject, full(tmp_path, rows, *columns))
    names = [name for name in values if name != "json"]
    found = sorted(subject.rows("orders", "order_id", "json", *names), key=lambda row: str(row[0]))
    assert found[0][2:] == tuple(values[name][1] for name in names)
    assert [type(value) for value in found[0][2:]] == [type(values[name][1]) for name in names]
    assert exactly(found[0][1]) == exactly(values["json"][1])
    assert found[1] == ("b", *(None for _ in values))
    kinds = subject.warehouse.columns(["orders"])["orders"]
    assert {name: str(kinds[name]) for name in ("json", "exact")} == {"json": "SUPER", "exact": "DECIMAL(38,0)"}


def exactly(text: Any) -> Any:
    """A document with its numbers as texts."""
    return json.loads(text, parse_float=Decimal, parse_int=Decimal)


HOSTILE = ["O'Brien", "'; drop table x; --", 'x"y', "a b", " ", "%s %% ?", "select", "*", "\\", "😀" * 100]


def test_hostile_names_and_keys_are_data(subject: Subject, tmp_path: Path) -> None:
    names = [name.lower() for name in HOSTILE if len(name) < 50]  # Redshift folds names to lower case
    columns = tuple(Column(name=name, path=(name,), type="VARCHAR(512)") for name in names)
    key = KEY.model_copy(update={"name": 'k"ey?', "type": "VARCHAR(512)"})
    root = relation("or\"ders'; drop table x; --", (key, *columns, VERSION, EXTRA))
    rows: list[Row] = [{'k"ey?': k, "_ddb_version": BASE_MICROS + 9, **{c.name: k for c in columns}} for k in HOSTILE]
    load(subject, report([write(tmp_path / "it's [*]?", root, rows)], export_time=at(9)))
    flag = relation(root.name, (*root.columns[:-1], DELETED, EXTRA))
    gone: list[Row] = [{'k"ey?': k, "_ddb_version": BASE_MICROS + 20, "_ddb_deleted": True} for k in HOSTILE[1:]]
    window = report([write(tmp_path / "w", flag, gone)], window=(at(9), at(30)), deletes=len(gone))
    result = load(subject, window)
    assert (result.deleted, result.table_rows) == (len(HOSTILE) - 1, {root.name: 1})
    assert subject.rows(root.name, 'k"ey?', 'x"y') == [("O'Brien", "O'Brien")]


def test_an_empty_export_is_loaded_too(subject: Subject, source: Source) -> None:
    result = load(subject, source.full(10))
    assert (result.applied, result.rows_in, read(subject)) == (True, 0, {})


@pytest.mark.parametrize("soft_delete", SOFT_DELETE)
def test_a_table_in_which_nobody_has_seen_an_item_has_no_key_yet(
    subject: Subject, source: Source, soft_delete: bool
) -> None:
    empty = relation("orders", (VERSION, EXTRA))
    flagged = relation("orders", (VERSION, DELETED, EXTRA))
    load(subject, report([empty], export_time=at(10)), soft_delete=soft_delete)
    load(subject, report([flagged], window=(at(10), at(20))), soft_delete=soft_delete)
    load(subject, report([empty], export_time=at(20)), soft_delete=soft_delete)
    load(subject, report([empty], export_time=at(15), export_id="older"), soft_delete=soft_delete)
    source.put(21, "a", "first", "x")
    load(subject, source.window(20, 30), soft_delete=soft_delete)
    assert read(subject) == {"a": Item("first", ("x",))}
    rows = write(source.folder / "keyless", empty, [{"_ddb_version": BASE_MICROS + 40}])
    with pytest.raises(LoadError, match="has rows but no key columns"):
        load(subject, report([rows], export_time=at(40)), soft_delete=soft_delete)


def test_a_relation_may_have_many_parts_or_none(subject: Subject, tmp_path: Path) -> None:
    load(subject, full(tmp_path, [{"order_id": str(n)} for n in range(10)], parts=4))
    assert sorted(subject.rows("orders", "order_id")) == [(str(n),) for n in range(10)]
    nothing = report([relation("orders", (KEY, VERSION, EXTRA))], export_time=at(200))
    assert load(subject, nothing).table_rows == {"orders": 0}


def note(kind: str) -> Column:
    return Column(name="note", path=("note",), type=kind)


def test_columns_are_added_and_widened_and_keep_their_values(subject: Subject, tmp_path: Path) -> None:
    """Values of windows survive a later DDL step. Values of another type are the same in the wider type."""
    load(subject, full(tmp_path, [], note("BIGINT"), time=1))

    def window(start: int, kind: str, key: str, value: object, *more: Column) -> None:
        root = relation("orders", (KEY, note(kind), *more, VERSION, DELETED, EXTRA))
        row = {"order_id": key, "note": value, "_ddb_version": BASE_MICROS + start, "_ddb_deleted": False}
        made = write(tmp_path / key, root, [row | {c.name: "new" for c in more}])
        load(subject, report([made], window=(at(start), at(start + 5))))

    window(10, "BIGINT", "a", -5)
    window(20, "DECIMAL(38,2)", "b", Decimal("5.50"))
    window(30, "BIGINT", "c", 7)  # flattened before the column was widened, loaded late
    assert sorted(subject.rows("orders", "order_id", "note")) == [
        ("a", Decimal("-5.00")),
        ("b", Decimal("5.50")),
        ("c", Decimal("7.00")),
    ]
    assert str(subject.warehouse.columns(["orders"])["orders"]["note"]) == "DECIMAL(38,2)"
    window(40, "VARCHAR(16)", "d", "1E+125", Column(name="added", path=("added",), type="VARCHAR(16)"))
    window(50, "DECIMAL(38,2)", "e", Decimal("100.00"))
    window(60, "VARCHAR(64)", "f", "x" * 64)
    assert sorted(subject.rows("orders", "order_id", "note", "added")) == [
        ("a", "-5", None),
        ("b", "5.5", None),
        ("c", "7", None),
        ("d", "1E+125", "new"),
        ("e", "100", None),
        ("f", "x" * 64, None),
    ]


@pytest.mark.needs("other keys")
def test_a_key_that_is_widened_still_meets_its_rows(subject: Subject, tmp_path: Path) -> None:
    def number(kind: str) -> Column:
        return Column(name="n", path=("n",), type=kind, role="key")

    def window(start: int, kind: str, key: object, deleted: bool = False) -> None:
        root = relation("orders", (number(kind), VERSION, DELETED, EXTRA))
        row = {"n": key, "_ddb_version": BASE_MICROS + start, "_ddb_deleted": deleted}
        made = report(
            [write(tmp_path / str(start), root, [row])], window=(at(start), at(start + 5)), deletes=int(deleted)
        )
        load(subject, made)

    first = write(tmp_path / "full", relation("orders", (number("BIGINT"), VERSION, EXTRA)), [])
    load(subject, report([first], export_time=at(1)))
    window(10, "BIGINT", 5)
    window(20, "DECIMAL(38,2)", Decimal("5.00"))
    window(30, "BIGINT", 6, deleted=True)
    window(40, "VARCHAR(64)", "5")
    window(25, "VARCHAR(64)", "6")  # older than its tombstone, whose key was written as a BIGINT
    assert subject.rows("orders", "n", "_ddb_version") == [("5", BASE_MICROS + 40)]


def test_a_type_that_would_lose_values_is_refused(subject: Subject, tmp_path: Path) -> None:
    load(subject, full(tmp_path, [{"order_id": "a", "note": True}], note("BOOLEAN"), time=1))
    with pytest.raises(LoadError, match=r"column 'note' of .*orders.* is BOOLEAN, the export has BIGINT"):
        load(subject, full(tmp_path, [{"order_id": "a", "note": 1}], note("BIGINT"), time=2))
    assert subject.rows("orders", "note") == [(True,)]


@pytest.mark.parametrize(
    ("kind", "value"),
    [("BOOLEAN", True), ("VARBYTE(64)", b"\x01"), ("SUPER", '[1,"a"]'), ("TIMESTAMP", WHEN)],
)
def test_a_column_of_nothing_but_null_takes_the_type_of_its_first_value(
    subject: Subject, tmp_path: Path, kind: str, value: object
) -> None:
    """Also when an export that was flattened before that value is loaded after it."""
    empty = Column(name="note", path=("note",), type="VARCHAR(16)", empty=True)
    load(subject, full(tmp_path / "a", [{"order_id": "a"}], empty, time=1))

    def window(start: int, column: Column, key: str, value: object) -> None:
        root = relation("orders", (KEY, column, VERSION, DELETED, EXTRA))
        row = {"order_id": key, "note": value, "_ddb_version": BASE_MICROS + start, "_ddb_deleted": False}
        load(subject, report([write(tmp_path / key, root, [row])], window=(at(start), at(start + 10))))

    window(10, note(kind), "b", value)
    window(20, empty, "c", None)
    assert subject.warehouse.columns(["orders"])["orders"]["note"].name == kind.split("(")[0]
    assert sorted((key, value is None) for key, value in subject.rows("orders", "order_id", "note")) == [
        ("a", True),
        ("b", False),
        ("c", True),
    ]


def edited(made: Report, **changes: object) -> Report:
    return made.model_copy(update=changes)


def with_root(made: Report, **changes: object) -> Report:
    return edited(made, relations=(made.root.model_copy(update=changes), *made.children))


def part_changed(made: Report, **changes: object) -> Report:
    return with_root(made, parts=(made.root.parts[0].model_copy(update=changes),))


def columns_swapped(made: Report) -> Report:
    key, note_, *rest = made.root.columns
    return with_root(made, columns=(note_, key, *rest))


def retyped(made: Report, kind: str) -> Report:
    key, note_, *rest = made.root.columns
    return with_root(made, columns=(key, note_.model_copy(update={"type": kind}), *rest))


REFUSED: dict[str, Callable[[Report], Report]] = {
    "2 items in its manifest, but 1 rows": lambda made: edited(made, items_in_manifest=2),
    "in the report and 1 in its parts": lambda made: edited(made, rows={"orders": 9, "orders__lines": 1}),
    "rows in its schema": lambda made: edited(with_root(made, rows=2), rows={"orders": 2}, items_in_manifest=2),
    "bytes, the report says 1": lambda made: part_changed(made, bytes=1),
    "there is no file": lambda made: part_changed(made, uri=made.root.parts[0].uri + ".none"),
    "has the columns order_id(, note| string, note)": columns_swapped,
    "column 'note' of part .* (is VARCHAR, 'orders' has|not fit 'orders', where it is) BIGINT|note string": lambda made: (
        retyped(made, "BIGINT")
    ),
    "'TEXT\\); DROP' is not a column type": lambda made: retyped(made, "TEXT); DROP"),
    "another _ddb_version than the export's time": lambda made: edited(made, export_time=at(11)),
    "it must be a time with a zone": lambda made: edited(made, export_time=at(1).replace(tzinfo=None)),
    "name of the bookkeeping": lambda made: edited(
        with_root(made, name="_ddb_loads"), rows={"_ddb_loads": 1, "orders__lines": 1}
    ),
    "lacks a delete flag": lambda made: edited(made, export_type="INCREMENTAL_EXPORT", from_time=at(1), to_time=at(2)),
}


@pytest.mark.parametrize("message", REFUSED)
def test_an_export_that_does_not_add_up_changes_nothing(subject: Subject, source: Source, message: str) -> None:
    source.put(1, "a", "kept", "x")
    load(subject, source.full(5))
    source.put(6, "a", "new", "y")
    broken = REFUSED[message](source.full(10))
    with pytest.raises(Exception, match=message) as caught:
        load(subject, broken)
    assert type(caught.value).__module__.startswith("ddb_assets.")
    assert read(subject) == {"a": Item("kept", ("x",))}
    assert loads(subject) == 1
    assert subject.staged() == []


def test_no_staging_is_left_behind(subject: Subject, source: Source) -> None:
    load(subject, source.full(10))
    load(subject, source.window(10, 20))
    assert subject.staged() == []


@pytest.mark.parametrize(
    ("rows", "lines", "message"),
    [
        ([("a", 5), ("a", 6)], [], "more than one row with order_id='a'"),
        ([("a", 5), (None, 6)], [], "1 rows of 'orders' lack a value in order_id|part .* cannot be read"),
        ([("a", 5)], [("a", 0, 5), ("a", 0, 5)], "more than one row with order_id='a', _ddb_index=0"),
        ([("a", 5)], [("b", 0, 5)], "1 rows of 'orders__lines' have no item"),
        ([("a", 5)], [("a", 0, 4)], "1 rows of 'orders__lines' have no item of 'orders' at their version"),
    ],
)
def test_rows_that_contradict_each_other_are_refused(
    subject: Subject, source: Source, tmp_path: Path, rows: Any, lines: Any, message: str
) -> None:
    load(subject, source.full(1))
    window = source.window(1, 9)
    root, child = window.relations
    root = write(
        tmp_path / "r", root, [{"order_id": k, "_ddb_version": BASE_MICROS + v, "_ddb_deleted": False} for k, v in rows]
    )
    child = write(
        tmp_path / "c", child, [{"order_id": k, "_ddb_index": i, "_ddb_version": BASE_MICROS + v} for k, i, v in lines]
    )
    with pytest.raises(LoadError, match=message):
        load(subject, report([root, child], window=(at(1), at(9))))
    assert read(subject) == {}


@pytest.mark.alike
def test_deletes_must_be_as_many_as_reported(subject: Subject, source: Source) -> None:
    source.put(1, "a", "x")
    load(subject, source.full(2))
    source.delete(3, "a")
    with pytest.raises(LoadError, match="1 deletes of 'orders' were staged, the report has 0"):
        load(subject, edited(source.window(2, 9), deletes=0))


@pytest.mark.parametrize(("place", "length"), [(0.5, 200), (0.98, 200), (0.5, 1)])
def test_a_damaged_part_is_named(subject: Subject, tmp_path: Path, place: float, length: int) -> None:
    """Also one changed byte, which a Parquet reader reads as another value."""
    load(subject, full(tmp_path, [{"order_id": "kept"}], time=1))
    made = full(tmp_path, [{"order_id": f"{n:x}" * 7} for n in range(20_000)], time=2)
    path = Path(made.root.parts[0].uri)
    data = bytearray(path.read_bytes())
    start = int(len(data) * place)
    for place_ in range(start, min(start + length, len(data))):
        data[place_] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(LoadError, match=f"part {path} is damaged, its MD5 is not that of the report"):
        load(subject, made)
    assert subject.rows("orders", "order_id") == [("kept",)]


@pytest.mark.alike
def test_two_tables_with_one_name_are_told_apart(subject: Subject, source: Source) -> None:
    source.put(1, "a", "x")
    load(subject, source.full(10))
    source.put(11, "b", "y")
    other = source.full(20, table_arn="arn:aws:dynamodb:eu-west-1:123456789012:table/Other")
    for restart in (False, True):
        with pytest.raises(LoadError, match=r"give one of the two tables another name or schema$"):
            load(subject, other, restart=restart)
    assert set(read(subject)) == {"a"}


def test_a_dropped_table_is_not_taken_for_loaded(subject: Subject, source: Source) -> None:
    export = source.full(10)
    load(subject, export)
    subject.run("DROP TABLE orders")
    with pytest.raises(
        LoadError, match=r"is gone, but its ledger says that it was loaded 1 times|has been dropped since"
    ):
        load(subject, export)
    assert load(subject, export, restart=True).applied


@pytest.mark.alike
def test_a_list_that_is_no_child_table_any_more_leaves_no_old_rows(subject: Subject, source: Source) -> None:
    source.put(1, "a", "x", "l")
    source.put(1, "b", "y", "m")
    load(subject, source.full(10))
    source.put(11, "a", "z")

    def without_child(made: Report) -> Report:
        root: Relation = made.root
        return edited(made, relations=(root,), rows={root.name: root.rows})

    load(subject, without_child(source.window(10, 20)))
    assert read(subject) == {"a": Item("z"), "b": Item("y", ("m",))}
    load(subject, without_child(source.full(30)))
    assert read(subject) == {"a": Item("z"), "b": Item("y")}
