"""What must hold before an export is loaded: its own numbers, and its place in the table's history.

These guards look only at the report and the ledger. Guards that need the staged rows are in `sql/`, where rows are staged.
"""

from collections.abc import Collection
from datetime import UTC, datetime

from ddb_assets.contract.column_type import SqlType
from ddb_assets.contract.identity import Identity
from ddb_assets.contract.report import Report
from ddb_assets.contract.stages import Chain
from ddb_assets.warehouse.errors import LoadError
from ddb_assets.warehouse.history import History
from ddb_assets.warehouse.times import end, start


def check_report(report: Report) -> None:
    """Checks the report's own numbers, before anything is changed."""
    # guard: frozen contract
    if frozen := report.misfits.get("frozen"):
        raise LoadError(
            f"export {report.export_id} has {sum(frozen.values())} values that the frozen contract of {report.table} does not "
            f"know, at {', '.join(sorted(frozen)[:5])}: nothing was loaded; add them to the contract (`contract: evolve` for "
            "the path) and flatten again"
        )
    # guard: a part is not the table
    if report.scan and report.scan.is_partial:
        raise LoadError(
            f"scan {report.export_id} has left out {report.scan.left_out}, and a load would take them out of the warehouse: "
            f"scan {report.table} without --filter and --projection, or use the Parquet of `ddb-assets flatten`"
        )
    root, full = report.root, report.is_full
    flagged = any(c.role == "deleted" for c in root.columns)
    explained = root.rows + report.quarantined
    # guard: items = rows + quarantined
    if report.items_in_manifest != explained:
        raise LoadError(
            f"export {report.export_id} has {report.items_in_manifest} items in its manifest, but {root.rows} rows + "
            f"{report.quarantined} quarantined = {explained}: flatten it again"
        )
    for relation in report.relations:
        in_parts = sum(part.rows for part in relation.parts)
        # guard: rows in schema = report = parts
        if not relation.rows == in_parts == report.rows.get(relation.name):
            raise LoadError(
                f"relation {relation.name!r} of export {report.export_id} has {relation.rows} rows in its schema, "
                f"{report.rows.get(relation.name)} in the report and {in_parts} in its parts: flatten it again"
            )
    # guard: delete flag
    if flagged == full or (full and report.deletes):
        raise LoadError(
            f"the {report.export_type} {report.export_id} {'has' if full else 'lacks'} a delete flag: flatten it again"
        )
    for relation in report.relations:
        # guard: rows have keys
        if relation.rows and not relation.keys:
            raise LoadError(f"relation {relation.name!r} has rows but no key columns: flatten the export again")
        # guard: names of the bookkeeping
        if relation.name.startswith("_ddb_"):
            raise LoadError(f"relation {relation.name!r} has a name of the bookkeeping: give the table another name")
        for column in relation.columns:
            try:
                # guard: types are known
                SqlType.parse(column.type)
            except ValueError as error:
                raise LoadError(f"column {column.name!r} of relation {relation.name!r}: {error}") from error
    start(report), end(report)


def check_quarantine(report: Report, allowed: int, *, few: bool = False) -> None:
    """Refuses an export with more unreadable items than the contract allows, or of which no item could be read.

    What is read of a stream at a time may be so `few` items that none of them can be read.
    """
    unread = report.unread
    # guard: keys of quarantined items add up
    if unread and not unread.rows == sum(part.rows for part in unread.parts) <= report.missed:
        raise LoadError(
            f"export {report.export_id} has {report.quarantined} quarantined items and the keys of {unread.rows}, "
            f"{sum(part.rows for part in unread.parts)} of them in parts: flatten it again"
        )
    doubtful = report.quarantined if report.is_full else report.missed
    hopeless = doubtful and not report.root.rows and not few
    # guard: something could be read
    # guard: quarantined items within the limit
    if report.quarantined <= allowed and not hopeless:
        return
    where = ", ".join(report.quarantine[:3]) + (", …" if len(report.quarantine) > 3 else "")
    first = f"First: {'; '.join(report.reasons)}. " if report.reasons else ""
    said = (
        f"of the {report.items_in_manifest:,} items of export {report.export_id} {report.quarantined:,} could not be "
        f"read: nothing was loaded. {first}All of them, with reasons: {where}. "
    )
    if hopeless:
        raise LoadError(
            f"{said}As no item at all could be read, the key or the contract of {report.table} may be wrong"
        )
    raise LoadError(
        f"{said}The contract of {report.table} allows {allowed:,} (max_quarantined): correct the items in DynamoDB and export "
        f"again, or, to load without them, set max_quarantined: {report.quarantined} (from the command line in a "
        "--config); each of them then keeps its previous row"
    )


