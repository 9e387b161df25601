"""Every statement that the project can send to Redshift is parsed by two independent parsers of Redshift's SQL.

The statements are collected while loads of every kind run on the emulator. Every place in the code that makes a
statement must be reached, so a new one has to be reached here too.
"""

import ast
import logging
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import sqlglot
from sqlfluff.core import FluffConfig, Linter
from sqlglot import exp

import ddb_assets
from ddb_assets.aws.clients import AWS
from ddb_assets.aws.storage import Storage
from ddb_assets.cli.sandbox import environment
from ddb_assets.contract.column_type import SqlType
from ddb_assets.contract.history import HistoryOptions
from ddb_assets.contract.report import Column, Hidden, Report
from ddb_assets.contract.warehouse_options import WarehouseOptions
from ddb_assets.sandbox.redshift.server import RedshiftServer
from ddb_assets.sandbox.server import Sandbox
from ddb_assets.streams.position import BEGINNING_OF_STREAM, Gap, Position
from ddb_assets.warehouse.connect import open_warehouse
from ddb_assets.warehouse.errors import LoadError
from ddb_assets.warehouse.position import Moved
from ddb_assets.warehouse.protocol import LoadOptions
from ddb_assets.warehouse.redshift.cold import iceberg_tables
from ddb_assets.warehouse.redshift.connection import RedshiftEngine
from ddb_assets.warehouse.redshift.settings import PASSWORD
from ddb_assets.warehouse.sql import ddl, evolution
from ddb_assets.warehouse.sql.engine import Layout
from ddb_assets.warehouse.sql.inspection import inspect
from ddb_assets.warehouse.sql.ledger import loads
from ddb_assets.warehouse.sql.statements import Statement, TableName
from ddb_assets.warehouse.sql.warehouse import SqlWarehouse
from ddb_assets_tests.live.shop import Shop
from ddb_assets_tests.support.engines import to_redshift, wipe
from ddb_assets_tests.support.examples import SOAK
from ddb_assets_tests.support.loading import load
from ddb_assets_tests.warehouse.cold_store import BUCKET, AgedSource, ColdStore
from ddb_assets_tests.warehouse.exports import (
    BASE_MICROS,
    DELETED,
    EXTRA,
    KEY,
    VERSION,
    Item,
    Source,
    at,
    relation,
    write,
)
from ddb_assets_tests.warehouse.exports import report as reported

PACKAGE = Path(ddb_assets.__file__).parent
NOT_FOR_REDSHIFT = {
    "warehouse/duckdb.py",  # only for DuckDB: catalog, Parquet, transactions
    "cli/demo_outcome.py",  # a query for people, which the demo runs on either warehouse
}


@dataclass
class Collected:
    """The texts of statements that were made or sent, and the places (file, line) in the package that made them."""

    texts: set[str] = field(default_factory=set)
    places: set[tuple[str, int]] = field(default_factory=set)


def places() -> Iterator[tuple[str, int, int]]:
    """File, first and last line of everything in the package that makes a statement for Redshift."""
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        if name in NOT_FOR_REDSHIFT or name.startswith(("sandbox/", "infrastructure/")):  # IAM has statements too
            continue
        text = path.read_text()
        for node in ast.walk(ast.parse(text)) if "Statement(" in text else ():
            if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "Statement":
                yield name, node.lineno, node.end_lineno or node.lineno


def column(name: str, kind: str, **more: Any) -> Column:
    return Column(name=name, path=(name,), type=kind, **more)


def items(folder: Path, time: int, columns: list[Column], *rows: dict[str, object], key: Column = KEY) -> Report:
    """A full export of one relation. A row is its key and its other columns."""
    made = relation("orders", (key, *columns, VERSION, EXTRA))
    filled = [{"_ddb_version": BASE_MICROS + time, **row} for row in rows]
    return reported([write(folder, made, filled)], export_time=at(time))


