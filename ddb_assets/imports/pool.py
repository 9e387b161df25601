"""Which jobs exclude each other: of all that write into one table, one runs at a time."""

import re


def write_pool(table: str) -> str:
    """The Dagster pool of everything that writes into the table of this name or ARN, in whatever account and Region.

    Its limit has to be 1, as is that of every pool when the instance says so (`concurrency.pools.default_limit`).
    """
    return "dynamodb_write_" + re.sub(r"\W", "_", table.rpartition("/")[2], flags=re.ASCII)