def refuse(report: Report, known: History, chain: Chain) -> None:
    """Raises LoadError for an export that cannot be merged with the tables; it names `chain` as the way to a full export."""
    name, full = report.root.name, report.is_full
    _refuse_other_rows(report, known, chain)
    # guard: an export into the table of a stream
    if known.streamed is not None:
        raise LoadError(
            f"a stream has filled {name!r} (`source: stream`), and its times and those of exports are not of one clock, so "
            f"{report.export_id} cannot be loaded into it: start the table over {chain.restart}"
        )
    # guard: window without an initial load
    if not full and known.initial_load is None:
        raise LoadError(
            f"{name!r} has no initial load yet, and a window alone would be a table with holes: load a full export first "
            f"(materialize {chain}), then this window"
        )
    # guard: window after a scan
    if not full and known.scanned:
        raise LoadError(
            f"{name!r} was loaded from a scan, which is of no single moment: an item that the scan saw may have been put and "
            f"deleted within window {report.export_id}, which then does not name it. Load a full export first (materialize "
            f"{chain}), and only windows that follow it"
        )
    # guard: table dropped and made again
    if not full and known.initial_load_table_id != report.table_id:
        raise LoadError(
            f"window {report.export_id} belongs to table id {report.table_id}, the initial load of {name!r} to "
            f"{known.initial_load_table_id}: the table was dropped and created again; load a full export of the new one "
            f"(materialize {chain}) and only windows that follow it"
        )
    # guard: window around an initial load or an end
    if known.inner_end is not None:
        inner = _iso(known.inner_end)
        raise LoadError(
            f"window {report.export_id} begins before {inner} and ends after it, and that is the time of the newest full "
            f"export of {name!r} or the end of another window: items that were there at that time and deleted in the "
            f"rest of the window are not in it. Export the window that begins at {inner}, or make a new initial load at this "
            f"window's end or later (materialize {chain})"
        )
    # guard: export that ends inside a window
    if known.spanned_by is not None:
        begin, end = map(_iso, known.spanned_by)
        raise LoadError(
            f"export {report.export_id} ends inside the window {begin} to {end}, which {name!r} has already: items that it "
            f"shows and that were deleted in the rest of that window are not in that window, so they would never be deleted. "
            f"Make a new initial load at {end} or later (materialize {chain}), or load the window "
            f"that begins where this export ends first"
        )
    # guard: forgotten deletes, incomplete initial load
    covered = known.clean or 0  # an initial load with unread items does not cover all items
    forgotten = known.deletes_forgotten_before
    # guard: forgotten deletes
    if forgotten is not None and max(start(report), covered) < forgotten and not (full and start(report) <= covered):
        raise LoadError(
            f"export {report.export_id} reaches back before {_iso(forgotten)}, and deletes older than that have been "
            f"forgotten, so it could bring deleted rows back: load a newer full export "
            f"(materialize {chain})"
        )


def refuse_tail(report: Report, known: History, identities: Collection[Identity], chain: Chain) -> None:
    """Raises LoadError for records of a stream that do not fit the table, or the rows of these identities in its tail."""
    name = report.root.name
    _refuse_other_rows(report, known, chain)
    # guard: a tail beside the table of a stream
    if known.streamed is not None:
        raise LoadError(
            f"a stream has filled {name!r} itself (`source: stream`), so it can have no tail: restore `source: stream`, or "
            f"start the table over {chain.restart}"
        )
    # guard: stream of the table made again
    if known.initial_load_table_id not in {None, report.table_id}:
        raise LoadError(
            f"the records {report.export_id} belong to table id {report.table_id}, the initial load of {name!r} to "
            f"{known.initial_load_table_id}: the table was dropped and created again; load a full export of the new one "
            f"(materialize {chain})"
        )
    # guard: tail of one identity
    if found := [why for one in identities for why in _identity(report).differences(one)]:
        raise LoadError(
            f"the records {report.export_id} do not match those that the tail of {name!r} has: {'; '.join(found)}. Restore "
            f"what it was before, or load a full export (materialize {chain}), with which the tail starts over"
        )


def refuse_stream(report: Report, known: History, chain: Chain, *, tailed: bool) -> None:
    """Raises LoadError for records of a stream that do not fit a table which a stream fills; `tailed`: it has a tail."""
    name = report.root.name
    _refuse_other_rows(report, known, chain)
    # guard: a stream into the table of exports
    if known.initial_load is not None or tailed:
        raise LoadError(
            f"{name!r} has {'a tail beside it' if tailed else 'rows of exports'}, and times of exports and those of the stream "
            f"are not of one clock, so the stream cannot fill it: remove `source: stream`, or start the table over "
            f"{chain.restart}"
        )
    # guard: a stream's table made again
    if known.streamed not in {None, report.table_id}:
        raise LoadError(
            f"the records {report.export_id} belong to table id {report.table_id}, the rows of {name!r} to {known.streamed}: "
            f"the table was dropped and created again; start it over {chain.restart}"
        )


def same_identity(report: Report, identities: Collection[Identity]) -> bool:
    """Whether rows of the report can be compared with rows of all these identities."""
    return not any(_identity(report).differences(one) for one in identities)


def _refuse_other_rows(report: Report, known: History, chain: Chain) -> None:
    """Raises LoadError when the loaded rows are of another DynamoDB table or another identity."""
    name = report.root.name
    # guard: another DynamoDB table
    if known.table_arn not in {None, report.table_arn}:
        raise LoadError(
            f"the rows of {name!r} come from {known.table_arn}, and this export is of {report.table_arn}: "
            f"give one of the two tables another name or schema"
        )
    # guard: rows of one identity
    if known.identity and (found := _identity(report).differences(known.identity)):
        raise LoadError(
            f"export {report.export_id} does not match the rows of {name!r}: {'; '.join(found)}. Restore what it was before, "
            f"or start the table over {chain.restart}"
        )


def check_restart(report: Report, chain: Chain) -> None:
    """Raises LoadError when a table would be started over with an export that does not have all of its items."""
    if not report.is_full:
        raise LoadError(
            f"{report.root.name!r} can only be started over with a full export, and {report.export_id} is of a window: start "
            f"it over {chain.restart}"
        )


def _identity(report: Report) -> Identity:
    if report.identity is None:
        raise LoadError(
            f"export {report.export_id} was flattened by a version that did not record its key: flatten it again"
        )
    return report.identity


def _iso(micros_: int) -> str:
    return datetime.fromtimestamp(micros_ // 1_000_000, UTC).isoformat()
