"""How fast a table is read and written, how long a request is tried, and how many keys are shown. Loads nothing."""

IN_FLIGHT = 8
DEADLINE_SECONDS = 300.0
PROVISIONED_SHARE = 0.5
"""The share of a provisioned table's capacity that is used. The application keeps the other half."""
SHOWN_KEYS = 100
"""How many keys a report names of the items that are missing or different; its counts are of all."""