def windows_of_orders(warehouse: RedshiftEngine, folder: Path) -> None:
    """An initial load, windows with deletes, repeated and late windows, a new initial load. Tombstones are pruned.

    A window that ends within another one is refused.
    """
    source = Source(folder)
    for time in range(1, 60, 3):
        source.put(time, f"k{time % 5}", f"at {time}", *"xyz"[: time % 4])
        source.delete(time + 1, f"k{(time + 2) % 5}")
    initial_load = source.full(10)
    for export in (
        initial_load,
        source.window(20, 30),
        source.window(10, 20),
        initial_load,
        source.full(35, export_id="new"),
    ):
        load(warehouse, export)
    load(warehouse, source.window(35, 50), tombstone_retention=at(12) - at(0))
    load(warehouse, source.window(35, 50, digest="d2"))
    with pytest.raises(LoadError):
        load(warehouse, source.window(35, 40))
    masked = Hidden(path="note", how="sha256", columns={"orders": ("_ddb_extra", "note")})
    for how in ("sha256", "hmac"):  # the second time something is noted already
        hides = masked.model_copy(update={"how": how})
        load(warehouse, source.window(50, 60, digest=how).model_copy(update={"hidden": (hides,)}))
    for export in (source.window(35, 50), initial_load):
        inspect(warehouse, warehouse.default_schema, export)


def kept_rows(warehouse: RedshiftEngine, folder: Path) -> None:
    """The same with soft delete, a late initial load, and one that is loaded twice. At the end there is no soft delete."""
    source = Source(folder)
    for time in range(1, 60, 3):
        source.put(time, f"k{time % 5}", f"at {time}", *"xyz"[: time % 4])
        source.delete(time + 1, f"k{(time + 2) % 5}")
    options = WarehouseOptions(views="shown")
    late = source.full(5, export_id="late")
    for export in (source.full(20), source.window(20, 30), source.full(40), source.window(10, 20), late):
        load(warehouse, export, soft_delete=True, tables=options)
    load(warehouse, late, soft_delete=True, force=True, tables=options)
    load(warehouse, source.window(40, 50), tables=options)


def columns_that_grow(warehouse: RedshiftEngine, folder: Path) -> None:
    """Columns are added, lengthened, widened, and replaced while empty. Distribution and sort keys are among them."""
    number = column("number", "BIGINT", role="key")
    first = [column("text", "VARCHAR(8)"), column("n", "BIGINT"), column("none", "VARCHAR(1)")]
    then = [
        column("text", "VARCHAR(20)"),
        column("n", "DECIMAL(12,2)"),
        column("none", "DATE"),
        column("new", "SUPER"),
        column("flag", "BOOLEAN"),
    ]
    options = WarehouseOptions(sortkey=("number", "n"), encode={"text": "zstd", "flag": "raw"}, views="shown")
    load(warehouse, items(folder / "1", 1, first, {"number": 1, "text": "a", "n": 1}, key=number), tables=options)
    wider = column("number", "DECIMAL(20,1)", role="key")
    load(
        warehouse,
        items(folder / "2", 2, then, {"number": Decimal("1.5"), "text": "b" * 20}, key=wider),
        tables=options,
    )
    for change in ("ALTER DISTSTYLE AUTO", "ALTER SORTKEY AUTO"):  # from now on Redshift chooses the keys
        warehouse.execute(Statement(f"ALTER TABLE orders {change}"))
    texts = column("number", "VARCHAR(16)", role="key")
    load(warehouse, items(folder / "3", 3, then, {"number": "x", "text": "b"}, key=texts), tables=options)


def declared_numbers(warehouse: RedshiftEngine, folder: Path) -> None:
    """A column of texts becomes a column of numbers, as the contract declares."""
    load(warehouse, items(folder / "1", 1, [column("n", "VARCHAR(8)")], {"order_id": "a", "n": "n/a"}))
    number = column("n", "DECIMAL(12,2)", declared=True)
    load(warehouse, items(folder / "2", 2, [number], {"order_id": "a", "n": Decimal("1.5")}))


def long_documents(warehouse: RedshiftEngine, folder: Path) -> None:
    """JSON that fits no VARCHAR goes through VARBYTE."""
    document = '{"a": ["' + "x" * 50_000 + '", "' + "y" * 50_000 + '"]}'
    load(warehouse, items(folder / "1", 1, [column("payload", "SUPER")], {"order_id": "a", "payload": document}))


