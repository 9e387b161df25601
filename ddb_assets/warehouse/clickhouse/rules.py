"""The rules of one load: which write of an item counts, and which marks a row has. Pure: from the report and the ledger."""

from collections.abc import Mapping
from dataclasses import dataclass

from ddb_assets.contract.report import Report
from ddb_assets.warehouse.clickhouse.sql import STAGE, table
from ddb_assets.warehouse.history import History
from ddb_assets.warehouse.protocol import LoadOptions
from ddb_assets.warehouse.times import start


@dataclass(frozen=True)
class Rules:
    """Times are microseconds since 1970 UTC, each list oldest first.

    `time` is that of a full export, None for a window. `replaces`: what is staged takes the place of all rows, so rows that
    stay must be staged too. `clean` is the time of the newest full export that says of every item what became of it, `unclear`
    are newer ones that do so except for some items, `whole` all full exports that do either, and `blind` the newer ones that
    do not say which items were gone; `whole` and `blind` with this export. `unread` is the quoted name of the table of items
    that could not be read as it is after this load; empty if none matter. `hidden` has the columns, by relation, in which rows
    that stay must not show their values any more. `keeps_all`: all rows stay unless the export has newer ones, and are staged.
    """

    load: int
    export_id: str
    soft_delete: bool
    restart: bool
    replaces: bool
    time: int | None
    clean: int
    unclear: tuple[int, ...]
    whole: tuple[int, ...]
    blind: tuple[int, ...]
    unread: str
    hidden: Mapping[str, frozenset[str]]
    keeps_all: bool


def rules_of(
    report: Report, how: LoadOptions, known: History, load: int, unread: str, hidden: Mapping[str, frozenset[str]]
) -> Rules:
    """The rules for one export; `known` is what is left of the ledger after a restart, `unread` the name of a staging table."""
    time = start(report) if report.is_full else None
    names_all = time is not None and not report.unkeyed
    whole, blind = set(known.initial_loads) - known.blind, {one for one in known.blind if one > (known.clean or 0)}
    if time is not None:
        whole, blind = (whole | {time}, blind - {time}) if names_all else (whole - {time}, blind | {time})
    replaces = how.restart or (names_all and (how.soft_delete or (time or 0) >= (known.clean or 0)))
    return Rules(
        load=load,
        export_id=report.export_id,
        soft_delete=how.soft_delete,
        restart=how.restart,
        replaces=replaces or bool(hidden),
        time=time,
        clean=known.clean or 0,
        unclear=tuple(sorted(t for t in (known.unread - known.blind) if t > max(known.clean or 0, start(report)))),
        whole=tuple(sorted(whole)),
        blind=tuple(sorted(blind)),
        unread=unread and table(STAGE, unread),
        hidden=hidden,
        keeps_all=bool(hidden) and not replaces,
    )
