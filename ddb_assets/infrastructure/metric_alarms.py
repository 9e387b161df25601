"""The alarms on what the project itself sends to CloudWatch, by the names of `contract/metrics.py`.

They look at maxima, which do not change if CloudWatch gets a datum twice. A look at a table comes once an hour: silence for two
hours means that Dagster, its sensor or the way to CloudWatch has stopped, and the alarm on the table's age goes off.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from ddb_assets.contract.metrics import NAMESPACE, TABLE, WAREHOUSE, Metric, dimension
from ddb_assets.contract.table import Table
from ddb_assets.contract.windows import LOAD_MAY_TAKE
from ddb_assets.infrastructure.wanted import Wanted

HOUR = timedelta(hours=1)


def metric_alarms(wanted: Wanted) -> Iterator[tuple[str, dict[str, Any]]]:
    """The name and the properties of each alarm on a metric that is chosen, table by table."""
    for table in wanted.tables:
        for name, metric, properties in _of(table):
            if metric in wanted.options.metrics:
                yield name, properties | {"Dimensions": _dimensions(table, wanted.warehouse)}


def _of(table: Table) -> Iterator[tuple[str, Metric, dict[str, Any]]]:
    late, age = _age(table)
    why = "or nothing was sent for two hours: look at Dagster's daemon"
    silent = {"Period": 3600, "EvaluationPeriods": 2, "TreatMissingData": "breaching"}
    yield f"{table.name} is late", age, _own(late, age, why) | silent
    yield f"runs of {table.name} fail", "LoadFailures", _own(0, "LoadFailures", "Dagster has their errors")
    unreadable = "items could not be read; the report of their export lists them"
    yield f"{table.name} has unreadable items", "RowsQuarantined", _own(0, "RowsQuarantined", unreadable)
    changed = "another job has added or deleted rows; ddb-assets status says where"
    yield (
        f"{table.name} has unexplained rows",
        "UnexplainedRows",
        _own(0, "UnexplainedRows", changed) | {"Period": 3600},
    )


def _age(table: Table) -> tuple[int, Metric]:
    """The metric of how old a table is, and from when it is too old: as the freshness policies of its assets have it."""
    if table.source == "stream":
        return HOUR // timedelta(milliseconds=1), "StreamLagMillis"
    return (table.windows.length + LOAD_MAY_TAKE[table.load]) // timedelta(seconds=1), "WindowAgeSeconds"


def _own(threshold: int, metric: Metric, why: str) -> dict[str, Any]:
    return above(threshold, NAMESPACE, metric, [], "Maximum", why)


def _dimensions(table: Table, warehouse: str) -> list[dict[str, Any]]:
    places = {TABLE: table.name, WAREHOUSE: warehouse}
    return [{"Name": name, "Value": dimension(value)} for name, value in places.items()]


def above(
    threshold: int, namespace: str, metric: str, dimensions: list[dict[str, Any]], statistic: str, why: str
) -> dict[str, Any]:
    """The properties of an alarm that goes off when one value of five minutes is above the threshold, and not by silence."""
    return {
        "AlarmDescription": f"{metric} is above {threshold}: {why}",
        "Namespace": namespace,
        "MetricName": metric,
        "Dimensions": dimensions,
        "Statistic": statistic,
        "Period": 300,
        "EvaluationPeriods": 1,
        "Threshold": threshold,
        "ComparisonOperator": "GreaterThanThreshold",
        "TreatMissingData": "notBreaching",
    }
