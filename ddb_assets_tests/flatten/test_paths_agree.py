"""Under any contract, both paths give the same rows, counts and quarantine, or refuse the export with the same error."""

import json
import tempfile
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ddb_assets.contract.key_schema import KeySchema
from ddb_assets.contract.table import Table
from ddb_assets.errors import DdbAssetsError
from ddb_assets.exports.manifest import read_export
from ddb_assets.flatten.flatten import flatten
from ddb_assets.flatten.schema import EXTRA
from ddb_assets.flatten.schema_store import SchemaStore
from ddb_assets_tests.flatten.flattening import STORAGE, exact_path
from ddb_assets_tests.flatten.items import scalars
from ddb_assets_tests.flatten.test_exactness import COMPACT, with_keys
from ddb_assets_tests.support.examples import examples
from ddb_assets_tests.support.written_export import write_export

Item = dict[str, Any]

PATHS = ["a", "a.a", "a.b", "a[]", "a[].a", "a.a[]", "b"]
TYPES = ["BIGINT", "DECIMAL(12,2)", "DOUBLE PRECISION", "VARCHAR(4)", "BOOLEAN", "VARBYTE(64)", "SUPER", "TIMESTAMPTZ"]
TYPES += ["TIMESTAMP", "DATE"]
texts = st.sampled_from(["", "x", "12", "007", "12.50", "longer", "2020-10-27T00:27:26Z", "2020-10-27", "1603758446"])
numbers = st.sampled_from(["1", "-12.5", "12.50", "1E3", "1603758446", "9" * 20, "9" * 38, "1E100"])
binaries = st.sampled_from(["eA==", "eHk="])


values: st.SearchStrategy[Item] = st.recursive(
    scalars(texts, numbers, binaries, most=2),
    lambda inner: (
        st.lists(inner, max_size=2).map(lambda v: {"L": v})
        | st.dictionaries(st.sampled_from("abc"), inner, max_size=2).map(lambda v: {"M": v})
    ),
    max_leaves=4,
)
items = st.lists(
    st.lists(st.fixed_dictionaries({}, optional={"a": values, "b": values}), min_size=1, max_size=2).flatmap(
        lambda shapes: st.lists(st.sampled_from(shapes), min_size=1, max_size=3)
    ),
    min_size=1,
    max_size=2,
).map(lambda groups: [item for group in groups for item in group])
options = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(TYPES),
        "mask": st.sampled_from(["sha256", "drop"]),
        "exclude": st.just(True),
        "contract": st.sampled_from(["freeze", "discard_value", "discard_row"]),
        "oversize": st.sampled_from(["truncate", "quarantine"]),
    },
)
contracts = st.fixed_dictionaries(
    {},
    optional={
        "columns": st.dictionaries(st.sampled_from(PATHS), options, min_size=1, max_size=2),
        "nested": st.dictionaries(
            st.sampled_from(["a", "a.a", "a[]"]), st.sampled_from(["child", "flatten", "json"]), max_size=2
        ),
        "contract": st.sampled_from(["evolve", "freeze", "discard_value", "discard_row"]),
        "max_width": st.just(1),
    },
)


def outcome(folder: str, exports: list[tuple[list[Item], Item]]) -> Any:
    """The output for the last of these exports, each with its contract; or the error, if one was refused."""
    store = SchemaStore(STORAGE, f"{folder}/schemas")
    for number, (found, contract) in enumerate(exports):
        lines = [COMPACT({"Item": item}).encode() for item in with_keys(found)]
        source = write_export(STORAGE, f"{folder}/bucket", lines=[lines], export_id=f"0169509721800{number}-d6299cbd")
        try:
            report = flatten(
                STORAGE,
                read_export(STORAGE, source),
                table=Table.model_validate({"table": "Orders", **contract}),
                key=KeySchema(partition_key="pk"),
                out=f"{folder}/out{number}",
                schemas=store,
                workers=1,
            ).report
        except DdbAssetsError as error:
            return type(error), str(error).replace(folder, "")
    rows = [
        (relation.name, row["pk"], row.get("_ddb_index", 0), {**row, EXTRA: json.loads(row[EXTRA] or "{}")})
        for relation in report.relations
        for part in relation.parts
        for row in pl.read_parquet(part.uri).to_dicts()
    ]
    reasons = [json.loads(line)["reason"] for uri in report.quarantine for line in STORAGE.read(uri).splitlines()]
    rows.sort(key=lambda row: row[:3])
    return rows, [relation.columns for relation in report.relations], report.misfits, report.deletes, sorted(reasons)


