"""DuckDB with one thread: tables of tests are small, and handing a query to a second thread takes longer than the query."""

from typing import Any

import duckdb

_connect: Any = duckdb.connect


def one_thread() -> None:
    """Lets every connection of this process have one thread."""

    def connect(*arguments: Any, **named: Any) -> duckdb.DuckDBPyConnection:
        opened: duckdb.DuckDBPyConnection = _connect(*arguments, **named)
        opened.execute("SET threads = 1")
        return opened

    duckdb.connect = connect
