"""Comparisons of the model of streams: items with items, and the counts of what was followed with one another."""

from collections import Counter

from ddb_assets.live.follow import Followed, TableFollowed
from ddb_assets.streams.landing import Landing
from ddb_assets.warehouse.errors import StreamMovedError
from ddb_assets_tests.model.live_writes import Items


class WrongError(AssertionError):
    """The warehouse shows something else than it must."""


def of_keys(items: Items, keys: set[str]) -> Items:
    return {key: item for key, item in items.items() if key in keys}


def expect(found: Items, wanted: Items, what: str) -> None:
    if found != wanted:
        keys = sorted({*found, *wanted})
        differing = {key: (found.get(key), wanted.get(key)) for key in keys if found.get(key) != wanted.get(key)}
        raise WrongError(f"{what}: found and wanted are {differing}")


def check_counts(followed: Followed, *, others: bool) -> None:
    """Every record is in one count, and nothing failed, except where others have moved the position."""
    for drained, landed in followed.drains:
        read = sum(landing.records for landing in landed.landings.values())
        if len(drained.records) != read + landed.unreadable + Counter(landed.undeclared).total():
            raise WrongError(f"of {len(drained.records)} records {landed} are known")
        for landing in landed.landings.values():
            _check_landing(landing)
    for one in followed.tables.values():
        _check_load(one, others=others)


def _check_landing(landing: Landing) -> None:
    if landing.records != landing.known + landing.duplicates + landing.superseded + landing.rows + landing.quarantined:
        raise WrongError(f"the counts do not add up: {landing}")


def _check_load(one: TableFollowed, *, others: bool) -> None:
    if one.error:
        if not (others and isinstance(one.error, StreamMovedError)):
            raise one.error
    elif result := one.result:
        rows = result.upserted + result.deleted + result.superseded + result.too_late
        if result.applied and not result.rows_in == rows == one.landing.rows:
            raise WrongError(f"the counts do not add up: {result} of {one.landing}")