def refused(warehouse: RedshiftEngine, folder: Path) -> None:
    """A value that is too long, so that the load reads the reasons of COPY."""
    with pytest.raises(LoadError):
        load(warehouse, items(folder, 1, [column("text", "VARCHAR(2)")], {"order_id": "a", "text": "xyz"}))


def twice_the_same(warehouse: RedshiftEngine, folder: Path) -> None:
    """A window with two rows of one key, which is rolled back."""
    source = Source(folder)
    source.put(1, "a", "x")
    twice = relation("orders", (KEY, VERSION, DELETED, EXTRA))
    rows = [{"order_id": "a", "_ddb_version": BASE_MICROS + 12, "_ddb_deleted": False}] * 2
    load(warehouse, source.full(10))
    with pytest.raises(LoadError, match="more than one row"):
        load(warehouse, reported([write(folder / "t", twice, rows)], window=(at(10), at(20))))


def started_over(warehouse: RedshiftEngine, folder: Path) -> None:
    """A full export replaces all rows and records of loads."""
    source = Source(folder)
    source.put(1, "a", "x", "y")
    source.put(12, "b", "z")
    load(warehouse, source.full(10))
    load(warehouse, source.window(10, 20))
    load(warehouse, source.full(5), restart=True)


def older_ledger(warehouse: RedshiftEngine, folder: Path) -> None:
    """A ledger from before ledgers said their version is given one."""
    source = Source(folder / "older")
    source.put(5, "a", "first")
    load(warehouse, source.full(10))
    warehouse.execute(Statement("ALTER TABLE _ddb_loads__orders DROP COLUMN ledger_format"))
    load(warehouse, source.full(20))


def shared_ledger(warehouse: RedshiftEngine, folder: Path) -> None:
    """The rows of the shared ledger are moved. Then a view is replaced by another one."""
    load(warehouse, items(folder / "1", 1, [], {"order_id": "a"}))
    for text in ("DROP VIEW _ddb_loads", "ALTER TABLE _ddb_loads__orders RENAME TO _ddb_loads"):
        warehouse.execute(Statement(text))
    warehouse.execute(Statement("DELETE FROM _ddb_loads WHERE relation IS NULL"))
    load(warehouse, items(folder / "2", 2, [], {"order_id": "a"}))
    warehouse.execute(ddl.drop_view(TableName("public", "_ddb_loads")))


def items_that_cannot_be_read(warehouse: RedshiftEngine, folder: Path) -> None:
    """Unread items in full exports and windows, with and without a key and soft delete, and a late export afterwards."""
    for soft_delete in (False, True):
        source = Source(folder / str(soft_delete))
        source.put(1, "a", "x", "y")
        source.put(1, "b", "x", "y")
        late = source.window(2, 10)
        exports = [source.full(10), source.full(20, unread="a"), source.full(30, unkeyed="a")]
        source.put(31, "a", "x")
        source.put(32, "b", "x")
        for export in (*exports, source.window(30, 40, unread="a"), late):
            load(warehouse, export, soft_delete=soft_delete, max_quarantined=1)
        wipe(warehouse)


def dropped_by_somebody(warehouse: RedshiftEngine, folder: Path) -> None:
    """A dropped column comes back with a full export that replaces every row. The ledger is read."""
    source = Source(folder)
    source.put(1, "a", "x", "y")
    load(warehouse, source.full(10))
    warehouse.execute(Statement("ALTER TABLE public.orders DROP COLUMN note"))
    load(warehouse, source.full(20))
    assert len(loads(warehouse, "public", "orders")) == 2


def tails(warehouse: RedshiftEngine, folder: Path) -> None:
    """A stream fills a tail, with and without soft delete; windows empty it, and a restart does."""
    opened = SqlWarehouse(warehouse)
    for soft_delete in (False, True):
        source = Source(folder / str(soft_delete))
        how = LoadOptions(soft_delete=soft_delete, tables=WarehouseOptions(views="shown"))
        opened.load(source.full(10), how)
        position = BEGINNING_OF_STREAM
        for number, time in enumerate((20, 30), 1):
            landing = source.landing([("a", time, Item("x", ("y",))), ("b", time, None)], (at(10), at(40)), "landing")
            gap = Gap(BASE_MICROS + 10, BASE_MICROS + 20, "expired")
            end = Position({"shard": str(number)}, {"shard": BASE_MICROS + HOURS}, 1, gap)
            opened.load_tail(landing, Moved("s", position, end), how)
            position = end
        opened.move_stream("orders", Moved("s", position, position))
        opened.load(source.window(10, HOURS), how)
        opened.load(source.full(5), LoadOptions(soft_delete=soft_delete, restart=True))
        wipe(warehouse)


