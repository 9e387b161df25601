"""docs/parquet.md: every type of Parquet becomes what the page says, as pyarrow and DuckDB read it too."""

import base64
import datetime as dt
import json
import re
import struct
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddb_assets.aws.storage import Storage
from ddb_assets.bulk.rows import Origin, Row, SourceError
from ddb_assets.dynamodb.attribute_value import number_text
from ddb_assets.imports.formats import parquet_rows as parquet_rows_module
from ddb_assets.imports.formats.parquet_rows import parquet_rows
from ddb_assets.imports.import_config import ImportConfig
from ddb_assets.imports.mapping.item_mapping import ItemMapping
from ddb_assets.imports.tables.table_plan import creation_parameters, planned
from ddb_assets.sandbox.server import Sandbox
from ddb_assets_tests.imports.importing import imported, job
from ddb_assets_tests.imports.typed_items import EXAMPLES
from ddb_assets_tests.support.tables import items_of, new_table

NOON = dt.datetime.fromisoformat("2024-02-29T12:30:00")
FAR = dt.datetime.fromisoformat("9999-12-31T00:00:00")
UUID = uuid.UUID("6f9619ff-8b86-d011-b42d-00c04fc964ff")
BYTES = b"\x00\x01\xff"


@dataclass(frozen=True)
class Case:
    """What is written, an Arrow array of one value or SQL of DuckDB, and what pyarrow and DuckDB read."""

    written: Any
    pyarrow: Any
    duckdb: Any = ...


HALF = 0.0999755859375
CASES = {
    "BOOLEAN": Case(pa.array([True]), True),
    "INT32, INT64, INT(8 … 64, signed or not)": Case(pa.array([2**64 - 1], pa.uint64()), 2**64 - 1),
    "FLOAT16": Case(pa.array([0.1], pa.float16()), HALF),
    "FLOAT": Case(pa.array([0.1], pa.float32()), struct.unpack("f", struct.pack("f", 0.1))[0]),
    "DOUBLE": Case(pa.array([0.1]), 0.1),
    "DECIMAL": Case(pa.array([Decimal("12.50")]), Decimal("12.50")),
    "STRING": Case(pa.array(["tea"]), "tea"),
    "JSON": Case("""'{"a": 1}'::json""", '{"a": 1}'),
    "ENUM": Case(pa.array(["tea"]), b"tea", "tea"),
    "BYTE_ARRAY, FIXED_LEN_BYTE_ARRAY": Case(pa.array([BYTES], pa.binary(3)), BYTES),
    "UUID": Case(f"'{UUID}'::uuid", UUID),
    "DATE": Case(pa.array([NOON.date()]), NOON.date()),
    "TIME": Case(pa.array([dt.time(12, 30, 0, 500000)], pa.time64("ns")), dt.time(12, 30, 0, 500000)),
    "TIMESTAMP, local": Case("timestamp_ns '2024-02-29 12:30:00.000000001'", 1709209800000000001, NOON),
    "TIMESTAMP, adjusted to UTC": Case(
        pa.array([NOON], pa.timestamp("s", "Europe/Berlin")), NOON.replace(tzinfo=dt.UTC)
    ),
    "INT96": Case(pa.array([FAR], pa.timestamp("us")), FAR),
    "INT64 that Arrow wrote as duration": Case(
        pa.array([90_500], pa.duration("ms")), dt.timedelta(seconds=90.5), 90_500
    ),
    "INTERVAL": Case(
        "interval '1 month 2 days 3.5 seconds'", struct.pack("<III", 1, 2, 3500), dt.timedelta(32, 3, 500000)
    ),
    "LIST": Case(pa.array([[1, None]]), [1, None]),
    "MAP": Case(pa.array([[]], pa.map_(pa.string(), pa.int64())), [], {}),
    "MAP with bytes as keys": Case(
        pa.array([[(BYTES, 1)]], pa.map_(pa.binary(), pa.int64())), [(BYTES, 1)], {BYTES: 1}
    ),
    "MAP with other keys": Case(
        pa.array([[(NOON.date(), 1)]], pa.map_(pa.date32(), pa.int64())), [(NOON.date(), 1)], {NOON.date(): 1}
    ),
    "group (struct)": Case(
        pa.array([{"a": 1, "b": None}], pa.struct([("a", pa.int64()), ("b", pa.int64())])), {"a": 1, "b": None}
    ),
}


