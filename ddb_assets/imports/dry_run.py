"""What stands in for the writer when nothing is to be written: it counts what would be, and what it would cost."""

from ddb_assets.bulk.operation import Operation
from ddb_assets.bulk.outcome import Stop, Totals, WriterStoppedError
from ddb_assets.bulk.rate import WriteRate


class DryWriter:
    """Has the methods of `BulkWriter` that a job uses. Its `consumed` is what the operations are expected to cost."""

    def __init__(self) -> None:
        self.totals = Totals()
        self.units: list[int] = []
        self._stop = Stop()

    def write(self, operation: Operation) -> None:
        """Counts it."""
        self._stop.check()
        if operation.kind == "delete":
            self.totals.deleted += 1
        else:
            self.totals.written += 1
        self.totals.consumed += sum(operation.units)
        if len(self.units) < len(operation.units):
            self.units = [0] * len(operation.units)
        for place, units in enumerate(operation.units):
            self.units[place] += units

    def seconds_at(self, rate: WriteRate) -> float:
        """How long writing what was counted would take at least."""
        return rate.seconds_for(self.units) if self.units else 0.0

    def flush(self) -> None:
        """Raises WriterStoppedError when it was stopped."""
        self._stop.check()

    def close(self) -> Totals:
        """As `flush`."""
        self._stop.check()
        return self.totals

    def stop(self, reason: str) -> None:
        """Takes nothing more."""
        self._stop.set(WriterStoppedError(reason))
