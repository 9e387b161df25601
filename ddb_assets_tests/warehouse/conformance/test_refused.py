"""Exports that are refused for what they are: no load of them could be right."""

from pathlib import Path

import pytest

from ddb_assets.contract.scan import Scanned
from ddb_assets.warehouse.errors import LoadError
from ddb_assets_tests.warehouse.conformance.subject import Subject, load
from ddb_assets_tests.warehouse.exports import BASE_MICROS, EXTRA, KEY, NOTE, VERSION, Source, at, relation, write
from ddb_assets_tests.warehouse.exports import report as reported


@pytest.mark.alike
def test_rows_without_keys_are_refused(subject: Subject, tmp_path: Path) -> None:
    root = write(tmp_path, relation("orders", (NOTE, VERSION, EXTRA)), [{"note": "x", "_ddb_version": BASE_MICROS}])
    with pytest.raises(LoadError, match="'orders' has rows but no key columns"):
        load(subject, reported([root], export_time=at(0)))


@pytest.mark.alike
def test_what_a_frozen_contract_does_not_know_is_refused(subject: Subject, source: Source) -> None:
    made = source.full(1).model_copy(update={"misfits": {"frozen": {"new": 2}}})
    with pytest.raises(
        LoadError, match="has 2 values that the frozen contract of Orders does not know, at new: nothing was loaded"
    ):
        load(subject, made)


@pytest.mark.alike
def test_a_part_of_a_table_is_not_loaded(subject: Subject, source: Source) -> None:
    """What the scan left out would be deleted, as it is not in a full load."""
    source.put(1, "a", "x")
    load(subject, source.full(2))
    how = Scanned(started=at(3), ended=at(4), segments=1, consistent=False)
    made = source.full(5)
    for part in ({"filter": {"FilterExpression": "a = b"}}, {"projection": ("note",)}):
        with pytest.raises(LoadError, match="a load would take them out of the warehouse"):
            load(subject, made.model_copy(update={"scan": how.model_copy(update=part)}))
    assert load(subject, made.model_copy(update={"scan": how})).upserted == 1


def test_rows_of_every_part_are_counted(subject: Subject, tmp_path: Path) -> None:
    """Two parts changed places in the report. The sum of their rows is right."""
    rows = [{"order_id": key, "_ddb_version": BASE_MICROS + 5} for key in "abc"]
    root = write(tmp_path, relation("orders", (KEY, VERSION, EXTRA)), rows, parts=2)
    first, second = root.parts
    parts = (first.model_copy(update={"rows": second.rows}), second.model_copy(update={"rows": first.rows}))
    with pytest.raises(LoadError, match=f"part {first.uri} has 2 rows, the report says 1"):
        load(subject, reported([root.model_copy(update={"parts": parts})], export_time=at(5)))
