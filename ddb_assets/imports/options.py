"""How an import runs, which its configuration does not say, and how it tells where it is."""

from dataclasses import dataclass, field

from ddb_assets.bulk.limits import DEADLINE_SECONDS, IN_FLIGHT
from ddb_assets.bulk.outcome import Totals


@dataclass(frozen=True)
class JobOptions:
    """`max_wcu` and `share` as in `WriteRate`, `in_flight` and `deadline` as in `BulkWriter`.

    A job that was killed or failed is gone on with, unless `restart`. `max_rejects`: so many are no failure, one more stops
    the job; None: each is one, 1,000 stop it. `verify`: how many items to read back. `report_extra`: afterwards the table's
    keys are read, to report the items that no row was for.
    """

    dry_run: bool = False
    restart: bool = False
    max_wcu: float | None = None
    share: float | None = None
    in_flight: int = IN_FLIGHT
    deadline: float = DEADLINE_SECONDS
    max_rejects: int | None = None
    verify: int = 0
    report_extra: bool = False


@dataclass
class Progress:
    """Stored bytes read of those there are, rows read in this run, and what the writer has done."""

    bytes_total: int
    bytes_read: int = 0
    rows: int = 0
    totals: Totals = field(default_factory=Totals)
