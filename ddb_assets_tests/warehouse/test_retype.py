"""A contract declares numbers where a stray text came first. The column in the warehouse becomes a column of numbers."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest

from ddb_assets.contract.key_schema import KeySchema
from ddb_assets.contract.report import Column, Report
from ddb_assets.contract.table import Table
from ddb_assets.exports.manifest import read_export
from ddb_assets.flatten.flatten import flatten
from ddb_assets.flatten.schema_store import SchemaStore
from ddb_assets.flatten.super_value import extra_path
from ddb_assets.warehouse.errors import LoadError
from ddb_assets.warehouse.sql.statements import Statement
from ddb_assets_tests.flatten.flattening import STORAGE
from ddb_assets_tests.flatten.test_incremental import change
from ddb_assets_tests.support.engines import AnyEngine, select
from ddb_assets_tests.support.loading import load
from ddb_assets_tests.support.written_export import alter_summary, write_export
from ddb_assets_tests.warehouse.exports import BASE_MICROS, DELETED, EXTRA, KEY, VERSION, at, relation, report, write

LONG = "123456789012345678901234567890123456.78"  # 38 digits
ROWS: dict[str, tuple[str | None, str | None]] = {  # the text and _ddb_extra before the contract declares DECIMAL(38,2)
    "stray": ("n/a", None),
    "quoted": ('say "no\\\n\t', None),
    "beside": ("n/a", '{"other":[1.10,"a}b"],"z":1}'),
    "text": ("12.50", None),
    "short": ("12.5", None),
    "zeros": ("007", None),
    "minus": ("-0", None),
    "long text": (LONG, None),
    "number": (None, '{"amount":12.5}'),
    "long": (None, '{"amount":' + LONG + "}"),
    "with others": (None, '{"aa":"x, \\"amount\\":5","amount":-7,"z":1}'),
    "inside": (None, '{"z":{"amount":5}}'),
    "in a text": (None, '{"z":"\\"amount\\":5,"}'),
    "another": (None, '{"my amount":5}'),
    "other text": (None, '{"amount":"12.5"}'),
    "too fine": (None, '{"amount":1.234}'),
    "nothing": (None, None),
}
EXPECTED: dict[str, str | None] = {
    "text": "12.50",
    "short": "12.50",
    "zeros": None,
    "minus": "0.00",
    "long text": LONG,
    "number": "12.50",
    "long": LONG,
    "with others": "-7.00",
}
KEPT = {
    "stray": {"amount": "n/a"},
    "quoted": {"amount": 'say "no\\\n\t'},
    "beside": {"amount": "n/a", "other": [Decimal("1.10"), "a}b"], "z": 1},
    "short": {"amount": "12.5"},
    "zeros": {"amount": "007"},
    "minus": {"amount": "-0"},
}


def amount(kind: str, **more: Any) -> Column:
    return Column(name="amount", path=("amount",), type=kind, **more)


def texts(folder: Path, rows: dict[str, tuple[str | None, str | None]]) -> Report:
    made = relation("orders", (KEY, amount("VARCHAR(64)"), VERSION, EXTRA))
    filled: list[dict[str, object]] = [
        {"order_id": key, "amount": text, "_ddb_version": BASE_MICROS + 1, "_ddb_extra": extra}
        for key, (text, extra) in rows.items()
    ]
    return report([write(folder / "texts", made, filled)], export_time=at(1))


def numbers(folder: Path, kind: str, value: object) -> Report:
    made = relation("orders", (KEY, amount(kind, declared=True), VERSION, DELETED, EXTRA))
    row = {"order_id": "new", "amount": value, "_ddb_version": BASE_MICROS + 2, "_ddb_deleted": False}
    return report([write(folder / "numbers", made, [row])], window=(at(1), at(3)))


def parsed(text: object) -> Any:
    return None if text is None else json.loads(str(text), parse_float=Decimal)


def test_every_old_value_is_in_the_column_or_in_extra(warehouse: AnyEngine, tmp_path: Path) -> None:
    load(warehouse, texts(tmp_path, ROWS))
    load(warehouse, numbers(tmp_path, "DECIMAL(38,2)", Decimal("1.25")))
    found = {
        key: (value, extra)
        for key, value, extra in select(warehouse, "SELECT order_id, amount, _ddb_extra FROM orders")
    }
    assert found.pop("new") == (Decimal("1.25"), None)
    assert found.keys() == ROWS.keys()
    for key, (value, extra) in found.items():
        wanted = EXPECTED.get(key)
        assert value == (None if wanted is None else Decimal(wanted)), key
        assert parsed(extra) == KEPT.get(key, parsed(ROWS[key][1])), key


def test_whole_numbers(warehouse: AnyEngine, tmp_path: Path) -> None:
    rows = {"a": ("5", None), "b": ("5.0", None), "c": (None, '{"amount":123456789012345678}'), "d": ("9" * 19, None)}
    load(warehouse, texts(tmp_path, rows))
    load(warehouse, numbers(tmp_path, "BIGINT", 7))
    found = select(warehouse, "SELECT order_id, amount FROM orders ORDER BY order_id")
    assert found == [("a", 5), ("b", None), ("c", 123456789012345678), ("d", None), ("new", 7)]
    extra = dict(select(warehouse, "SELECT order_id, _ddb_extra FROM orders"))
    assert (parsed(extra["b"]), parsed(extra["d"])) == ({"amount": "5.0"}, {"amount": "9" * 19})


@pytest.mark.parametrize("row", [("a\x01b", None), ("n/a", '{"amount":5}'), ("n/a", '{"x":"' + "y" * 65_510 + '"}')])
def test_a_text_that_cannot_be_kept_is_a_reason_to_refuse(
    warehouse: AnyEngine, tmp_path: Path, row: tuple[str | None, str | None]
) -> None:
    load(warehouse, texts(tmp_path, {"a": row, "b": ("5", None)}))
    with pytest.raises(LoadError, match=r"declares BIGINT.*take the type out of the contract; or ALTER TABLE"):
        load(warehouse, numbers(tmp_path, "BIGINT", 7))
    assert select(warehouse, "SELECT order_id, amount FROM orders ORDER BY order_id") == [("a", row[0]), ("b", "5")]


def test_what_the_refusal_says_to_do_helps(warehouse: AnyEngine, tmp_path: Path) -> None:
    load(warehouse, texts(tmp_path, {"a": ("a\x01b", None)}))
    made = relation("orders", (KEY, amount("BIGINT", declared=True), VERSION, EXTRA))
    row = {"order_id": "a", "_ddb_version": BASE_MICROS + 5, "_ddb_extra": '{"amount":"a\\u0001b"}'}
    full = report([write(tmp_path / "full", made, [row])], export_time=at(5))
    with pytest.raises(LoadError, match="DROP COLUMN"):
        load(warehouse, full)
    warehouse.execute(Statement('ALTER TABLE "orders" DROP COLUMN "amount"'))
    load(warehouse, full)
    ((value, extra),) = select(warehouse, "SELECT amount, _ddb_extra FROM orders")
    assert (value, parsed(extra)) == (None, {"amount": "a\x01b"})


@pytest.mark.parametrize("name", ["Amount", "it's", 'a"b', "a\\b", "größe", "a.b", "{x}"])
def test_any_name_of_an_attribute(warehouse: AnyEngine, tmp_path: Path, name: str) -> None:
    """Its key in `_ddb_extra` is the path as text, which JSON and SQL escape in different ways."""
    column = amount("VARCHAR(64)").model_copy(update={"path": (name,)})
    key = extra_path(column.path)
    first = relation("orders", (KEY, column, VERSION, EXTRA))
    rows: list[dict[str, object]] = [
        {"order_id": "n", "_ddb_version": BASE_MICROS + 1, "_ddb_extra": orjson.dumps({key: 5}).decode()},
        {"order_id": "t", "amount": "n/a", "_ddb_version": BASE_MICROS + 1},
    ]
    load(warehouse, report([write(tmp_path / "texts", first, rows)], export_time=at(1)))
    window = numbers(tmp_path, "BIGINT", 7)
    columns = tuple(c.model_copy(update={"path": (name,)}) if c.declared else c for c in window.root.columns)
    load(warehouse, window.model_copy(update={"relations": (window.root.model_copy(update={"columns": columns}),)}))
    found = select(warehouse, "SELECT order_id, amount, _ddb_extra FROM orders ORDER BY order_id")
    assert [(k, v, parsed(e)) for k, v, e in found] == [("n", 5, {key: 5}), ("new", 7, None), ("t", None, {key: "n/a"})]


def test_a_type_that_nobody_declares_stays_one_of_texts(warehouse: AnyEngine, tmp_path: Path) -> None:
    load(warehouse, texts(tmp_path, {"a": ("n/a", None)}))
    window = numbers(tmp_path, "BIGINT", 7)
    columns = tuple(c.model_copy(update={"declared": False}) for c in window.root.columns)
    root = window.root.model_copy(update={"columns": columns})
    load(warehouse, window.model_copy(update={"relations": (root,)}))
    assert select(warehouse, "SELECT order_id, amount FROM orders ORDER BY order_id") == [("a", "n/a"), ("new", "7")]


def item(key: str, **attributes: Any) -> dict[str, Any]:
    return {"pk": {"S": key}, **attributes}


def test_from_the_items_on(warehouse: AnyEngine, tmp_path: Path) -> None:
    """A stray text in the first export, with numbers beside it. Then the YAML that the commands propose, and a window."""
    stray, odd = {"S": "n/a"}, {"L": [{"S": "free"}, {"S": "gift"}, {"N": "3"}]}
    items = [item("stray", amount=stray, lines=odd), item("stray too", amount=stray)]
    exact = "123456789012345678901234567890123456.78"
    first = exported(tmp_path, [*items, item("number", amount={"N": "12.5"}), item("long", amount={"N": exact})])
    # an export of texts and two numbers makes a column of texts, and the numbers go to _ddb_extra
    load(warehouse, first)
    assert dict(select(warehouse, "SELECT pk, amount FROM orders")) == {
        "stray": "n/a",
        "stray too": "n/a",
        "number": None,
        "long": None,
    }
    columns = {"amount": {"type": "DECIMAL(38,2)"}, "lines[]": {"type": "BIGINT"}}
    new = change("new", NewImage={"amount": {"N": "3.25"}, "lines": {"L": [{"N": "4"}]}})
    window = exported(tmp_path, [new], incremental=True, columns=columns)
    assert {c.name for r in window.relations for c in r.columns if c.declared} == {"amount", "value"}
    load(warehouse, window)
    assert dict(select(warehouse, "SELECT pk, amount FROM orders")) == {
        "stray": None,
        "stray too": None,
        "number": Decimal("12.50"),
        "long": Decimal(exact),
        "new": Decimal("3.25"),
    }
    extra = dict(select(warehouse, "SELECT pk, _ddb_extra FROM orders"))
    assert {key: parsed(text) for key, text in extra.items() if key.startswith("stray")} == {
        "stray": {"amount": "n/a"},
        "stray too": {"amount": "n/a"},
    }
    lines = select(warehouse, 'SELECT pk, "value", _ddb_extra FROM "orders__lines" ORDER BY pk, _ddb_index')
    assert [(key, value, parsed(text)) for key, value, text in lines] == [
        ("new", 4, None),
        ("stray", None, {"$value": "free"}),
        ("stray", None, {"$value": "gift"}),
        ("stray", 3, {"$value": 3}),
    ]


def exported(folder: Path, lines: list[dict[str, Any]], *, incremental: bool = False, **contract: Any) -> Report:
    """The report of an export of these items or changes. The time of a full export is the beginning of the window."""
    export_id = f"0169509721800{int(incremental)}-d6299cbd"
    written = write_export(
        STORAGE,
        str(folder / "bucket"),
        lines=[[json.dumps(line if incremental else {"Item": line}, separators=(",", ":")).encode() for line in lines]],
        incremental=incremental,
        export_id=export_id,
    )
    if not incremental:
        alter_summary(STORAGE, written, exportTime="2023-09-18T17:00:00.000Z")
    return flatten(
        STORAGE,
        read_export(STORAGE, written),
        table=Table.model_validate({"table": "Orders", "nested": {"lines": "child"}, **contract}),
        key=KeySchema(partition_key="pk"),
        out=str(folder / f"out{incremental}"),
        schemas=SchemaStore(STORAGE, str(folder / "schemas")),
    ).report
