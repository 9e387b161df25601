"""What the sandbox's demo tables hold unless told otherwise. Loads nothing."""

DEFAULT_ITEMS = 3_000