def read_by_redshift(shop: Shop) -> None:
    """Redshift reads the stream of a table itself: before and after loads, until records are forgotten, and by an ARN."""
    orders = shop.table(
        name="orders", nested={"lines": "child"}, stream={"name": shop.arn, "tail": "materialized_view"}
    )
    shop.put(orders, "a", v={"S": "x"}, lines={"L": [{"S": "y"}]})
    shop.refresh(orders)
    shop.pass_time(minutes=5)
    begin = shop.now()
    shop.load(orders, begin)
    shop.put(orders, "a", v={"S": "z"})
    shop.refresh(orders)
    with open_warehouse(shop.url) as warehouse:
        assert warehouse.refreshed_to(shop.arn).shards
        warehouse.forget("orders", warehouse.holdings("orders"))


def filled_by_a_stream(warehouse: RedshiftEngine, folder: Path) -> None:
    """Old deletes are forgotten, and what is older than they does not enter."""
    opened = SqlWarehouse(warehouse)
    for soft_delete in (False, True):
        source = Source(folder / str(soft_delete))
        how = LoadOptions(soft_delete=soft_delete, tombstone_retention=timedelta(seconds=1))
        position = BEGINNING_OF_STREAM
        for number in range(1, 4):
            landing = source.landing([("a", 20, Item("x", ("y",))), ("b", 20, None)], (at(10), at(40)), f"{number}")
            moved = Moved("s", position, Position({"shard": str(number)}, {"shard": BASE_MICROS + HOURS}, 1))
            opened.load_stream(landing, moved, how)
            opened.load_stream(landing, moved, how)
            position = moved.end
        opened.load_stream(landing, Moved("s", BEGINNING_OF_STREAM, position), replace(how, restart=True))
        wipe(warehouse)


def a_history(warehouse: RedshiftEngine, folder: Path) -> None:
    """Versions of windows, of a broken chain, of what cannot be read and what is hidden; they start over and are forgotten."""
    opened = SqlWarehouse(warehouse)
    source, other = Source(folder / "source", hashed=True), Source(folder / "other", hashed=True)
    for place, key in enumerate("abcdef"):
        source.put(1, key, "x", "y")
        other.put(1, key, "other")
        for one in (source, other):
            one.put(11 + place, key, "z")
    how = LoadOptions(history=HistoryOptions(), max_quarantined=9, tables=WarehouseOptions(views="shown"))
    for export in (
        source.full(10),
        source.window(10, 20, unread="b"),
        other.window(10, 20, digest="d2"),
        source.full(20),
    ):
        opened.load(export, how)
    masked = Hidden(path="note", how="sha256", columns={"orders": ("_ddb_extra", "note")})
    hides = source.window(20, 30, digest="hides").model_copy(update={"hidden": (masked,)})
    opened.load(hides, how)
    assert len(opened.remembered("orders")) == 4
    short = replace(how, history=HistoryOptions(keep="1 day"))
    for export in (source.window(15, 30), source.window(2 * DAY, 3 * DAY)):
        opened.load(export.model_copy(update={"hidden": (masked,)}), short)
    opened.load(source.full(40), replace(how, restart=True))
    opened.forget("orders", opened.holdings("orders", "shown"), "shown")


