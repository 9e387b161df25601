"""What `keep` may say, in a contract and in the setting, and which of the two counts."""

from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from ddb_assets.contract.contract_yaml import ConfigError, read_table
from ddb_assets.contract.keep import KINDS, ages, deletes, general_keep, keep_of
from ddb_assets.contract.table import Table
from ddb_assets.settings import KEEP, SettingError


@pytest.fixture(autouse=True)
def _no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEEP, raising=False)


def orders(keep: object = None) -> Table:
    return Table.model_validate({"table": "Orders", "keep": keep})


def test_without_it_nothing_goes() -> None:
    assert ages(keep_of(orders())) == {}
    assert not deletes(keep_of(orders()))


def test_one_text_is_for_all_kinds() -> None:
    assert ages(keep_of(orders("90 days"))) == dict.fromkeys(KINDS, timedelta(days=90))
    assert not deletes(keep_of(orders("forever")))


def test_a_contract_counts_before_the_setting_kind_by_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEEP, "{exports: 30 days, parquet: 60 d, dry_run: false}")
    found = keep_of(orders({"exports": "forever", "spill": "1 day"}))
    assert ages(found) == {"parquet": timedelta(days=60), "spill": timedelta(days=1)}
    assert found.dry_run is False
    assert keep_of(orders({"dry_run": True})).dry_run is True
    monkeypatch.setenv(KEEP, "90 days")
    assert ages(keep_of(orders())) == dict.fromkeys(KINDS, timedelta(days=90))


@pytest.mark.parametrize(
    ("said", "what"),
    [
        ("soon", "'soon' is not a number of days: write it like 90 days, or forever"),
        ("0 days", "'0 days' is not a number of days"),
        ({"exports": "3 weeks"}, "'3 weeks' is not a number of days"),
        (
            {"export": "3 days"},
            "allowed here: exports, parquet, quarantine, spill, schemas, streams, receipts, dry_run",
        ),
    ],
)
def test_a_mistake_is_named(said: object, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValidationError, match=what):
        orders(said)
    monkeypatch.setenv(KEEP, str(said).replace("'", ""))
    with pytest.raises(SettingError, match=r"^DDB_ASSETS_KEEP is ") as found:
        general_keep()
    assert what in str(found.value)
    assert "write 90 days, or {exports: 30 days, parquet: 90 days}" in str(found.value)


def test_a_mistake_in_a_file_is_named_by_its_line(tmp_path: Path) -> None:
    file = tmp_path / "defs.yaml"
    file.write_text("type: x.DynamoDBTable\nattributes:\n  table: Orders\n  keep:\n    parquet: 3 weeks\n")
    with pytest.raises(ConfigError, match=r"defs\.yaml:5: keep\.parquet: '3 weeks' is not a number of days"):
        read_table(file)


@pytest.mark.parametrize("text", ["[", "90", "- a", "{exports: 3}"])
def test_a_setting_that_is_no_such_text_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEEP, text)
    with pytest.raises(SettingError, match=r"^DDB_ASSETS_KEEP is "):
        general_keep()
