"""What a load knows about its table, from the loads in the table's ledger. Pure; `warehouse/history.py` says what it is."""

from collections.abc import Callable, Sequence

from pydantic import ValidationError

from ddb_assets.contract.identity import Identity
from ddb_assets.contract.report import Report
from ddb_assets.contract.scan import is_scan
from ddb_assets.microseconds import to_micros
from ddb_assets.warehouse.clickhouse.ledger import Entry, Ledger
from ddb_assets.warehouse.clickhouse.sql import LEDGER
from ddb_assets.warehouse.errors import LoadError
from ddb_assets.warehouse.history import History
from ddb_assets.warehouse.results import Load
from ddb_assets.warehouse.sql.ledger import STREAM, LedgerRow
from ddb_assets.warehouse.times import end


def history(ledger: Ledger, report: Report) -> History:
    """What the ledger knows about the table and the export of a report."""
    rows = [entry.row for entry in ledger.done]
    full = sorted(
        (row for row in rows if row.export_type == "FULL_EXPORT" and row.export_time),
        key=lambda row: (row.export_time, row.sequence),
    )
    initial_loads = tuple(sorted({to_micros(row.export_time) for row in full if row.export_time}))
    unread, blind = (_unread(full, each) for each in (_missed, _unkeyed))
    newest = max((time for time in initial_loads if time not in blind), default=0)
    applied = [row for row in rows if row.export_id == report.export_id]
    return History(
        sequence=ledger.sequence,
        table_arn=max((row.table_arn for row in rows), default=None),
        applied=applied[-1].result if applied else None,
        digest=applied[-1].digest if applied else None,
        initial_loads=initial_loads,
        initial_load_table_id=full[-1].table_id if full else None,
        inner_end=_inner_end(rows, report, newest),
        spanned_by=_spanning(rows, report, newest),
        deletes_forgotten_before=None,  # they are kept until a full export replaces all rows
        columns=filled(ledger),
        identity=_identity(rows),
        unread=unread,
        blind=blind,
        missed_until=max(
            (to_micros(t) for row in rows if _missed(row) and (t := row.to_time or row.export_time)), default=None
        ),
        streamed=max((row.table_id for row in rows if row.export_type == STREAM), default=None),
        scanned=bool(full) and is_scan(full[-1].export_id),
        ledger_id=max((entry.row.ledger_id for entry in ledger.every if entry.row.ledger_id), default=None),
    )


def loads(entries: Sequence[Entry]) -> tuple[Load, ...]:
    """The loads of these entries of the ledger, as `status` shows them: all that a stream brought is one load."""
    rows = [entry.row for entry in entries]
    last = max((row.sequence for row in rows if row.export_type == STREAM), default=None)
    shown = [row for row in rows if row.export_type != STREAM or row.sequence == last]
    return tuple(Load(**{name: getattr(row, name) for name in Load.__dataclass_fields__}) for row in shown)


def _missed(row: LedgerRow) -> int:
    """As `Report.missed`."""
    return row.quarantined - row.without_row


def _unkeyed(row: LedgerRow) -> int:
    return row.quarantined if row.unkeyed is None else row.unkeyed


def _unread(full: Sequence[LedgerRow], count: Callable[[LedgerRow], int]) -> frozenset[int]:
    """The times of the full exports that count some such items with their newest load, and not one export of that time none."""
    newest = {(to_micros(row.export_time), row.export_id): count(row) for row in full if row.export_time}
    return frozenset({time for time, _ in newest} - {time for (time, _), items in newest.items() if not items})


def filled(ledger: Ledger) -> dict[str, frozenset[str]]:
    """The relations that any load has filled, with the columns of all loads that name them.

    A load that is decided and not finished may have filled some, of which nobody knows the columns.
    """
    found = {name: frozenset[str]() for name in (ledger.pending.row.relation_rows if ledger.pending else ())}
    for entry in ledger.done:
        columns = entry.row.relation_columns
        named = columns if columns is not None else {name: [] for name in entry.row.relation_rows}
        for name, those in named.items():
            found[name] = found.get(name, frozenset()) | frozenset(those)
    return found


def _identity(rows: Sequence[LedgerRow]) -> Identity | None:
    said = [row.row_identity for row in rows if row.row_identity]
    if not said:
        return None
    try:
        identity = Identity.model_validate_json(said[-1])
    except ValidationError as error:
        raise LoadError(
            f"the ledger of {rows[0].relation} names an identity of its rows that this version of ddb_assets cannot read: "
            f"{said[-1]}; update ddb_assets if a newer version wrote it"
        ) from error
    identity.check_format(f"{LEDGER}{rows[0].relation}")
    return identity


def _windows(rows: Sequence[LedgerRow], table_id: str) -> list[tuple[int, int]]:
    """The windows of the DynamoDB table of this id."""
    own = [row for row in rows if row.table_id == table_id]
    return [(to_micros(row.from_time), to_micros(row.to_time)) for row in own if row.from_time and row.to_time]


def _inner_end(rows: Sequence[LedgerRow], report: Report, initial_load: int) -> int | None:
    if report.from_time is None or report.to_time is None:
        return None
    windows = _windows(rows, report.table_id)
    full = [to_micros(r.export_time) for r in rows if r.export_time and not r.to_time and r.table_id == report.table_id]
    begins = {begin for begin, _ in windows}
    first, last = to_micros(report.from_time), to_micros(report.to_time)
    inner = [moment for moment in (*full, *(until for _, until in windows)) if first < moment < last]
    return min((moment for moment in inner if moment >= initial_load and moment not in begins), default=None)


def _spanning(rows: Sequence[LedgerRow], report: Report, initial_load: int) -> tuple[int, int] | None:
    moment = end(report)
    if moment <= initial_load:
        return None  # the initial load says what became of every item
    windows = _windows(rows, report.table_id)
    if any(begin == moment for begin, _ in windows):
        return None
    return min(((begin, until) for begin, until in windows if begin < moment < until), default=None)
