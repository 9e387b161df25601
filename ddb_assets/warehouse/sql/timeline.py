"""The queries that turn what exports say about items into versions that are valid from one time to another.

Every loaded export leaves its rows in a table of versions, and nothing else: each row says of one key that it was put or
deleted at a time (a window), or that it was there at the time of a full export (`versions.py`). What follows from all of
them together is found here, whenever somebody asks. So it does not depend on the order in which exports are loaded.

`sources` finds the exports that count. The windows among them do not overlap, and no full export lies within one: an item
that was put and deleted within a window is not in it, so a window says nothing of the times within it. A window that
contains the time of a full export is left out, and so is one that ends inside another window. They count again when what is
in their way is gone.

`intervals` finds how long each version is valid. A version ends at the next one, at the delete, or at the first full
export that does not have the item although all of its keys could be read. Two kinds of rows begin no version: an item in a
full export that is as it was before, and an item that could not be read, of which nothing new is known.
"""
# ruff: noqa: S608  -- names come from quoted()

from collections.abc import Mapping, Sequence

from ddb_assets.flatten.schema import HASH, OLD_HASH, VERSION
from ddb_assets.warehouse.bookkeeping import BEGUN, ENDED, KIND
from ddb_assets.warehouse.sql.statements import TableName, quoted

PUT, DELETE, OBSERVED, UNREAD = "put", "delete", "observed", "unread"
"""What a row of the table of versions says of its key."""
HIDDEN = "hidden"
"""In place of a hash of an item with values that must not be seen any more."""
Queries = Mapping[str, str]
"""Queries by name, each of which may read from those before it: the text after WITH (`with_`). The last one is the result."""
BEFORE = "ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING"
AFTER = "ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING"
UNTIL = "ROWS UNBOUNDED PRECEDING"


def with_(queries: Queries) -> str:
    """The text that a query begins with which reads from these."""
    return "WITH " + ", ".join(f"{name} AS ({query})" for name, query in queries.items())


def sources(table: TableName) -> Queries:
    """`counted`: the exports that count, with their times, the next full export (`baseline`), and whether they are `proven`.

    `proven`: windows without a gap lead from a full export to it, so the state of every item at its start is known.
    """
    complete = "from_us = to_us AND NOT blind"
    # guard: a window around a full export does not count
    sound = (
        f"SELECT from_us, to_us, blind, old_images, from_us < to_us AND COALESCE(MAX(CASE WHEN from_us = to_us THEN to_us END) "
        f"OVER (ORDER BY to_us, from_us {BEFORE}), 0) <= from_us AS is_sound FROM {table}"
    )
    compared = (
        f"SELECT from_us, to_us, blind, old_images, is_sound, MIN(CASE WHEN is_sound THEN from_us END) "
        f"OVER (ORDER BY to_us, from_us DESC {AFTER}) AS next_from FROM sound"
    )
    # guard: windows that overlap do not count
    used = (
        f"SELECT from_us, to_us, blind, old_images, MIN(CASE WHEN {complete} THEN to_us END) "
        f"OVER (ORDER BY to_us, from_us {AFTER}) AS baseline, CASE WHEN ({complete}) OR "
        f"COALESCE(LAG(to_us) OVER (ORDER BY to_us, from_us) < from_us, TRUE) THEN 1 ELSE 0 END AS begins "
        f"FROM compared WHERE from_us = to_us OR (is_sound AND COALESCE(next_from >= to_us, TRUE))"
    )
    chained = (
        f"SELECT from_us, to_us, blind, old_images, baseline, SUM(begins) OVER (ORDER BY to_us, from_us {UNTIL}) AS chain "
        f"FROM used"
    )
    counted = (
        f"SELECT from_us, to_us, old_images, baseline, MAX(CASE WHEN {complete} THEN 1 ELSE 0 END) "
        f"OVER (PARTITION BY chain) = 1 AS proven FROM chained"
    )
    return {"sound": sound, "compared": compared, "used": used, "chained": chained, "counted": counted}


