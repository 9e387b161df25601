"""Finds the newest materialization of an asset that one of our steps or sensors made.

Anyone can report a materialization, in the UI or through the API. It has none of our metadata, and nothing was exported,
flattened or loaded for it. So it says nothing about the state of an asset.
"""

from collections.abc import Iterable, Mapping

import dagster as dg

PAGE = 100


def newest(
    instance: dg.DagsterInstance, asset: dg.AssetKey, *needed: str, partition: str | None = None, instead: str = ""
) -> Mapping[str, dg.MetadataValue] | None:
    """The metadata of the newest materialization that has all of `needed`, or has `instead`; None when there is none."""
    _, facts = _newest(instance, asset, needed, partition, instead)
    return facts


def newest_at(
    instance: dg.DagsterInstance, asset: dg.AssetKey, *needed: str, partition: str | None = None
) -> tuple[float, Mapping[str, dg.MetadataValue]] | None:
    """The same with its time, in seconds since 1970."""
    when, facts = _newest(instance, asset, needed, partition, "")
    return None if facts is None else (when, facts)


def newest_of(
    instance: dg.DagsterInstance, assets: Iterable[dg.AssetKey], *needed: str
) -> Mapping[str, dg.MetadataValue]:
    """The newest of several assets that report the same thing; empty when none has."""
    found = [_newest(instance, asset, needed, None, "") for asset in assets]
    return max(found, key=lambda each: each[0])[1] or {}


def _newest(
    instance: dg.DagsterInstance, asset: dg.AssetKey, needed: Iterable[str], partition: str | None, instead: str
) -> tuple[float, Mapping[str, dg.MetadataValue] | None]:
    wanted = dg.AssetRecordsFilter(asset_key=asset, asset_partitions=None if partition is None else [partition])
    limit, cursor, more = 1, None, True  # the newest is nearly always ours
    while more:
        found = instance.fetch_materializations(wanted, limit=limit, cursor=cursor)
        for record in found.records:
            facts: Mapping[str, dg.MetadataValue] = (
                record.asset_materialization.metadata if record.asset_materialization else {}
            )
            if instead in facts or set(needed) <= facts.keys():
                return record.timestamp, facts
        limit, cursor, more = PAGE, found.cursor, found.has_more
    return 0.0, None
