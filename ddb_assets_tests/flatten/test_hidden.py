"""Hidden values are written nowhere: each one contains a marker, and all files are searched for it."""

import base64
import json
import tempfile
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
import yaml
from click.testing import CliRunner
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from ddb_assets.cli import main
from ddb_assets.contract.table import Table
from ddb_assets.flatten.rules import MaskError
from ddb_assets.settings import MASK_SECRET
from ddb_assets_tests.flatten.flattening import STORAGE, Flattening
from ddb_assets_tests.support.examples import examples
from ddb_assets_tests.support.written_export import write_export

MARKER = "m4rk'er"
DIGITS = "4242424242"
MARKED: list[dict[str, Any]] = [
    {"S": MARKER},
    {"S": f"2024-05-14 {MARKER}"},
    {"S": MARKER * 10_000},
    {"N": DIGITS},
    {"N": f"{DIGITS}.{DIGITS}{DIGITS}"},
    {"B": base64.b64encode(MARKER.encode()).decode()},
    {"SS": [MARKER, f"{MARKER} 2"]},
    {"NS": [DIGITS, "1"]},
    {"L": [{"S": MARKER}, {"M": {"b": {"S": MARKER}}}]},
    {"M": {"inner": {"S": MARKER}}},
    {"M": {"l": {"L": [{"N": DIGITS}]}}},
    {"M": {MARKER: {"S": MARKER}}},
    {"N": MARKER},  # the others are quarantined
    {"B": MARKER},
    {MARKER: {"S": "x"}},
    {"SS": [{"S": MARKER}]},
    {"L": [{"M": {MARKER: {"N": MARKER}}}]},
]
CLEAN: list[dict[str, Any]] = [{"S": "x"}, {"N": "1"}, {"M": {"b": {"S": "x"}}}, {"L": [{"M": {"b": {"N": "1"}}}]}]
PATHS = ["a", "a.b", "a[]", "a[].b", "a.b.c", "a.b[].c", "a[][]"]
hiding = st.sampled_from([{"mask": "sha256"}, {"mask": "hmac"}, {"mask": "drop"}, {"exclude": True}])
MASKED_NAMES = MARKED[11]


def needles() -> list[bytes]:
    marker = MARKER.encode()
    return [marker, json.dumps(MARKER).encode()[1:-1], base64.b64encode(marker), DIGITS.encode()]


def wrapped(value: dict[str, Any], path: str, where: int) -> dict[str, Any]:
    """The attribute `a` with the value at the path, or above it where the contract does not expect a value."""
    steps = path.replace("[]", ".[]").split(".")[1:]
    above = steps[: len(steps) - where % (len(steps) + 1)]
    if above != steps and {"L", "SS", "NS"} & value.keys() if steps[len(above) :][:1] == ["[]"] else "M" in value:
        above = steps  # above the path it would have the expected shape and not be hidden
    for step in reversed(above):
        value = {"L": [value, {"NULL": True}]} if step == "[]" else {"M": {step: value}}
    return value


def names_in(value: Any) -> set[str]:
    """The names of all maps in a JSON value."""
    if isinstance(value, list):
        return {name for member in value for name in names_in(member)}
    below = {name for member in value.values() for name in names_in(member)} if isinstance(value, dict) else set()
    return below | set(value) if isinstance(value, dict) else below


def written(folder: Path) -> dict[str, bytes]:
    """The bytes of every file below the folder, except the exports; Parquet is also decoded."""
    found = {}
    for path in (p for p in folder.rglob("*") if p.is_file() and "bucket" not in p.parts):
        found[str(path)] = str(path).encode() + path.read_bytes()
        if path.suffix == ".parquet":
            found[f"{path} decoded"] = str(pl.read_parquet(path).to_dicts()).encode()
        if path.suffix == ".duckdb":
            found[f"{path} decoded"] = everything_in(path)
    return found


