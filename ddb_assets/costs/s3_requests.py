"""Requests to S3, by what AWS charges for them. Pure.

Facts: Amazon S3 pricing (PUT, COPY, POST and LIST are one price, GET and all others another one; deletes and aborted uploads
cost nothing; requests that fail with 5xx are not charged).
Clients of AWS count with it, also in remote jobs, so it loads neither the prices nor their YAML.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ddb_assets.costs.prices import Prices

_FREE = frozenset({"DeleteObject", "DeleteObjects", "AbortMultipartUpload"})
_WRITING = ("Put", "Copy", "List", "Create", "Upload", "Complete")
"""How the names of the operations begin that are a PUT, COPY, POST or LIST."""


@dataclass(frozen=True)
class S3Requests:
    """How many of each price: `writes` are PUT, COPY, POST and LIST, `reads` are GET and HEAD."""

    writes: int = 0
    reads: int = 0

    @classmethod
    def of(cls, operation: str) -> "S3Requests":
        """One request of this operation of S3's API."""
        if operation in _FREE:
            return cls()
        return cls(writes=1) if operation.startswith(_WRITING) else cls(reads=1)

    def __add__(self, other: "S3Requests") -> "S3Requests":
        return S3Requests(self.writes + other.writes, self.reads + other.reads)

    def __sub__(self, other: "S3Requests") -> "S3Requests":
        return S3Requests(self.writes - other.writes, self.reads - other.reads)

    def usd(self, at: "Prices") -> float:
        """What they cost in US dollars."""
        return (self.writes * at.s3.thousand_writes + self.reads * at.s3.thousand_reads) / 1000