SHAPES: list[tuple[str, bool, Callable[[Item], Item]]] = [
    ("{}", False, lambda v: v),
    ("{}.b", False, lambda v: {"M": {"b": v}}),
    ("{}[]", False, lambda v: {"L": [v]}),
    ("{}[]", True, lambda v: {"L": [v]}),
    ("{}[].b", True, lambda v: {"L": [{"M": {"b": v}}]}),
    ("{}[]", False, lambda v: {f"{descriptor}S": [v[descriptor]] for descriptor in v}),
    ("{}[]", True, lambda v: {f"{descriptor}S": [v[descriptor]] for descriptor in v}),
]
"""Ways to place a value in an attribute: its path, whether the attribute is a child relation, and the attribute."""
TWO: list[list[Item]] = [
    [{"S": "12"}, {"S": "x"}],
    [{"S": "2020-10-27T00:27:26Z"}, {"S": "2020-10-27"}],
    [{"N": "12"}, {"N": "1.50"}],
    [{"B": "eA=="}, {"B": "eHk="}],
    [{"BOOL": True}, {"BOOL": False}],
]
SAID: list[Item] = [{"mask": "sha256"}, {"mask": "drop"}, {"exclude": True}]
SAID += [{"type": name} for name in ("BIGINT", "DECIMAL(12,2)", "VARCHAR(4)", "VARBYTE(64)", "SUPER", "TIMESTAMPTZ")]


@pytest.mark.slow
@pytest.mark.parametrize("stored", [False, True])
def test_both_paths_write_the_same_for_every_option_of_every_value(tmp_path: Path, stored: bool) -> None:
    """Each value is in a separate item, so that no other value sends it to the exact path."""
    found: list[Item] = []
    columns: dict[str, Item] = {}
    nested: dict[str, str] = {}
    for number, (option, two, (path, child, shaped)) in enumerate(product(SAID, TWO, SHAPES)):
        name, shapes = f"a{number}", [shaped(value) for value in two]
        if "BOOLS" in shapes[0] or (
            stored and "SUPER" in option.values()
        ):  # there is no such type; a stored column refuses it
            continue
        columns[path.format(name)] = option
        nested |= {name: "child"} if child else {}
        found += [{name: value} for value in shapes]
    before: list[tuple[list[Item], Item]] = [(found, {"nested": nested})] if stored else []
    now = (found, {"nested": nested, "columns": columns})
    fast = outcome(f"{tmp_path}/fast", [*before, now])
    with exact_path():
        exact = outcome(f"{tmp_path}/exact", [*before, now])
    assert [row for row in fast[0] if row not in exact[0]] == [row for row in exact[0] if row not in fast[0]] == []
    assert fast[1:] == exact[1:]


@pytest.mark.slow
@pytest.mark.soak
@settings(max_examples=examples(6, 1 / 40), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(items, st.just({}) | contracts), max_size=1), st.tuples(items, contracts))
def test_both_paths_write_the_same_under_any_contract(
    before: list[tuple[list[Item], Item]], now: tuple[list[Item], Item]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        fast = outcome(str(Path(folder, "fast")), [*before, now])
        with exact_path():
            exact = outcome(str(Path(folder, "exact")), [*before, now])
    assert fast == exact
