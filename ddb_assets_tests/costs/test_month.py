"""The estimate of a month, by hand, and prices of one's own."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddb_assets.contract.table import Table
from ddb_assets.costs.month import LEAST_BILLED, Known, Load, month, per_month, total
from ddb_assets.costs.prices import GB, PricesError, prices
from ddb_assets.costs.s3_requests import S3Requests
from ddb_assets.settings import PRICES

TABLE = {"table": "Orders"}
AT = prices()


def lines(contract: dict[str, object], known: Known, load: Load = Load()) -> dict[str, float]:  # noqa: B008
    found = month(Table.model_validate({**TABLE, **contract}), known, AT, load)
    return {line.what: line.usd for line in found if line.what != "S3 requests" or known.requests}


def test_a_table_with_hourly_windows() -> None:
    found = lines({}, Known(100 * GB, on_demand=True, has_pitr=True, window_bytes=(GB, 3 * GB)), Load(8))
    assert found["initial load"] == pytest.approx(10)
    assert found["windows"] == pytest.approx(720 * 2 * 0.10)
    assert found["point-in-time recovery"] == pytest.approx(20)
    assert found["Redshift Serverless"] == pytest.approx(720 * 60 / 3600 * 8 * 0.375)


@pytest.mark.parametrize("contract", [{}, {"load": "replace"}])
def test_recovery_that_is_off_costs_nothing_and_is_named(contract: dict[str, object]) -> None:
    table = Table.model_validate({**TABLE, **contract})
    found = {line.what: line for line in month(table, Known(GB, on_demand=True, has_pitr=False), AT)}
    assert found["point-in-time recovery"].usd == 0
    assert "exports need it" in found["point-in-time recovery"].how


def test_a_window_without_changes_costs_ten_megabytes() -> None:
    known = Known(GB, on_demand=True, has_pitr=True, window_bytes=(5, 0))
    assert lines({}, known)["windows"] == pytest.approx(720 * LEAST_BILLED / GB * 0.10)
    assert lines({}, Known(GB, on_demand=True, has_pitr=True))["windows"] == lines({}, known)["windows"]


@pytest.mark.parametrize(
    ("contract", "number"),
    [
        ({}, 720),
        ({"cadence": "15 min"}, 2880),
        ({"cadence": "daily"}, 30),
        ({"load": "replace", "cadence": "daily"}, 30),
        ({"source": "scan"}, 30),
        ({"source": "stream", "stream": "changes"}, 0),
    ],
)
def test_how_often(contract: dict[str, object], number: int) -> None:
    assert per_month(Table.model_validate({**TABLE, **contract})) == number


def test_scans_cost_read_units_and_nothing_extra_if_they_are_provisioned() -> None:
    size = 4096 * 1_000_000
    assert lines({"source": "scan"}, Known(size, on_demand=True, has_pitr=False)) == {
        "scans": pytest.approx(30 * 0.0625)
    }
    consistent: dict[str, object] = {"source": "scan", "scan": {"consistent": True}}
    assert lines(consistent, Known(size, on_demand=True, has_pitr=False)) == {"scans": pytest.approx(30 * 0.125)}
    assert lines({"source": "scan"}, Known(size, on_demand=False, has_pitr=False)) == {"scans": 0}


def test_requests_to_s3_are_those_of_the_newest_window_each_time() -> None:
    known = Known(GB, on_demand=True, has_pitr=True, requests=S3Requests(14, 56))
    assert lines({}, known)["S3 requests"] == pytest.approx(720 * (14 * 0.005 + 56 * 0.0004) / 1000)
    unknown = month(Table.model_validate(TABLE), Known(GB, on_demand=True, has_pitr=True), AT)
    assert ["not known" in line.how for line in unknown if line.what == "S3 requests"] == [True]
    stream = month(Table.model_validate({**TABLE, "source": "stream", "stream": "changes"}), known, AT)
    assert "S3 requests" not in {line.what for line in stream}


@given(st.integers(0, 10**15), st.lists(st.integers(0, 10**12), max_size=30), st.booleans())
def test_more_is_never_cheaper(size: int, windows: list[int], has_pitr: bool) -> None:
    table = Table.model_validate({**TABLE, "stream": "changes"})
    now = month(table, Known(size, on_demand=True, has_pitr=has_pitr, window_bytes=windows), AT)
    bigger = Known(size + GB, on_demand=True, has_pitr=has_pitr, window_bytes=[one + GB for one in windows])
    later = month(table, bigger, AT)
    assert all(after.usd >= before.usd >= 0 for before, after in zip(now, later, strict=True))
    assert 0 <= total(now) <= total(later)


def test_the_pages_say_the_listed_prices(pytestconfig: pytest.Config) -> None:
    at, docs = AT.dynamodb, pytestconfig.rootpath / "docs"
    least = LEAST_BILLED / GB * at.export_gb
    hourly, daily = (f"${35 * windows * least:.2f}" for windows in (24, 1))
    history = " ".join((docs / "history.md").read_text().split())
    assert (
        f"hourly windows cost from {hourly}, in daily ones from {daily}, and the full export ${at.export_gb:.2f}"
        in history
    )
    writes = (GB / 1024) * at.million_writes / 1e6
    assert f"(${at.import_gb:.2f} per GB, against at least ${writes:.2f})" in (docs / "import.md").read_text()
    assert f"default {at.million_writes:g}\n" in (docs / "import.md").read_text()
    costs = " ".join((docs / "infrastructure.md").read_text().split())
    assert f"costs about ${720 * AT.kinesis.stream_hour:.0f} a month" in costs
    assert f"costs ${at.pitr_gb_month:.2f} per GB and month" in costs


def test_prices_of_ones_own_replace_those_that_they_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "prices.yaml"
    own.write_text("region: eu-central-1\ndynamodb: {export_gb: 0.1161}\n")
    monkeypatch.setenv(PRICES, str(own))
    found = prices()
    assert (found.region, found.dynamodb.export_gb) == ("eu-central-1", 0.1161)
    assert found.dynamodb.import_gb == AT.dynamodb.import_gb


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("dynamodb: {export: 0.1}", r"dynamodb\.export: Extra inputs"),
        ("dynamodb: {export_gb: -1}", r"dynamodb\.export_gb"),
        ("dynamodb: {export_gb: .nan}", r"dynamodb\.export_gb"),
        ("dynamodb: 3", "dynamodb"),
        ("- 1", "no YAML mapping"),
        ("a: [", "cannot be read"),
    ],
)
def test_a_mistake_in_them_is_named(text: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / f"{abs(hash(text))}.yaml"
    own.write_text(text)
    monkeypatch.setenv(PRICES, str(own))
    with pytest.raises(PricesError, match=said) as error:
        prices()
    assert str(own) in str(error.value)