def everything_in(path: Path) -> bytes:
    with duckdb.connect(str(path)) as warehouse:
        names = warehouse.execute("SELECT schema_name, table_name FROM duckdb_tables()").fetchall()
        rows = [warehouse.execute(f'SELECT * FROM "{s}"."{n}"').fetchall() for s, n in names]
    return str(rows).encode()


@st.composite
def contracts(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    path = draw(st.sampled_from(PATHS))
    columns = {path: draw(hiding)}
    if path != "a" and draw(st.booleans()):
        columns[path.replace("b", "d")] = draw(hiding)
    nested = draw(st.sampled_from([{}, {"a": "json"}, {"a": "child"}, {"a": "flatten"}]))
    more = draw(
        st.sampled_from([{}, {"oversize": "spill"}, {"contract": "discard_row"}, {"contract": "discard_value"}])
    )
    return path, {"columns": columns, "nested": nested, "max_quarantined": 100, **more}


@pytest.mark.slow
@pytest.mark.soak
@settings(
    max_examples=examples(8, 1 / 20),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.generate],
)
@given(
    contracts(),
    st.lists(st.tuples(st.sampled_from(MARKED), st.integers(0, 3)), min_size=1, max_size=5),
    st.lists(st.sampled_from(CLEAN), max_size=3),
)
def test_a_hidden_value_is_nowhere(
    contract: tuple[str, dict[str, Any]], hidden: list[tuple[dict[str, Any], int]], before: list[dict[str, Any]]
) -> None:
    path, attributes = contract
    masked = any("mask" in options for options in attributes["columns"].values())
    # below a mask, the names of maps and of maps in lists become columns, as documented; elsewhere they are data
    values = [(v, where) for v, where in hidden if not (masked and MARKER in names_in(v))]
    items: list[dict[str, Any]] = [{"a": wrapped(value, path, where)} for value, where in values]
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setenv(MASK_SECRET, "pepper")
        patch.setenv("DDB_ASSETS_STATE", f"{name}/state")
        folder = Path(name)
        flattening = Flattening(folder)
        if before:
            flattening([{"a": value} for value in before], nested=attributes["nested"])  # before anything was hidden
        flattening(items, **attributes)
        output = commands(folder, attributes, items)
        for file, found in {**written(folder), "output": output}.items():
            for needle in needles():
                assert needle not in found, f"{needle!r} in {file}"


def commands(folder: Path, attributes: dict[str, Any], items: list[dict[str, Any]]) -> bytes:
    """The output of the commands profile and load."""
    lines = [json.dumps({"Item": {"pk": {"S": f"k{n}"}, **item}}).encode() for n, item in enumerate(items)]
    source = write_export(STORAGE, str(folder / "bucket2"), lines=[lines])
    config = folder / "bucket" / "defs.yaml"
    config.parent.mkdir(exist_ok=True)
    document = {
        "type": "ddb_assets.components.DynamoDBTable",
        "attributes": {"table": "Orders", "key": "pk", **attributes},
    }
    config.write_text(yaml.safe_dump(document))
    (folder / "bucket2").rename(folder / "bucket" / "second")
    source = source.replace("bucket2", "bucket/second")
    said = b""
    for command in (["profile"], ["profile", "--json"], ["load", "--warehouse", f"duckdb:///{folder}/w.duckdb"]):
        result = CliRunner().invoke(main, [command[0], source, "--config", str(config), *command[1:]])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        said += result.output.encode()
    return said


def test_a_value_of_another_shape_is_left_out_and_counted(flattening: Flattening) -> None:
    items: list[dict[str, Any]] = [
        {"customer": {"M": {"email": {"S": "e"}, "ssn": {"S": "s"}, "name": {"S": "n"}}}},
        {"customer": {"L": [{"M": {"ssn": {"S": "s3cret"}}}]}},
        {"customer": {"S": "s3cret"}},
        {"customer": {"NULL": True}},
    ]
    outcome = flattening(items, columns={"customer.email": {"mask": "sha256"}, "customer.ssn": {"exclude": True}})
    assert outcome.report.misfits == {"hidden": {"customer": 2}}
    assert outcome.row("k0")["customer__name"] == "n"
    assert [outcome.extra(key) for key in ("k1", "k2", "k3")] == [None, None, {"customer": None}]