def old_rows(store: ColdStore, folder: Path) -> None:
    """Rows become cold, are changed and deleted, come back, and are taken up again after a move that stopped in the middle."""
    source = AgedSource(folder)
    for place, key in enumerate("abc", 1):
        source.put(place, key, f"50{place} first", "x", "y")
    source.put(5, "young", "10 first", "z")
    source.put(6, "long1", "500 with a long line", "short", "wide")
    with store.engine() as engine:
        wipe(engine)
        how = LoadOptions(tables=WarehouseOptions(views="shown"))
        opened = SqlWarehouse(engine)
        opened.load(source.full(10), how)
        store.move(engine, dry_run=True)
        store.move(engine, views="shown")
        source.put(11, "a", "501 second", "z")
        source.delete(12, "b")
        opened.load(source.window(10, 20), how)
        masked = Hidden(path="note", how="sha256", columns={"orders": ("_ddb_extra", "note")})
        with pytest.raises(LoadError):
            opened.load(source.window(20, 30).model_copy(update={"hidden": (masked,)}), how)
        for _ in range(2):  # the second one finds nothing
            store.move(engine, views="shown")
        store.compact(engine, dry_run=True)
        store.compact(engine)
        source.put(31, "c", "503 third", "u")
        opened.rehearse(source.full(40), replace(how, restart=True))
        opened.forget("orders", opened.holdings("orders", "shown"), "shown")


HOURS, DAY = 7_200_000_000, 86_400_000_000

SCENES = (
    tails,
    filled_by_a_stream,
    started_over,
    dropped_by_somebody,
    items_that_cannot_be_read,
    windows_of_orders,
    kept_rows,
    columns_that_grow,
    declared_numbers,
    long_documents,
    refused,
    twice_the_same,
    older_ledger,
    shared_ledger,
    a_history,
)


@pytest.fixture(scope="module")
def collected(
    redshift: RedshiftServer,
    sandbox: Sandbox,
    streaming_redshift: RedshiftServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Collected]:
    found = Collected()
    make = Statement.__init__

    def made(self: Statement, *parts: Any, **more: Any) -> None:
        make(self, *parts, **more)
        frame = sys._getframe(1)
        found.texts.add(self.text)
        path = Path(frame.f_code.co_filename)
        if path.is_relative_to(PACKAGE):
            found.places.add((path.relative_to(PACKAGE).as_posix(), frame.f_lineno))

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(PASSWORD, redshift.password)
        patch.setattr(Statement, "__init__", made)
        patch.setattr("ddb_assets.warehouse.sql.load.RETRIES", (0.0,))
        for scene in SCENES:
            redshift.statements.clear()
            with to_redshift(redshift) as warehouse:
                warehouse.session = "0a1b2c3d"  # one after the other; a text of all scenes is parsed once
                wipe(warehouse)
                scene(warehouse, tmp_path_factory.mktemp(scene.__name__))
            # the driver sends values as $1, the statements have ?
            found.texts |= {text for text in redshift.statements if "$1" not in text}
        for name, value in environment(sandbox).items():
            patch.setenv(name, value)
        patch.setenv(PASSWORD, streaming_redshift.password)
        sandbox.s3().create_bucket(Bucket=BUCKET)
        catalog, folder = f"iceberg://glue/statements?location=s3://{BUCKET}/none", tmp_path_factory.mktemp("iceberg")
        patch.setattr(iceberg_tables, "location_of", lambda _, name: str(folder / name))  # statements say nothing of it
        old_rows(ColdStore(streaming_redshift, catalog, AWS()), tmp_path_factory.mktemp("old_rows"))
        shop = Shop.opened(sandbox, tmp_path_factory.mktemp("shop"))
        read_by_redshift(replace(shop, server=streaming_redshift))
        patch.setenv(PASSWORD, redshift.password)
        with SqlWarehouse(to_redshift(redshift)) as opened:
            list(opened.self_test(Storage(redshift.storage.s3), str(tmp_path_factory.mktemp("self_test"))))
            opened.query("SELECT 1")
        yield found


def test_every_place_that_makes_a_statement_was_reached(collected: Collected) -> None:
    """A statement that no load here sends would never be parsed."""
    missed = [
        f"{name}:{first}"
        for name, first, last in places()
        if not any(file == name and first <= line <= last for file, line in collected.places)
    ]
    assert missed == []


def sent(collected: Collected) -> list[str]:
    """The texts, with NULL for every value, and the queries that UNLOAD has as texts."""
    texts = {text.replace("?", "NULL") for text in collected.texts}
    unloaded = [re.match(r"UNLOAD \('((?:[^']|'')*)'\)", text) for text in texts if text.startswith("UNLOAD")]
    assert unloaded
    assert all(unloaded)
    return sorted(texts | {found[1].replace("''", "'") for found in unloaded if found})


