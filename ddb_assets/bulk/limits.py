"""How fast a table is read and written, and how long a request is tried, unless a job says otherwise. Loads nothing."""

IN_FLIGHT = 8
DEADLINE_SECONDS = 300.0
PROVISIONED_SHARE = 0.5
"""Of a provisioned table's capacity: the other half is the application's."""
