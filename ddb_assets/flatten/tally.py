"""What is counted while blocks are flattened. Counts of parts of an export can be merged, so files can be read anywhere."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import orjson

from ddb_assets.exports.manifest import DataFile
from ddb_assets.flatten.block import Batch
from ddb_assets.flatten.profile import Seen
from ddb_assets.flatten.quarantine import QuarantineFile
from ddb_assets.flatten.rules import Misfits, add_misfits
from ddb_assets.flatten.unread import MAX_UNREAD, UnreadKey

REASONS, REASON_LENGTH = 3, 300
MAX_UNKNOWN, OTHERS = 50, "others"  # so many names of unknown members are counted separately

Reason = tuple[str, int, str]
"""(block, line, text) of a quarantined line, for the reasons in the report."""


@dataclass
class Tally:
    """The counts of some blocks. `looked_at` is what was seen in samples, which knows examples that `seen` does not name."""

    lines: int = 0
    deletes: int = 0
    quarantined: int = 0
    bytes_raw: int = 0
    misfits: Misfits = field(default_factory=Misfits)
    unread: list[UnreadKey] = field(default_factory=list)
    unknown: dict[str, int] = field(default_factory=dict)
    reasons: list[Reason] = field(default_factory=list)
    quarantine: list[QuarantineFile] = field(default_factory=list)
    seen: Seen = field(default_factory=Seen)
    looked_at: Seen = field(default_factory=Seen)

    def add(self, batch: Batch) -> None:
        """Counts a batch, all but where its quarantined lines are (`add_quarantine`)."""
        self.lines += batch.lines
        self.deletes += batch.deletes
        self.quarantined += len(batch.quarantined)
        self.bytes_raw += batch.bytes
        self._add(batch.unread, batch.unknown, batch.misfits)
        self.seen.merge(batch.seen)

    def add_quarantine(self, written: QuarantineFile | None, reasons: Sequence[Reason]) -> None:
        """Notes a file of quarantined lines, unless it is not kept, and why lines are there."""
        self.quarantine += [written] if written else []
        self.reasons = sorted([*self.reasons, *reasons])[:REASONS]

    def merge(self, other: "Tally") -> None:
        """Adds the counts of other blocks."""
        self.lines += other.lines
        self.deletes += other.deletes
        self.quarantined += other.quarantined
        self.bytes_raw += other.bytes_raw
        self._add(other.unread, other.unknown, other.misfits)
        self.quarantine += other.quarantine
        self.reasons = sorted([*self.reasons, *other.reasons])[:REASONS]
        self.seen.merge(other.seen)
        self.looked_at.merge(other.looked_at)

    def _add(self, unread: Sequence[UnreadKey], unknown: dict[str, int], misfits: Misfits) -> None:
        self.unread += unread[: MAX_UNREAD - len(self.unread)]
        for member, times_seen in unknown.items():
            name = member if member in self.unknown or len(self.unknown) < MAX_UNKNOWN else OTHERS
            self.unknown[name] = self.unknown.get(name, 0) + times_seen
        add_misfits(self.misfits, misfits)


def reasons_of(name: str, file: DataFile, lines: Sequence[bytes]) -> list[Reason]:
    """The reasons of the first quarantine lines of a block. They have no values that the contract hides."""
    found = file.uri.rpartition("/")[2]
    entries = [orjson.loads(line) for line in lines[:REASONS]]
    return [(name, one["line"], f"{found} line {one['line']}: {one['reason'][:REASON_LENGTH]}") for one in entries]