@pytest.fixture(scope="module")
def examples(pytestconfig: pytest.Config) -> dict[str, Any]:
    """The attributes that the page shows, by type."""
    page = (pytestconfig.rootpath / "docs/parquet.md").read_text()
    rows = re.findall(r"^\| (.+?) \| .+? \| `(\{.+\})` \|$", page, re.MULTILINE)
    return {name: json.loads(example) for name, example in rows}


AS_STRING, AS_ENUM = b"\x25\x00\x4c\x1c\x00\x00", b"\x25\x08\x4c\x4c\x00\x00"
"""How a footer annotates a column (converted_type and logicalType in Thrift). No writer at hand writes ENUM."""


def written(case: Case, name: str, path: Path) -> Path:
    if isinstance(case.written, str):
        written_by_duckdb(f"select {case.written} as v", path)
        return path
    own = {"use_deprecated_int96_timestamps": name == "INT96", "store_schema": name != "ENUM"}
    pq.write_table(pa.table({"v": case.written}), path, **own)
    if name == "ENUM":
        path.write_bytes(path.read_bytes().replace(AS_STRING, AS_ENUM))
    return path


def written_by_duckdb(sql: str, path: Path) -> None:
    duckdb.execute(f"copy ({sql}) to '{path}' (format parquet)")


def read(path: Path, nan: Any = "reject") -> list[Any]:
    """The items of a file as a job makes them."""
    mapping = ItemMapping(ImportConfig(), planned(creation_parameters("T", (("pk", "S"),), {})))
    return [mapping.item(row.cells, Origin(str(path), row.number)) for row in parquet_rows(Storage(), str(path), nan)]


def test_the_page_has_every_type(examples: dict[str, Any]) -> None:
    assert examples.keys() == CASES.keys()


@pytest.mark.parametrize("name", CASES)
def test_a_type_is_read_as_pyarrow_and_duckdb_read_it(name: str, examples: dict[str, Any], tmp_path: Path) -> None:
    case = CASES[name]
    path = written(case, name, tmp_path / "a.parquet")
    assert read(path) == [{"v": examples[name]}]
    scalar = pq.read_table(path, coerce_int96_timestamp_unit="us")["v"][0]
    assert (
        scalar.value if isinstance(case.pyarrow, int) and hasattr(scalar, "value") else scalar.as_py()
    ) == case.pyarrow
    [(found,)] = duckdb.execute(f"select v from '{path}'").fetchall()
    assert found == (case.pyarrow if case.duckdb is ... else case.duckdb)


UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


@pytest.mark.parametrize(
    "nest", [lambda array: array, lambda array: pa.array([[v] for v in array], pa.list_(array.type))]
)
@pytest.mark.parametrize("int96", [False, True])
def test_an_instant_is_one_text_whatever_the_unit(tmp_path: Path, nest: Callable[[Any], Any], *, int96: bool) -> None:
    for seconds, text in [(1_700_000_000, "2023-11-14T22:13:20"), (-1, "1969-12-31T23:59:59")]:
        found = set()
        for unit, per_second in UNITS.items():
            path = tmp_path / f"{unit}.parquet"
            array = nest(pa.array([seconds * per_second], pa.timestamp(unit)))
            pq.write_table(pa.table({"v": array}), path, use_deprecated_int96_timestamps=int96)
            found.add(json.dumps(read(path)[0]["v"]))
        assert found == {json.dumps(read_as(array, {"S": text}))}


def read_as(array: Any, value: Any) -> Any:
    return {"L": [value]} if pa.types.is_list(array.type) else value


