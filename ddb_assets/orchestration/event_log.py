"""Reads Dagster's log of all runs from where the last tick of a sensor ended."""

from typing import Any

import dagster as dg


def newest(instance: dg.DagsterInstance, event: dg.DagsterEventType) -> int:
    """The number of the newest event of this kind; 0 if there is none."""
    found = instance.event_log_storage.get_event_records(dg.EventRecordsFilter(event), limit=1)
    return found[0].storage_id if found else 0


def after(instance: dg.DagsterInstance, event: dg.DagsterEventType, number: int, most: int) -> Any:
    """The events of this kind after that number, the oldest first, at most so many."""
    wanted = dg.EventRecordsFilter(event, after_cursor=number)
    return instance.event_log_storage.get_event_records(wanted, limit=most, ascending=True)