def conversions() -> list[str]:
    """The change of a column's type, for every pair of types that allows it."""
    kinds = ("BIGINT", "DECIMAL(12,2)", "DECIMAL(38,0)", "DOUBLE PRECISION", "BOOLEAN", "VARCHAR(9)", "VARCHAR(65535)")
    more = ("SUPER", "VARBYTE(64)", "TIMESTAMP", "TIMESTAMPTZ", "DATE")
    types = [SqlType.parse(kind) for kind in (*kinds, *more)]
    steps = [
        step
        for present, wanted in product(types, types)
        for step in evolution.steps(TableName("public", "t"), {"c": wanted}, Layout({"c": present}))
    ]
    return sorted({statement.text for step in steps for statement in step.statements})


def test_sqlglot_reads_them_as_redshift(collected: Collected, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, logger="sqlglot")
    for text in sent(collected) + conversions():
        (tree,) = sqlglot.parse(text, read="redshift", error_level=sqlglot.ErrorLevel.RAISE)
        assert tree is not None
        first = text.split()[0]
        assert isinstance(tree, exp.Command) == (first in UNREAD or text.startswith("CREATE EXTERNAL SCHEMA")), text


UNREAD = {"LOCK", "REFRESH", "UNLOAD"}
"""Statements of which sqlglot knows only the first word, like CREATE EXTERNAL SCHEMA: Redshift Database Developer Guide,
"LOCK", "REFRESH MATERIALIZED VIEW", "UNLOAD"."""


def shape(text: str) -> str:
    """The text with one name, one string and one number for all: texts of one shape are parsed alike."""
    for pattern, same in ((r"'[^']*'", "''"), (r'"[^"]*"', '"n"'), (r"\b[0-9]+\b", "1")):
        text = re.sub(pattern, same, text)
    return text


Construct = tuple[object, ...]


def constructs(text: str) -> set[Construct]:
    """What a text consists of: each node of its syntax tree, with its function or type, its parts, and where it stands."""
    tree = sqlglot.parse_one(text, read="redshift")
    if isinstance(tree, exp.Command):
        return {(shape(text),)}
    found = set[Construct]()
    for node in tree.walk():
        kind = node.args.get("kind")
        named = node.name.upper() if isinstance(node, exp.Anonymous | exp.Var) else ""
        what = node.this if isinstance(node, exp.DataType) else kind if isinstance(kind, str) else named
        parts = frozenset(name for name, part in node.args.items() if part)
        found.add((type(node.parent), node.arg_key, type(node), str(what), parts))
    return found


def chosen(texts: list[str]) -> list[str]:
    """Few and short ones of these texts, which together have all constructs."""
    made = {text: constructs(text) for text in texts}
    left, found = set[Construct]().union(*made.values()), list[str]()
    while left:
        found.append(max(made, key=lambda text: len(made[text] & left) / (len(text) + 30)))
        left -= made[found[-1]]
    return found


@pytest.mark.soak
def test_sqlfluff_finds_nothing_that_it_cannot_parse(collected: Collected) -> None:
    """Texts that have every construct, because sqlfluff is slow; in a soak one of each shape."""
    linter = Linter(config=FluffConfig(overrides={"dialect": "redshift"}))
    wrong = {}
    texts = sent(collected) + conversions()
    for text in {shape(text): text for text in texts}.values() if SOAK else chosen(texts):
        parsed = linter.parse_string(text)
        if parsed.violations:
            wrong[text] = str(parsed.violations[0])
    assert wrong == {}


@pytest.mark.parametrize("text", ["SELECT FROM WHERE", "CREATE TABLE t (a INT", "MERGE INTO t USING s"])
def test_both_say_so_when_it_is_not_sql(text: str) -> None:
    with pytest.raises(sqlglot.errors.ParseError):
        sqlglot.parse_one(text, read="redshift")
    assert Linter(config=FluffConfig(overrides={"dialect": "redshift"})).parse_string(text).violations
