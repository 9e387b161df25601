"""The default size of the sandbox's demo tables. Imports nothing, so that the command line starts fast."""

DEFAULT_ITEMS = 3_000
