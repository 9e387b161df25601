"""What Dagster shows of a stream and of the live tables after one look at the stream."""

from collections.abc import Mapping
from datetime import UTC, datetime

import dagster as dg

from ddb_assets.contract.column_type import SqlType
from ddb_assets.flatten.names import reported
from ddb_assets.live.follow import Followed, TableFollowed
from ddb_assets.markdown import code
from ddb_assets.microseconds import from_micros
from ddb_assets.orchestration import metadata
from ddb_assets.warehouse.facts import load_facts, of_table
from ddb_assets.warehouse.results import Refreshed

BEHIND, AGE = "millis_behind_latest", "newest_record_age"


def stream_facts(followed: Followed) -> metadata.Metadata:
    """Counts, how far behind reading is, and the position of each shard."""
    drained = followed.last
    undeclared: dict[str, int] = {}
    for _, landed in followed.drains:
        for name, count in landed.undeclared.items():
            undeclared[name] = undeclared.get(name, 0) + count
    landings = [one.landing for one in followed.tables.values()]
    counts = {
        "records": followed.records,
        "rows": sum(one.rows for one in landings),
        "duplicates": sum(one.duplicates for one in landings),
        "superseded": sum(one.superseded for one in landings),
        "unreadable": sum(landed.unreadable for _, landed in followed.drains),
        "of_undeclared_tables": sum(undeclared.values()),
        "throttled": sum(drained.throttled for drained, _ in followed.drains),
        BEHIND: drained.behind_millis,
    }
    facts: metadata.Metadata = {name: dg.MetadataValue.int(count) for name, count in counts.items()}
    facts["caught_up"] = dg.MetadataValue.bool(drained.caught_up)
    facts["stream_arn"] = dg.MetadataValue.text(followed.stream)
    if drained.newest_age is not None:
        facts[AGE] = dg.MetadataValue.float(round(drained.newest_age, 3))
    if undeclared:
        facts["undeclared_tables"] = dg.MetadataValue.json(dict(sorted(undeclared.items())[: metadata.MAX_ROWS]))
    if quarantines := [landed.quarantine for _, landed in followed.drains if landed.quarantine]:
        facts["quarantine"] = dg.MetadataValue.json(quarantines)
    facts["position"] = metadata.markdown(
        ("Shard", "Read to", "Behind (ms)"), _positions(followed)[: metadata.MAX_ROWS]
    )
    return facts


def _positions(followed: Followed) -> list[tuple[str, str, str]]:
    """Each shard with the sequence number that every table has, and how far that was from the shard's end."""
    found: dict[str, tuple[str, str, str]] = {}
    for drained, _ in followed.drains:
        for shard, stretch in drained.stretches.items():
            found[shard] = (code(shard), code(stretch.to), f"{stretch.behind_millis:,}")
    return [found[shard] for shard in sorted(found)]


def refreshed_facts(refreshed: Refreshed) -> metadata.Metadata:
    """Counts and positions of a stream that the warehouse reads itself."""
    counts = {
        "records": refreshed.read,
        "kept": refreshed.kept,
        "unreadable": refreshed.unparsed + sum(refreshed.unreadable.values()),
        "of_undeclared_tables": sum(refreshed.undeclared.values()),
    }
    facts: metadata.Metadata = {name: dg.MetadataValue.int(count) for name, count in counts.items()}
    if refreshed.newest:
        newest = refreshed.newest.replace(tzinfo=UTC)
        facts["newest_record"] = dg.MetadataValue.timestamp(newest)
        facts[AGE] = dg.MetadataValue.float(round((datetime.now(UTC) - newest).total_seconds(), 3))
    if refreshed.undeclared:
        few = dict(sorted(refreshed.undeclared.items())[: metadata.MAX_ROWS])
        facts["undeclared_tables"] = dg.MetadataValue.json(few)
    if refreshed.waiting:
        facts["waiting_for_a_load"] = dg.MetadataValue.json(list(refreshed.waiting))
    if refreshed.settled_before:
        facts["settled_before"] = dg.MetadataValue.timestamp(refreshed.settled_before)
    shards = sorted(refreshed.position.shards.items())[: metadata.MAX_ROWS]
    facts["position"] = metadata.markdown(("Shard", "Read to"), [(code(one), code(to)) for one, to in shards])
    return facts


def tail_facts(table_name: str, rows: int) -> metadata.Metadata:
    """How many rows the tail of a relation has."""
    return {metadata.TABLE_NAME: dg.MetadataValue.text(table_name), "tail_rows": dg.MetadataValue.int(rows)}


def live_facts(followed: TableFollowed, relation: str, table_name: str) -> metadata.Metadata:
    """What became of a table's records, and how many rows the tail of this relation has."""
    result = followed.result
    facts: metadata.Metadata = {metadata.TABLE_NAME: dg.MetadataValue.text(table_name)}
    if result and relation in result.tail_rows:
        facts["tail_rows"] = dg.MetadataValue.int(result.tail_rows[relation])
    if result and result.covered_until and relation == followed.table.name:
        facts["covered_until"] = dg.MetadataValue.timestamp(result.covered_until)
    return facts | (record_facts(followed) if relation == followed.table.name else {})


def table_facts(
    followed: TableFollowed, path: tuple[str, ...], table_name: str, columns: Mapping[str, SqlType]
) -> metadata.Metadata:
    """What became of the records of a table that the stream fills, and what its relation at this path is like now."""
    facts: metadata.Metadata = {metadata.TABLE_NAME: dg.MetadataValue.text(table_name)}
    if followed.loaded and followed.report:
        relation = reported(followed.table, followed.report)[path]
        loaded = load_facts(followed.loaded, relation, table_name, [], soft_delete=followed.table.soft_delete)
        facts = of_table(loaded, columns)
    return facts if path else facts | record_facts(followed)


def record_facts(followed: TableFollowed) -> metadata.Metadata:
    """What became of a table's records."""
    landing = followed.landing
    counts: Mapping[str, int] = {
        "records": landing.records,
        **followed.counts,
        "already_known": landing.known,
        "ttl_deletes": landing.ttl_deletes,
        "in_milliseconds": landing.in_milliseconds,
    }
    facts: metadata.Metadata = {name: dg.MetadataValue.int(count) for name, count in counts.items()}
    if landing.newest:
        facts["newest_write"] = dg.MetadataValue.timestamp(from_micros(landing.newest))
    if landing.uri:
        facts[metadata.URI] = dg.MetadataValue.text(landing.uri)
    return facts
