"""The metrics that a project has in CloudWatch: namespace, names, units and dimensions, and which of them are chosen.

`alerts/metrics/sensor.py` sends them, and the alarms of a stack watch them: both take the names from here. Pure.
Facts: CloudWatch API reference, MetricDatum and PutMetricData (the names of units; a value of a dimension is ASCII, and has
1,024 characters at most).
"""

from collections.abc import Mapping
from typing import Literal

from ddb_assets.settings import METRICS, SettingError

NAMESPACE = "DdbAssets"
TABLE, WAREHOUSE = "Table", "Warehouse"
"""The dimensions of every metric: the table's `name`, and the warehouse that it is loaded into."""
LONGEST = 1024
"""The characters of a dimension's value."""

Metric = Literal[
    "WindowsBehind",
    "WindowAgeSeconds",
    "StreamLagMillis",
    "UnexplainedRows",
    "BilledBytes",
    "RowsLoaded",
    "RowsStale",
    "RowsQuarantined",
    "ExtraValues",
    "LoadFailures",
]
UNITS: Mapping[Metric, str] = {
    "WindowsBehind": "Count",
    "WindowAgeSeconds": "Seconds",
    "StreamLagMillis": "Milliseconds",
    "UnexplainedRows": "Count",
    "BilledBytes": "Bytes",
    "RowsLoaded": "Count",
    "RowsStale": "Count",
    "RowsQuarantined": "Count",
    "ExtraValues": "Count",
    "LoadFailures": "Count",
}
"""All metrics, each with its unit. docs/alerts.md says what they mean; a test compares the page with this list."""
ALL = "all"


def chosen(text: str) -> tuple[Metric, ...]:
    """The metrics that a setting names, with commas between them: all of them for `all`, none for an empty text.

    Raises SettingError for another name.
    """
    if text.strip() == ALL:
        return tuple(UNITS)
    named = {name.strip() for name in text.split(",") if name.strip()}
    if unknown := sorted(named - set(UNITS)):
        raise SettingError(
            f"{METRICS} has {unknown[0]!r}, which is not a metric: write {ALL}, or names of {', '.join(UNITS)}, with commas "
            "between them"
        )
    return tuple(name for name in UNITS if name in named)


def dimension(text: str) -> str:
    """The text as the value of a dimension."""
    return "".join(character if "!" <= character <= "~" else "?" for character in text)[:LONGEST] or "?"
