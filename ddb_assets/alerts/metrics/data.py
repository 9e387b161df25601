"""Turns what loads and the status of tables report into data of CloudWatch's metrics, and divides these among calls. Pure.

The names are those of `contract/metrics.py`. A datum has a table's name, a number and a time: never the value of an item.
Facts: CloudWatch API reference, PutMetricData (a call takes 1,000 data and 1 MB; a datum may be two weeks old).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ddb_assets.contract.metrics import TABLE, UNITS, WAREHOUSE, Metric, dimension
from ddb_assets.contract.stages import Stage

MOST, MOST_BYTES = 1000, 900_000
"""Data and bytes of one call, with room for the call's other fields."""
OLDEST = timedelta(days=13)
"""CloudWatch refuses a call with older data."""

_OF_LOAD: Mapping[str, tuple[Metric, float]] = {
    "upserted": ("RowsLoaded", 1),
    "stale": ("RowsStale", 1),
    "quarantined": ("RowsQuarantined", 1),
    "extra_values": ("ExtraValues", 1),
}
_OF_STATUS: Mapping[str, tuple[Metric, float]] = {
    "windows_behind": ("WindowsBehind", 1),
    "lag": ("WindowAgeSeconds", 1),
    "stream_lag": ("StreamLagMillis", 1000),
    "unexplained_rows": ("UnexplainedRows", 1),
    "billed_bytes": ("BilledBytes", 1),
}
SOURCES: Mapping[Stage, Mapping[str, tuple[Metric, float]]] = {
    "initial_load": _OF_LOAD,
    "warehouse": _OF_LOAD,
    "status": _OF_STATUS,
}
"""The metric of each fact of a stage, and the factor between their units."""
APPLIED = "applied"


@dataclass(frozen=True)
class Datum:
    """One value of a metric of a table at a time, UTC."""

    metric: Metric
    table: str
    value: float
    at: datetime

    def document(self, warehouse: str) -> dict[str, Any]:
        """As PutMetricData takes it."""
        places = {TABLE: dimension(self.table), WAREHOUSE: dimension(warehouse)}
        return {
            "MetricName": self.metric,
            "Dimensions": [{"Name": name, "Value": value} for name, value in places.items()],
            "Timestamp": self.at,
            "Value": self.value,
            "Unit": UNITS[self.metric],
        }


def measured(stage: Stage, table: str, facts: Mapping[str, object], at: datetime) -> list[Datum]:
    """The data of one materialization.

    None for a load that found its export loaded already: the counts in its facts are those of that load, whose own
    materialization has them too (none has them if its process died between the commit and that event). A fact that is missing
    is unknown, and not 0.
    """
    if stage != "status" and facts.get(APPLIED) is not True:
        return []
    return [
        Datum(metric, table, float(value) * factor, at)
        for name, (metric, factor) in SOURCES[stage].items()
        if isinstance(value := facts.get(name), int | float)
    ]


def failed(tables: Sequence[str], at: datetime) -> list[Datum]:
    """The data of a run that failed and was to make something of these tables."""
    return [Datum("LoadFailures", table, 1.0, at) for table in tables]


def calls(documents: Sequence[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """The documents of each call, in order."""
    call: list[dict[str, Any]] = []
    size = 0
    for document in documents:
        more = _bytes(document)
        if call and (len(call) == MOST or size + more > MOST_BYTES):
            yield call
            call, size = [], 0
        call.append(document)
        size += more
    if call:
        yield call


def _bytes(document: Mapping[str, Any]) -> int:
    """No fewer than any of CloudWatch's protocols needs; the oldest one writes the path of each field before it."""
    values = [document["MetricName"], *(place["Value"] for place in document["Dimensions"])]
    return 600 + 3 * sum(map(len, values))  # a character takes up to three bytes in a form