def test_int96_keeps_nanoseconds_and_far_years(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(
        pa.table({"v": pa.array([1, -1, 1_700_000_000_123_456_789], pa.timestamp("ns"))}),
        path,
        use_deprecated_int96_timestamps=True,
    )
    texts = [item["v"]["S"] for item in read(path)]
    assert texts == ["1970-01-01T00:00:00.000000001", "1969-12-31T23:59:59.999999999", "2023-11-14T22:13:20.123456789"]
    years = [dt.datetime.fromisoformat(day) for day in ("0001-01-01", "1600-02-29", "2262-04-12", "9999-12-31")]
    pq.write_table(
        pa.table({"v": pa.array([[y] for y in years], pa.list_(pa.timestamp("us")))}),
        path,
        use_deprecated_int96_timestamps=True,
    )
    assert [item["v"]["L"][0]["S"] for item in read(path)] == [year.isoformat() for year in years]


REFUSED = {
    "date '10000-01-01'": "10000-01-01 is not in the years",
    "date '0044-03-15 (BC)'": "-43-03-15 is not in the years",
    "timestamp '294000-01-01 01:02:03.5'": "294000-01-01T01:02:03.500000 is not in the years",
    "['infinity'::timestamp]": r"\[0\]: .* is not in the years",
    "{'a': ['infinity'::float]}": r".a\[0\]: Infinity is no number of DynamoDB: say `nan: null` or `nan: string`",
    "'nan'::double": "NaN is no number of DynamoDB",
    "1e126": "out of range",
    "map([1], ['infinity'::date])": "is not in the years",
}


@pytest.mark.parametrize(("sql", "reason"), REFUSED.items())
def test_a_value_that_no_attribute_holds_rejects_its_row_and_no_other(
    sandbox: Sandbox, tmp_path: Path, sql: str, reason: str
) -> None:
    target = new_table(sandbox)
    path = tmp_path / "a.parquet"
    written_by_duckdb(f"select 'a' as pk, {sql} as v union all select 'b', null", path)
    report = job(sandbox.endpoint_url, target, path, folder=tmp_path).run()
    assert (report.rows, report.written, report.rejected) == (2, 1, 1)
    assert re.search(f"^v: {reason}|^v.*{reason}", report.rejects[0].reason)
    assert report.reject_file
    again = job(sandbox.endpoint_url, target, report.reject_file, folder=tmp_path / "again", redrive=True).run()
    assert (again.written, [row.reason for row in again.rejects]) == (0, [report.rejects[0].reason])
    imported(sandbox.endpoint_url, target, path, {"exclude": ["v"]})
    assert {item["pk"]["S"] for item in items_of(sandbox, target)} == {"a", "b"}


def test_two_keys_of_a_map_with_one_text_reject_the_row(sandbox: Sandbox, tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    maps = pa.array([[("x", 1), ("x", 2)], [("x", 1)]], pa.map_(pa.string(), pa.int8()))
    pq.write_table(pa.table({"pk": ["a", "b"], "v": pa.array([[m] for m in maps], pa.list_(maps.type))}), path)
    report = job(sandbox.endpoint_url, new_table(sandbox), path).run()
    assert (report.written, report.rejected) == (1, 1)
    assert report.rejects[0].reason == "v: [0]: the key 'x' stands twice in one map: an attribute has it once"


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (pa.Table.from_arrays([pa.array([1]), pa.array([2])], ["a", "a"]), "two columns have the name 'a'"),
        (
            pa.table({"v": pa.StructArray.from_arrays([pa.array([1]), pa.array([2])], ["x", "x"])}),
            "two columns have the name 'x'",
        ),
        (
            pa.table({"v": pa.array([[([1], 1)]], pa.map_(pa.list_(pa.int8()), pa.int8()))}),
            "an attribute cannot have list<.*> for a name",
        ),
    ],
)
def test_names_that_no_item_can_have_are_refused(tmp_path: Path, table: pa.Table, said: str) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(table, path)
    with pytest.raises(SourceError, match=said):
        read(path)


