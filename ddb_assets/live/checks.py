"""Whether a stream had everything, and whether its tables still write to it as they should.

Nothing that a stream lost stays lost in a table of exports: the next windows put it right. So these checks warn. They say
since when a live table may lack something. In a table that a stream fills it stays lost, so a gap is an error.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import dagster as dg

from ddb_assets.aws.clients import AWS
from ddb_assets.errors import DdbAssetsError
from ddb_assets.live.follow import Followed
from ddb_assets.live.streams import FollowedStream
from ddb_assets.markdown import prose
from ddb_assets.orchestration import metadata
from ddb_assets.streams.calls import StreamCalls
from ddb_assets.streams.destination import destination
from ddb_assets.streams.own_stream import OWN_STREAM, WITH_IMAGES, own_stream
from ddb_assets.streams.position import Gap
from ddb_assets.warehouse.results import Refreshed

if TYPE_CHECKING:
    from ddb_assets.contract.table import Table

WARN = dg.AssetCheckSeverity.WARN
HEALED = "its live table is whole again when windows cover this time"
WHOLE, SENT, READ = "stream_has_no_gap", "tables_write_to_stream", "records_readable"


def check_specs(stream: FollowedStream) -> list[dg.AssetCheckSpec]:
    """The checks of a stream's asset."""
    said = {
        WHOLE: "No record expired before it was read, or windows have covered the time since then, or the table started over.",
        SENT: "Each table writes its changes to the stream, with microseconds.",
        READ: "Every record is a change of a table, and every change of a declared table could be loaded.",
    }
    return [
        dg.AssetCheckSpec(name, asset=metadata.asset_key("stream", stream.name), description=text)
        for name, text in said.items()
    ]


def check_results(aws: AWS, stream: FollowedStream, followed: Followed) -> Iterator[dg.AssetCheckResult]:
    """Their results after one look at the stream."""
    lost = any(one.gap for one in followed.tables.values() if one.table.source == "stream")
    yield _result(stream, WHOLE, list(_gaps(followed)), dg.AssetCheckSeverity.ERROR if lost else WARN)
    yield _result(stream, SENT, [said for table in stream.tables if (said := _not_sent(aws, table, followed.stream))])
    yield _result(stream, READ, list(_unread(followed)))


def refreshed_results(aws: AWS, stream: FollowedStream, refreshed: Refreshed) -> Iterator[dg.AssetCheckResult]:
    """The results for a stream that the warehouse reads itself."""
    arn = StreamCalls(aws.kinesis(stream.stream), stream.stream).describe().arn
    gaps = [_lost(name, gap, HEALED) for name, gap in refreshed.gaps.items()]
    yield _result(stream, WHOLE, [*gaps, *refreshed.problems])
    yield _result(stream, SENT, [said for table in stream.tables if (said := _not_sent(aws, table, arn))])
    yield _result(stream, READ, list(_not_shown(refreshed)))


def _not_shown(refreshed: Refreshed) -> Iterator[str]:
    if refreshed.unparsed:
        yield (
            f"{refreshed.unparsed:,} records are no changes of a table, or have a text that SUPER does not hold; what they say "
            "is missing in the live tables until windows cover it"
        )
    for name, count in refreshed.unreadable.items():
        yield (
            f"{count:,} records of {name} are no changes of it, or have a key that its key columns do not hold; what they say "
            "is missing in its live table until windows cover it"
        )


def _result(
    stream: FollowedStream, name: str, problems: list[str], severity: dg.AssetCheckSeverity = WARN
) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        passed=not problems,
        severity=severity,
        asset_key=metadata.asset_key("stream", stream.name),
        check_name=name,
        description=prose("; ".join(problems).replace("`", "")) or None,
    )


def _gaps(followed: Followed) -> Iterator[str]:
    for name, one in followed.tables.items():
        if gap := one.gap:
            healed = HEALED
            if one.table.source == "scan":
                healed = f"its live table is whole again when a scan that began later is loaded: materialize {one.table.chain}"
            if one.table.source == "stream":
                healed = (
                    "nothing puts this right by itself, as no export fills the table: start it over "
                    f"{one.table.chain.restart}; or remove `source: stream`, and load a full export with `restart: true`"
                )
            yield _lost(name, gap, healed)


def _lost(name: str, gap: Gap, healed: str) -> str:
    return f"{name}: {gap}; {healed}"


def _not_sent(aws: AWS, table: "Table", stream: str) -> str:
    """What is wrong with the destination of a table; empty if nothing is, or if it cannot be asked about."""
    try:
        if table.stream == OWN_STREAM:
            return _own_problem(aws, table)
        found = destination(aws.dynamodb(table.table), table.table, stream)
    except DdbAssetsError as error:
        return f"{table.name}: could not be checked: {error}"
    if found is None or not found.works:
        status = found.status if found else "not enabled"
        reason = f" ({found.reason})" if found and found.reason else ""
        return (
            f"{table.name} does not write to the stream: {status}{reason}; run: ddb-assets stream enable {table.table} "
            f"{stream}"
        )
    if not found.exact:
        return (
            f"{table.name} writes to the stream with milliseconds, so the order of two writes within one is not certain; "
            f"run: ddb-assets stream enable {table.table} {stream}"
        )
    return ""


def _own_problem(aws: "AWS", table: "Table") -> str:
    found = own_stream(aws.dynamodb(table.table), table.table)
    if found and found.view in WITH_IMAGES:
        return ""
    status = f"its records have {found.view}" if found and found.view else "it is not enabled"
    return (
        f"{table.name} has no stream with its items: {status}; run: ddb-assets stream enable {table.table} {OWN_STREAM}"
    )


def _unread(followed: Followed) -> Iterator[str]:
    if unreadable := sum(landed.unreadable for _, landed in followed.drains):
        yield f"{unreadable:,} records are no changes of a table and are in quarantine"
    for name, one in followed.tables.items():
        if one.landing.quarantined:
            yield f"{one.landing.quarantined:,} records of {name} have another key and are in quarantine"
        if (done := one.result or one.loaded) and done.quarantined:
            yield f"{done.quarantined:,} items of {name} are in quarantine"
        if one.error:
            yield f"{name} was not loaded: {one.error}"
