"""Units and their price, by hand."""

import pytest

from ddb_assets.costs.capacity import money, units_usd
from ddb_assets.costs.prices import prices


def test_units_by_hand() -> None:
    assert units_usd(prices(), rcu=2e6, wcu=4e6) == pytest.approx(2 * 0.125 + 4 * 0.625)
    assert units_usd(prices()) == 0


def test_money_in_words() -> None:
    assert [money(usd) for usd in (0.0, 0.0099, 0.01, 1234.5)] == ["less than $0.01"] * 2 + ["$0.01", "$1,234.50"]
