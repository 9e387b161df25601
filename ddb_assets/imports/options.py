"""How an import runs, which its configuration does not say, and how it tells where it is."""

from dataclasses import dataclass, field

from pydantic import Field

from ddb_assets.bulk.limits import PROVISIONED_SHARE
from ddb_assets.bulk.options import Verify, WriteOptions
from ddb_assets.bulk.outcome import Totals


class ImportOptions(WriteOptions):
    """What may be declared. Without `max_rejects` each rejected row is a failure, and 1,000 stop the job."""

    share: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="share of the table's capacity, and of each index's; "
        f"by default {PROVISIONED_SHARE} when it is provisioned, all when on demand",
    )
    max_rejects: int | None = Field(
        default=None, ge=0, description="so many rejected rows are no failure; one more stops the import"
    )
    verify: Verify = 0
    report_extra: bool = Field(
        default=False, description="read the table's keys afterwards, and say which items no row was for"
    )


class JobOptions(ImportOptions):
    """What is said with each run, too. A job that was killed or failed is gone on with, unless `restart`."""

    dry_run: bool = Field(default=False, description="read and check everything, write nothing")
    restart: bool = Field(
        default=False, description="begin again although an earlier run of this import was not finished"
    )


@dataclass
class Progress:
    """Stored bytes read of those there are, rows read in this run, and what the writer has done."""

    bytes_total: int
    bytes_read: int = 0
    rows: int = 0
    totals: Totals = field(default_factory=Totals)