def test_not_a_number_is_what_the_configuration_says(sandbox: Sandbox, tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    values = pa.array([float("nan"), float("inf"), float("-inf"), 1.5], pa.float32())
    pq.write_table(pa.table({"pk": list("abcd"), "v": values, "l": pa.array([[v] for v in values])}), path)
    found = {}
    for nan in ("null", "string"):
        target = new_table(sandbox)
        imported(sandbox.endpoint_url, target, path, {"nan": nan})
        found[nan] = {item["pk"]["S"]: (item.get("v"), item["l"]["L"][0]) for item in items_of(sandbox, target)}
    number = {"N": "1.5"}
    assert found["null"] == {**dict.fromkeys("abc", (None, {"NULL": True})), "d": (number, number)}
    texts = {"a": "NaN", "b": "Infinity", "c": "-Infinity"}
    assert found["string"] == {**{key: ({"S": t}, {"S": t}) for key, t in texts.items()}, "d": (number, number)}


def test_a_text_that_is_not_utf_8_rejects_its_row(sandbox: Sandbox, tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    bad = pa.Array.from_buffers(pa.string(), 2, pa.array([b"\xff", b"x"], pa.binary()).buffers())
    pq.write_table(pa.table({"pk": ["a", "b"], "v": bad}), path)
    report = job(sandbox.endpoint_url, new_table(sandbox), path).run()
    assert (report.written, [row.reason for row in report.rejects]) == (1, ["v: the text is not UTF-8"])


# -- any types and values --

Pair = tuple[pa.DataType, st.SearchStrategy[Any]]


def whole_numbers(type_: pa.DataType, most: int) -> Pair:
    return type_, st.integers(-most, most)


LEAVES: list[Pair] = [
    (pa.bool_(), st.booleans()),
    (pa.int8(), st.integers(-128, 127)),
    (pa.uint64(), st.integers(0, 2**64 - 1)),
    (pa.decimal128(20, 5), st.decimals(-(10**14), 10**14, places=5)),
    (
        pa.float32(),
        st.floats(width=32, allow_nan=False, allow_infinity=False).filter(lambda v: v == 0 or abs(v) > 1e-40),
    ),
    (pa.float16(), st.floats(width=16, allow_nan=False, allow_infinity=False)),
    (pa.float64(), st.floats(1e-120, 1e120) | st.just(0.0)),
    (pa.string(), st.text(max_size=5)),
    (pa.large_string(), st.text(max_size=5)),
    (pa.dictionary(pa.int32(), pa.string()), st.text(max_size=5)),
    (pa.binary(), st.binary(max_size=5)),
    (pa.binary(2), st.binary(min_size=2, max_size=2)),
    (pa.date32(), st.dates()),
    *[
        whole_numbers(pa.timestamp(unit, zone), (9 * 10**9 if unit == "ns" else 6 * 10**10) * per_second)
        for unit, per_second in UNITS.items()
        for zone in (None, "UTC", "Asia/Tokyo")
    ],
    *[(pa.time64(unit), st.integers(0, 86_400 * UNITS[unit] - 1)) for unit in ("us", "ns")],
    *[whole_numbers(pa.duration(unit), 10**15) for unit in UNITS],
]


def _lists(inner: Pair) -> Pair:
    return pa.list_(inner[0]), st.lists(st.none() | inner[1], max_size=3)


def _structs(inner: Pair) -> Pair:
    return pa.struct([("a", inner[0]), ("é", inner[0])]), st.fixed_dictionaries(
        dict.fromkeys("aé", st.none() | inner[1])
    )


def _maps(inner: Pair) -> Pair:
    return pa.map_(pa.string(), inner[0]), st.dictionaries(st.text(max_size=3), st.none() | inner[1], max_size=3).map(
        lambda found: list(found.items())
    )


pairs = st.recursive(
    st.sampled_from(LEAVES),
    lambda inner: st.one_of(inner.map(_lists), inner.map(_structs), inner.map(_maps)),
    max_leaves=3,
)
columns = (pairs | st.just((pa.uuid(), st.uuids()))).flatmap(
    lambda pair: st.tuples(st.just(pair[0]), st.lists(st.none() | pair[1], min_size=1, max_size=5))
)


def same(type_: Any, value: Any, found: Any) -> bool:
    """Whether an attribute says this value, read backwards from its text."""
    ((kind, payload),) = found.items()
    if value is None:
        return bool(kind == "NULL")
    if kind == "L":
        return len(value) == len(payload) and all(map(same, [type_.value_type] * len(value), value, payload))
    if kind == "M":
        pairs_ = value if pa.types.is_map(type_) else value.items()
        inner = {name: type_.item_type if pa.types.is_map(type_) else type_.field(name).type for name, _ in pairs_}
        return dict(pairs_).keys() == payload.keys() and all(same(inner[n], v, payload[n]) for n, v in pairs_)
    if kind == "N":
        return _same_number(type_, value, payload)
    return {"BOOL": _plain, "B": _bytes, "S": _same_text}[kind](type_, value, payload)


def _plain(_: Any, value: Any, found: Any) -> bool:
    return value is found


def _bytes(_: Any, value: bytes, found: str) -> bool:
    return base64.b64decode(found) == value


def _same_number(type_: Any, value: Any, found: str) -> bool:
    if not pa.types.is_floating(type_):
        return bool(Decimal(found) == value)
    code = {"halffloat": "e", "float": "f", "double": "d"}[str(type_)]
    digits = len(Decimal(found).normalize().as_tuple().digits)
    shorter = [float(f"{value:.{fewer}e}") for fewer in range(digits - 1)]
    exact = struct.pack(code, value)
    assert not any(struct.pack(code, text) == exact for text in shorter if code != "e" or abs(text) < 65520)
    return struct.pack(code, float(found)) == exact and bool(number_text(found))


def _same_text(type_: Any, value: Any, found: str) -> bool:
    nanos = 10**9 // UNITS[type_.unit] if hasattr(type_, "unit") else 0
    if pa.types.is_timestamp(type_):
        assert found.endswith("+00:00") == bool(type_.tz)
        day, _, time = found.removesuffix("+00:00").partition("T")
        days = (dt.date.fromisoformat(day) - dt.date(1970, 1, 1)).days
        return bool(days * 86_400 * 10**9 + _nanos(time) == value * nanos)
    if pa.types.is_time(type_):
        return bool(_nanos(found) == value * nanos)
    if pa.types.is_duration(type_):
        sign = -1 if found.startswith("-") else 1
        return bool(sign * Decimal(found.lstrip("-")[2:-1]) * 10**9 == value * nanos)
    assert isinstance(value, str | dt.date | uuid.UUID)
    return found == (value.isoformat() if isinstance(value, dt.date) else str(value))


def _nanos(time: str) -> int:
    clock, _, fraction = time.partition(".")
    hours, minutes, seconds = map(int, clock.split(":"))
    return (hours * 3600 + minutes * 60 + seconds) * 10**9 + int(fraction.ljust(9, "0"))


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(parquet_rows_module, "BATCH_ROWS", 2)
    return iter(())


@EXAMPLES
@given(found=st.lists(columns, min_size=1, max_size=3))
@pytest.mark.usefixtures("small_batches")
def test_any_types_and_values_are_read_as_they_were_written(tmp_path: Path, found: list[tuple[Any, list[Any]]]) -> None:
    path = tmp_path / f"{uuid.uuid4().hex}.parquet"
    length = max(len(values) for _, values in found)
    arrays = {f"c{n}": (type_, [*values, *[None] * (length - len(values))]) for n, (type_, values) in enumerate(found)}
    pq.write_table(
        pa.table({name: pa.array(values, type_) for name, (type_, values) in arrays.items()}), path, version="2.6"
    )
    rows: list[Row] = list(parquet_rows(Storage(), str(path)))
    assert len(rows) == length
    stored = pq.read_schema(path)
    for name, (_, values) in arrays.items():
        type_ = stored.field(name).type
        for value, row in zip(values, rows, strict=True):
            cell = row.cells[name]
            assert (cell is None) == (value is None)
            assert cell is None or same(arrays[name][0], value, cell), (type_, value, cell)