def test_a_value_of_another_shape_is_masked_whole(flattening: Flattening) -> None:
    items: list[dict[str, Any]] = [{"c": {"M": {"e": {"S": "x"}}}}, {"c": {"S": "s3cret"}}, {"c": {"L": []}}]
    outcome = flattening(items, columns={"c.e": {"mask": "sha256"}})
    assert len(outcome.extra("k1")["c"]) == len(outcome.extra("k2")["c"]) == 64
    assert outcome.report.misfits == {"extra": {"c": 2}}


def hidden_later(flattening: Flattening, *exports: list[dict[str, Any]], hide: str, **contract: Any) -> dict[str, Any]:
    """The columns that a load hides when the contract excludes a path only after these exports."""
    for items in exports:
        flattening(items, **contract)
    outcome = flattening(exports[-1], columns={hide: {"exclude": True}}, **contract)
    return dict(outcome.report.hidden[0].columns)


def test_later_hiding_covers_the_column_that_a_list_was_before(flattening: Flattening) -> None:
    first: list[dict[str, Any]] = [{"tags": {"S": "s3cret"}}]
    then: list[dict[str, Any]] = [{"tags": {"L": [{"S": "s3cret"}]}}]
    assert hidden_later(flattening, first, then, hide="tags", nested={"tags": "child"}) == {
        "orders": ("_ddb_extra", "tags"),
        "orders__tags": ("_ddb_extra", "value"),
    }


def test_later_hiding_covers_elements_that_have_no_column_for_it(flattening: Flattening) -> None:
    wide: list[dict[str, Any]] = [{"l": {"L": [{"M": {"a": {"S": "x"}, "z": {"S": "s3cret"}}}]}}]
    contract: dict[str, Any] = {"nested": {"l": "child"}, "max_width": 1}
    first: list[dict[str, Any]] = [{"l": {"L": [{"M": {"a": {"S": "x"}}}]}}]
    assert hidden_later(flattening, first, wide, hide="l[].z", **contract) == {
        "orders": ("_ddb_extra",),
        "orders__l": ("_ddb_extra",),
    }


def test_later_hiding_covers_values_of_another_shape(flattening: Flattening) -> None:
    items: list[dict[str, Any]] = [{"c": {"L": [{"M": {"e": {"S": "s3cret"}}}]}, "d": {"S": "x"}}]
    assert hidden_later(flattening, items, hide="c.e", nested={"c": "child"}) == {
        "orders": ("_ddb_extra",),
        "orders__c": ("_ddb_extra", "e"),
    }


@pytest.mark.parametrize("hidden", [{"mask": "drop"}, {"exclude": True}])
def test_a_key_cannot_be_hidden(flattening: Flattening, hidden: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="without a key: use `mask: sha256`"):
        Table.model_validate({"table": "Orders", "key": "pk", "columns": {"pk": hidden}})
    with pytest.raises(MaskError, match="pk is a key attribute of Orders"):
        flattening([{"a": {"S": "x"}}], columns={"pk": hidden})


def test_what_is_no_longer_excluded_has_a_column_at_once(flattening: Flattening) -> None:
    items: list[dict[str, Any]] = [{"a": {"S": "x"}, "m": {"M": {"b": {"S": "x"}}}}]
    flattening(items, columns={"a": {"exclude": True}, "m": {"exclude": True}})
    assert {"a": "x", "m__b": "x"}.items() <= flattening(items).row("k0").items()


def test_reasons_have_no_values_and_no_names_below_what_is_hidden(flattening: Flattening) -> None:
    items: list[dict[str, Any]] = [{"m": {"M": {"it's": {"N": "o'clock"}}}}, {"n": {"N": "o'clock"}}]
    outcome = flattening(items, columns={"m": {"mask": "sha256"}})
    assert [found["reason"] for found in outcome.quarantined] == ["m: N … is not a number", "n: N … is not a number"]
