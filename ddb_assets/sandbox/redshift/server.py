"""A Redshift emulator on a loopback port: PostgreSQL behind a proxy that accepts and refuses what Redshift does.

Real clients such as redshift_connector can connect. COPY reads from S3 through the given storage. The modules of its parts
say where it differs from Redshift. It is neither fast nor durable.
"""

import socket
import ssl
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from ddb_assets.aws.storage import Storage
from ddb_assets.sandbox.redshift.backend import Backend, literal
from ddb_assets.sandbox.redshift.external_tables import DataCatalog
from ddb_assets.sandbox.redshift.faults import Faults
from ddb_assets.sandbox.redshift.journal import Journal
from ddb_assets.sandbox.redshift.names import Names
from ddb_assets.sandbox.redshift.plans import Plans
from ddb_assets.sandbox.redshift.postgres import SUPERUSER, postgres
from ddb_assets.sandbox.redshift.query_log import QueryLog
from ddb_assets.sandbox.redshift.session import Session
from ddb_assets.sandbox.redshift.shared import SUPER, VARBYTE, VARCHAR, Shared

HOST = "127.0.0.1"
DATABASE = "dev"
USER, PASSWORD = "awsuser", "sandbox"  # only this machine can reach the server
STATEMENTS = 10_000
_ISOLATION = {"snapshot": "repeatable read", "serializable": "serializable"}
_TYPES = {"rs_varchar": VARCHAR, "super": SUPER, "varbyte": VARBYTE}


class RedshiftServer:
    """A Redshift emulator, as a context manager. It starts empty and leaves nothing behind.

    COPY reads from `storage`; the server keeps its files in `folder`. `isolation` is that of the database: snapshot for new
    databases, serializable for older ones. Materialized views read streams by the client `kinesis`, external schemas
    show the tables of `catalog`. With a `tls` context
    clients may encrypt, as Redshift's clients do by default. `faults` makes it misbehave. `statements` has the texts of
    the latest statements that it received.

    Raises PostgresError when it cannot start, OSError when the port is taken.
    """

    def __init__(
        self,
        storage: Storage,
        *,
        port: int = 0,
        isolation: Literal["snapshot", "serializable"] = "snapshot",
        tls: ssl.SSLContext | None = None,
        kinesis: Any = None,
        catalog: DataCatalog | None = None,
    ) -> None:
        self.host, self.port = HOST, port
        self.database, self.user, self.password = DATABASE, USER, PASSWORD
        self.faults = Faults()
        self.statements: deque[str] = deque(maxlen=STATEMENTS)
        self.storage = storage
        self._isolation = _ISOLATION[isolation]
        self._tls = tls
        self.kinesis = kinesis
        self.catalog = catalog
        self.folder = Path()
        self._sessions: set[Session] = set()
        self._threads: list[threading.Thread] = []
        self._stack = ExitStack()
        self._listener = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            listening = stack.enter_context(socket.create_server((HOST, self.port)))
            self.port = listening.getsockname()[1]
            stack.callback(self._close_listener)
            path = stack.enter_context(postgres())
            self.folder = path.parent.parent
            self._prepare(path)
            journal = Journal(stack.enter_context(Backend(path, SUPERUSER, DATABASE)))
            with Backend(path, SUPERUSER, DATABASE) as backend:
                known = backend.query(
                    f"SELECT oid, typname FROM pg_type WHERE typname IN ({', '.join(map(literal, _TYPES))})"  # noqa: S608
                )
            names = Names(journal.remember)
            self._shared = Shared(
                socket_path=path,
                database=DATABASE,
                users={USER: PASSWORD},
                isolation=self._isolation,
                storage=self.storage,
                journal=journal,
                log=QueryLog(),
                names=names,
                plans=Plans(names),
                faults=self.faults,
                oids={int(oid or 0): _TYPES[str(name)] for oid, name in known},
                note=self.statements.append,
                tls=self._tls,
                late_views=set(),
                kinesis=self.kinesis,
                catalog=self.catalog,
                catalogs={},
            )
            self._open_listener(listening)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def url(self) -> str:
        """Its warehouse URL, without the password."""
        return f"redshift://{self.user}@{self.host}:{self.port}/{self.database}"

    @contextmanager
    def down(self) -> Iterator[None]:
        """In this block the server does not answer, like a cluster that restarts: sessions end, committed data is kept."""
        self._close_listener()
        try:
            yield
        finally:
            self._open_listener(socket.create_server((HOST, self.port)))

    def _open_listener(self, listening: socket.socket) -> None:
        with ExitStack() as stack:
            stack.enter_context(listening)
            stack.callback(self._disconnect)
            acceptor = threading.Thread(target=self._accept, args=(listening,), name="redshift", daemon=True)
            acceptor.start()
            stack.callback(acceptor.join)
            stack.callback(listening.shutdown, socket.SHUT_RDWR)
            self._listener = stack.pop_all()

    def _close_listener(self) -> None:
        self._listener.close()

    def _prepare(self, path: Path) -> None:
        with Backend(path, SUPERUSER, "postgres") as backend:
            for name in ("catalog.sql", "system_views.sql"):
                backend.query(Path(__file__).with_name(name).read_text())
            backend.query(f"CREATE ROLE {USER} LOGIN SUPERUSER")
            backend.query(
                "GRANT CREATE, USAGE ON SCHEMA public TO PUBLIC"
            )  # newer versions of PostgreSQL do not grant this
        with Backend(path, SUPERUSER, "template1") as backend:
            backend.query(f"ALTER DATABASE postgres RENAME TO {DATABASE}")

    def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                client, _ = listening.accept()
            except OSError:
                return
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            session = Session(client, self._shared)
            self._sessions.add(session)
            thread = threading.Thread(target=self._serve, args=(session,), name="redshift-session", daemon=True)
            thread.start()
            self._threads = [t for t in self._threads if t.is_alive()] + [thread]

    def _serve(self, session: Session) -> None:
        try:
            session.run()
        finally:
            self._sessions.discard(session)

    def _disconnect(self) -> None:
        for session in list(self._sessions):
            session.stop()
        for thread in self._threads:
            thread.join()
