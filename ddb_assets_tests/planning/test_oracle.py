"""Random changes of a contract: what the plan says is what flattening and the load then do."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from ddb_assets.contract.table import Table
from ddb_assets.planning.attempts import REFUSALS
from ddb_assets.warehouse.duckdb.connection import DuckDBEngine
from ddb_assets_tests.planning.oracle import ITEMS, World, check, secret
from ddb_assets_tests.support.engines import wipe
from ddb_assets_tests.support.examples import examples

TYPES = ("VARCHAR(64)", "BIGINT", "DECIMAL(20,2)", "SUPER", "TIMESTAMP", "TIMESTAMPTZ", "DOUBLE PRECISION")
OPTIONS = st.one_of(
    st.just({"exclude": True}),
    st.sampled_from(("sha256", "hmac", "drop")).map(lambda mask: {"mask": mask}),
    st.sampled_from(TYPES).map(lambda kind: {"type": kind}),
    st.sampled_from(("renamed", "other_name")).map(lambda name: {"rename": name}),
    st.sampled_from(("evolve", "freeze", "discard_value")).map(lambda mode: {"contract": mode}),
)
PATHS = ("n", "d", "t", "digits", "at", "b", "void", "m", "m.a", "m.k", "m.k.z", "l", "l[].sku", "tags", "mix")
CONTRACTS = st.fixed_dictionaries(
    {
        "nested": st.dictionaries(st.sampled_from(("m", "m.k")), st.sampled_from(("flatten", "json")), max_size=2),
        "lists": st.dictionaries(st.sampled_from(("l", "tags")), st.sampled_from(("json", "child")), max_size=2),
        "columns": st.dictionaries(st.sampled_from(PATHS), OPTIONS, max_size=3),
        "key_mask": st.sampled_from((None, None, None, "sha256", "hmac")),
        "contract": st.sampled_from(("evolve", "evolve", "freeze", "discard_value")),
        "timestamps": st.booleans(),
        "max_depth": st.sampled_from((8, 0)),
        "soft_delete": st.sampled_from((False, False, True)),
        "history": st.sampled_from((None, None, True)),
        "views": st.sampled_from(("", "people")),
        "cadence": st.sampled_from(("hourly", "6 h", "15 min")),
    }
)


def contract(drawn: dict[str, Any]) -> Table | None:
    """The contract; None if it contradicts itself."""
    columns = dict(drawn["columns"])
    if drawn["key_mask"]:
        columns["id"] = {"mask": drawn["key_mask"]}
    own = {name: drawn[name] for name in ("contract", "timestamps", "max_depth", "soft_delete", "history", "cadence")}
    try:
        return Table.model_validate(
            {
                "table": "Orders",
                **own,
                "nested": {**drawn["nested"], **drawn["lists"]},
                "columns": columns,
                "warehouse": {"views": drawn["views"]},
            }
        )
    except ValueError:
        return None


BEFORE: dict[str, Any] = {
    "key_mask": None,
    "history": True,
    "timestamps": False,
    "contract": "discard_value",
    "soft_delete": False,
    "cadence": "6 h",
    "views": "",
    "max_depth": 8,
    "lists": {},
    "nested": {},
}


@pytest.fixture(scope="module")
def engine() -> Iterator[DuckDBEngine]:
    with DuckDBEngine(":memory:") as opened:
        yield opened


@pytest.mark.soak
@settings(
    max_examples=examples(7, 0.1),
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),  # to shrink an example takes minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.filter_too_much],
)
@given(
    before=CONTRACTS,
    changed=CONTRACTS,
    fields=st.sets(
        st.sampled_from(
            ("nested", "lists", "columns", "key_mask", "contract", "soft_delete", "history", "views", "cadence")
        ),
        min_size=1,
        max_size=3,
    ),
    windows=st.integers(0, 1),
    new_key=st.sampled_from((False, False, False, True)),
    new_secret=st.booleans(),
)
def test_a_plan_says_what_happens(
    engine: DuckDBEngine,
    before: dict[str, Any],
    changed: dict[str, Any],
    fields: set[str],
    windows: int,
    new_key: bool,
    new_secret: bool,
) -> None:
    first = contract(before)
    second = contract({**before, **{name: changed[name] for name in fields}})
    if first is None or second is None:
        assume(False)
        return
    wipe(engine)
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder), engine)
        with secret("one"):
            try:
                world.load(first, "full")
                for _ in range(windows):
                    world.load(first, "window", ITEMS)
            except REFUSALS:
                assume(False)
        world.key = "other" if new_key else "id"
        with secret("two" if new_secret else "one"):
            check(world, second)


def test_a_load_may_find_more_that_a_frozen_contract_does_not_know_than_the_plan(engine: DuckDBEngine) -> None:
    """The plan knows of `mix` by its kinds of values. That values of `at` do not fit its type, only their flattening says."""
    columns = {"columns": {"at": {"type": "DECIMAL(20,2)"}}}
    first, second = contract({**BEFORE, **columns}), contract({**BEFORE, **columns, "contract": "freeze"})
    assert first
    assert second
    wipe(engine)
    with tempfile.TemporaryDirectory() as folder, secret("one"):
        world = World(Path(folder), engine)
        world.load(first, "full")
        assert " has at mix:" in (check(world, second).doubt or "")