def evidence(versions: TableName, sources_table: TableName, keys: Sequence[str], among: str = "") -> Queries:
    """`evidence`: what the exports that count say, a row for each key and write, with what the rows around it tell.

    `gone`: the full export that shows that the item was gone. `carried`: the row begins no version. `broken`: the item from
    before the window is not the version that was valid then. `among` is a condition on the rows of `versions`.
    """
    own = ", ".join(map(quoted, keys))
    order = f"OVER (PARTITION BY {own} ORDER BY {quoted(VERSION)})"
    names = ", ".join([own, *map(quoted, (VERSION, KIND, HASH, OLD_HASH, BEGUN, ENDED))])
    columns = ", ".join(versions.column(name) for name in (*keys, VERSION, KIND, HASH, OLD_HASH, BEGUN, ENDED))
    said = (
        f"SELECT {columns}, counted.baseline, counted.proven AND counted.old_images AS proven "
        f"FROM {versions} INNER JOIN counted ON {versions.column(BEGUN)} = counted.from_us "
        f"AND {versions.column(ENDED)} = counted.to_us{f' WHERE {among}' if among else ''}"
    )
    followed = f"SELECT {names}, baseline, proven, LEAD({quoted(VERSION)}) {order} AS next_version FROM said"
    # guard: what a full export lacks has ended
    ended = (
        f"SELECT {names}, proven, CASE WHEN {quoted(KIND)} <> '{DELETE}' AND COALESCE(baseline < next_version, TRUE) "
        f"THEN baseline END AS gone FROM followed"
    )
    preceded = (
        f"SELECT {names}, proven, gone, LAG({quoted(KIND)}) {order} AS kind_before, LAG({quoted(HASH)}) {order} "
        f"AS hash_before, LAG(gone) {order} AS gone_before FROM ended"
    )
    # guard: an item as it was is no new version
    same = (
        f"{quoted(KIND)} = '{OBSERVED}' AND kind_before IN ('{PUT}', '{OBSERVED}') AND gone_before IS NULL "
        f"AND {quoted(HASH)} = hash_before"
    )
    absent = f"kind_before IS NULL OR kind_before = '{DELETE}' OR gone_before IS NOT NULL"
    broken = (
        f"CASE WHEN {quoted(KIND)} NOT IN ('{PUT}', '{DELETE}') OR NOT proven OR {quoted(OLD_HASH)} = '{HIDDEN}' THEN FALSE "
        f"WHEN {absent} THEN {quoted(OLD_HASH)} IS NOT NULL WHEN hash_before IS NULL THEN FALSE "
        f"ELSE COALESCE({quoted(OLD_HASH)} <> hash_before, TRUE) END"
    )
    found = (
        f"SELECT {names}, gone, {quoted(KIND)} = '{UNREAD}' OR COALESCE({same}, FALSE) AS carried, {broken} AS broken "
        f"FROM preceded"
    )
    made = {"said": said, "followed": followed, "ended": ended, "preceded": preceded, "evidence": found}
    return {**sources(sources_table), **made}


def intervals(versions: TableName, sources_table: TableName, keys: Sequence[str]) -> Queries:
    """`periods`: key, version and export of each version, when it ends (`until_us`), and how that is known (`ended_by`)."""
    own = ", ".join(map(quoted, keys))
    names = ", ".join([own, *map(quoted, (VERSION, KIND, BEGUN, ENDED))])
    order = f"PARTITION BY {own} ORDER BY {quoted(VERSION)}"
    grouped = (
        f"SELECT {names}, gone, carried, SUM(CASE WHEN carried THEN 0 ELSE 1 END) OVER ({order} {UNTIL}) AS place "
        f"FROM evidence"
    )
    known = f"SELECT {names}, carried, MIN(gone) OVER (PARTITION BY {own}, place) AS gone FROM grouped"
    begun = (
        f"SELECT {names}, gone, LEAD({quoted(VERSION)}) OVER ({order}) AS next_version, LEAD({quoted(KIND)}) "
        f"OVER ({order}) AS next_kind FROM known WHERE NOT carried"
    )
    periods = (
        f"SELECT {names}, COALESCE(gone, next_version) AS until_us, CASE WHEN gone IS NOT NULL OR next_kind = '{OBSERVED}' "
        f"THEN 'observed' WHEN next_version IS NOT NULL THEN 'written' END AS ended_by FROM begun "
        f"WHERE {quoted(KIND)} IN ('{PUT}', '{OBSERVED}')"
    )
    made = {"grouped": grouped, "known": known, "begun": begun, "periods": periods}
    return {**evidence(versions, sources_table, keys), **made}
