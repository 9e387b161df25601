"""Which statements were run, for SYS_QUERY_HISTORY and PG_LAST_QUERY_ID. `journal.py` has what a COPY did.

Kept in memory; the journal writes it to tables when a query asks for it.
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
    **{word: word for word in ("INSERT", "UPDATE", "DELETE", "COPY", "MERGE")},
    **dict.fromkeys(("CREATE", "ALTER", "DROP", "TRUNCATE", "COMMENT", "GRANT", "REVOKE"), "DDL"),
    **dict.fromkeys(
        ("BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "SET", "LOCK", "ANALYZE", "VACUUM"), "UTILITY"
    ),
}


@dataclass
class Ran:
    """One statement; times are UTC. `rows` are those that went to the client."""

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
        """As SYS_QUERY_HISTORY has it."""
        words = self.text.split(maxsplit=1)
        return _TYPES.get(words[0].upper().rstrip(";"), "OTHER") if words else "OTHER"


class QueryLog:
    """All sessions' statements, numbered in the order in which they were begun."""

    def __init__(self) -> None:
        self._queries = itertools.count(FIRST)
        self._transactions = itertools.count(FIRST)
        self._ran: deque[Ran] = deque(maxlen=KEPT)

    def session(self, number: int) -> "SessionLog":
        """The log of a new session."""
        return SessionLog(number, self._queries, self._transactions, self._ran)

    def taken(self) -> list[Ran]:
        """What was not taken yet."""
        taken = []
        while self._ran:
            taken.append(self._ran.popleft())
        return taken


class SessionLog:
    """One session's statements. `label` is its query_group, `last` the number of the last that ran on compute nodes."""

    def __init__(self, session: int, queries: Iterator[int], transactions: Iterator[int], ran: deque[Ran]) -> None:
        self._session, self._queries, self._transactions, self._ran = session, queries, transactions, ran
        self._transaction = 0
        self.label = "default"
        self.last = -1

    @contextmanager
    def running(self, plan: Plan, *, in_transaction: bool) -> Iterator[Ran]:
        """Notes what is run in the block. A lost connection leaves nothing."""
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
