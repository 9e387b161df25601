"""Records which statements were run, for SYS_QUERY_HISTORY and PG_LAST_QUERY_ID. `journal.py` records what COPY did.

The log is in memory; the journal writes it to tables when a query asks for it.
Facts: Redshift Database Developer Guide, SYS_QUERY_HISTORY, PG_LAST_QUERY_ID ("does not return the query ID for queries
that run exclusively on the leader node").
"""

import itertools
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from ddb_assets.sandbox.redshift.dialect import Plan
from ddb_assets.sandbox.redshift.wire import ServerError

KEPT = 10_000
FIRST = 1000
_TYPES = {
    **dict.fromkeys(("SELECT", "WITH"), "SELECT"),
    **{word: word for word in ("INSERT", "UPDATE", "DELETE", "COPY", "UNLOAD", "MERGE")},
    **dict.fromkeys(("CREATE", "ALTER", "DROP", "TRUNCATE", "COMMENT", "GRANT", "REVOKE"), "DDL"),
    **dict.fromkeys(
        ("BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "SET", "LOCK", "ANALYZE", "VACUUM"), "UTILITY"
    ),
}


@dataclass
class Ran:
    """One statement; times are UTC. `rows` is the number of rows that the client got."""

    query: int
    transaction: int
    session: int
    label: str
    text: str
    started: datetime
    ended: datetime
    status: str = "success"
    error: str = ""
    rows: int = 0

    @property
    def type(self) -> str:
        """The type of the statement as in SYS_QUERY_HISTORY."""
        words = self.text.split(maxsplit=1)
        return _TYPES.get(words[0].upper().rstrip(";"), "OTHER") if words else "OTHER"


class QueryLog:
    """The statements of all sessions, numbered in the order of their start."""

    def __init__(self) -> None:
        self._queries = itertools.count(FIRST)
        self._transactions = itertools.count(FIRST)
        self._ran: deque[Ran] = deque(maxlen=KEPT)

    def session(self, number: int) -> "SessionLog":
        """The log of a new session."""
        return SessionLog(number, self._queries, self._transactions, self._ran)

    def taken(self) -> list[Ran]:
        """The statements that were not returned before."""
        taken = []
        while self._ran:
            taken.append(self._ran.popleft())
        return taken


class SessionLog:
    """The statements of one session. `label` is its query_group; `last` is the number of the last one on compute nodes."""

    def __init__(self, session: int, queries: Iterator[int], transactions: Iterator[int], ran: deque[Ran]) -> None:
        self._session, self._queries, self._transactions, self._ran = session, queries, transactions, ran
        self._transaction = 0
        self.label = "default"
        self.last = -1

    @contextmanager
    def running(self, plan: Plan, *, in_transaction: bool) -> Iterator[Ran]:
        """Records the statement that runs in the block; nothing if the connection is lost."""
        if not in_transaction:
            self._transaction = next(self._transactions)
        now = datetime.now(UTC).replace(tzinfo=None)
        ran = Ran(next(self._queries), self._transaction, self._session, self.label, plan.text, now, now)
        try:
            yield ran
        except ServerError as error:
            ran.status, ran.error = "failed", error.message
            raise
        else:
            if plan.on_nodes:
                self.last = ran.query
            name, value = plan.setting
            if name == "query_group":
                self.label = value
        finally:
            ran.ended = datetime.now(UTC).replace(tzinfo=None)
            self._ran.append(ran)
