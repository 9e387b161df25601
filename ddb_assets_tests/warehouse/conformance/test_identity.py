"""Rows of two identities are never in one table. The load refuses them until the table starts over."""

import re
from pathlib import Path
from typing import Any

import pytest

from ddb_assets.contract.report import Column, Report
from ddb_assets.flatten.schema_store import SchemaStoreError
from ddb_assets.warehouse.errors import LoadError
from ddb_assets_tests.flatten.test_identity import HMAC, SECRET, made
from ddb_assets_tests.warehouse.conformance.subject import Subject, load, loads
from ddb_assets_tests.warehouse.exports import BASE_MICROS, EXTRA, VERSION, at, relation, report, write


@pytest.fixture
def loaded(subject: Subject, tmp_path: Path) -> Subject:
    load(subject, made(tmp_path).report)
    return subject


def count(subject: Subject) -> int:
    return subject.warehouse.rows(["orders"])["orders"]


@pytest.mark.alike
@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"key": "at"}, marks=pytest.mark.needs("other keys")),
        {"columns": {"id": {"mask": "sha256"}}},
        {"store": "other"},
    ],
    ids=str,
)
def test_rows_of_another_identity_are_not_loaded_until_the_table_starts_over(
    tmp_path: Path, loaded: Subject, change: dict[str, Any]
) -> None:
    other = made(tmp_path, export=1, restart=True, **change).report
    with pytest.raises(LoadError, match=r"does not match the rows of 'orders'.*--restart"):
        load(loaded, other)
    assert count(loaded) == 1
    result = load(loaded, other, restart=True)
    assert (result.applied, result.sequence, count(loaded)) == (True, 2, 1)
    with pytest.raises(LoadError, match="does not match the rows"):
        load(loaded, made(tmp_path, export=2, restart=True).report)


@pytest.mark.needs("other keys")
def test_a_column_of_another_kind_is_dropped_by_hand_before_a_table_starts_over(
    subject: Subject, tmp_path: Path
) -> None:
    """A load does not delete values before it has the new ones, and a key of bytes cannot become its mask."""
    old: dict[str, tuple[str, object]] = {"order_id": ("VARBYTE(16)", b"a"), "flag": ("VARCHAR(16)", "yes")}
    new: dict[str, tuple[str, object]] = {"order_id": ("VARCHAR(64)", "masked"), "flag": ("BOOLEAN", True)}
    load(subject, keyed(tmp_path, 5, old))
    for column in ("order_id", "flag"):
        with pytest.raises(LoadError, match=rf'DROP COLUMN "{column}" and load .*, or .* with restart') as no:
            load(subject, keyed(tmp_path, 9, new), restart=True)
        assert count(subject) == 1
        (statement,) = re.findall(r"ALTER TABLE \S+ DROP COLUMN \S+", str(no.value))
        subject.run(statement)
    load(subject, keyed(tmp_path, 9, new), restart=True)
    assert subject.rows("orders", "order_id", "flag") == [("masked", True)]


def keyed(folder: Path, time: int, values: dict[str, tuple[str, object]]) -> Report:
    """A full export of one item, its columns by name with type and value."""
    columns = [
        Column(name=name, path=(name,), type=kind, role="key" if name == "order_id" else "value")
        for name, (kind, _) in values.items()
    ]
    row = {name: value for name, (_, value) in values.items()} | {"_ddb_version": BASE_MICROS + time}
    made = relation("orders", (*columns, VERSION, EXTRA))
    return report([write(folder / str(time), made, [row])], export_time=at(time))


@pytest.mark.alike
def test_a_load_after_the_secret_was_rotated_is_refused(
    subject: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SECRET, "one")
    load(subject, made(tmp_path, columns=HMAC).report)
    monkeypatch.setenv(SECRET, "two")
    rotated = made(tmp_path, export=1, columns=HMAC, restart=True).report
    with pytest.raises(LoadError, match="the secret of mask: hmac has changed"):
        load(subject, rotated)
    load(subject, rotated, restart=True)


def test_what_is_raised_before_the_commit_undoes_the_load(subject: Subject, tmp_path: Path) -> None:
    def refused() -> None:
        raise SchemaStoreError("stored by another run")

    report = made(tmp_path).report
    with pytest.raises(SchemaStoreError):
        load(subject, report, before_commit=refused)
    assert loads(subject) == 0
    assert "orders" not in subject.tables() or count(subject) == 0
    assert load(subject, report).applied
    assert count(subject) == 1


@pytest.mark.alike
def test_only_a_full_export_can_start_a_table_over(tmp_path: Path, loaded: Subject) -> None:
    window = made(tmp_path, export=1).report.model_copy(update={"export_type": "INCREMENTAL_EXPORT"})
    with pytest.raises(LoadError, match="can only be started over with a full export"):
        load(loaded, window, restart=True)
    assert count(loaded) == 1
