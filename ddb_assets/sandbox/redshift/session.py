"""One client's connection: reads its messages, runs their statements in PostgreSQL, and answers like Redshift.

Extended queries of the protocol are answered message by message. Other messages are passed on to PostgreSQL; `commands.py`
runs COMMIT, COPY, TRUNCATE and similar statements. `dialect.py` translates Redshift's SQL, `refusals.py` has its errors,
`entrance.py` lets clients connect.
"""

import contextlib
import socket
import struct
from dataclasses import dataclass, field, replace

from ddb_assets.sandbox.redshift import entrance, wire
from ddb_assets.sandbox.redshift.backend import Backend
from ddb_assets.sandbox.redshift.commands import SessionCommands, as_redshift
from ddb_assets.sandbox.redshift.dialect import Plan
from ddb_assets.sandbox.redshift.external_tables import ExternalTables
from ddb_assets.sandbox.redshift.late_views import LateViews
from ddb_assets.sandbox.redshift.shared import VARBYTE, VARCHAR, Shared
from ddb_assets.sandbox.redshift.wire import ConnectionLostError, ServerError, message

SERVER_VERSION = "8.0.2"  # the version of PostgreSQL that Redshift reports
SEND_AT = 1 << 16
TEXT_PARAMETERS = {25, 705, 1043}


@dataclass
class _Prepared:
    """A prepared statement; `varbytes` are the positions of VARBYTE values in its rows."""

    plan: Plan
    varbytes: frozenset[int] = field(default_factory=frozenset)


class Session:
    """Serves one client until it disconnects or a fault breaks the connection."""

    def __init__(self, client: socket.socket, shared: Shared) -> None:
        self._connection = entrance.Connection(client)
        self._shared = shared
        self._out = bytearray()
        self._statements: dict[str, _Prepared] = {}
        self._portals: dict[str, _Prepared] = {}
        self._parsed: _Prepared | None = None  # a statement that was parsed and has not run
        self._skipping = False
        self._exact = False  # whether the case of quoted names counts
        self._rows = 0  # the number of rows that the last query returned

    def run(self) -> None:
        """Returns when the connection is over."""
        try:
            user = entrance.enter(self._connection, self._shared)
            if user is None:
                return
            with Backend(
                self._shared.socket_path,
                user,
                self._shared.database,
                default_transaction_isolation=self._shared.isolation,
            ) as self._backend:
                self._commands = SessionCommands(self._backend, self._shared)
                shared = self._shared
                self._late = LateViews(self._backend, shared.late_views, shared.catalogs)
                self._external = ExternalTables(self._backend, shared.catalog, shared.catalogs)
                self._log = self._shared.log.session(struct.unpack_from("!I", self._backend.key)[0])
                self._greet()
                while self._serve(*wire.read_message(self._connection.stream)):
                    pass
        except (ConnectionLostError, OSError, ValueError):
            pass
        finally:
            self._connection.close()

    def stop(self) -> None:
        """Breaks the connection, so that `run` returns. Called by another thread."""
        with contextlib.suppress(OSError):
            self._connection.socket.shutdown(socket.SHUT_RDWR)

    def _greet(self) -> None:
        self._out += message(b"R", struct.pack("!I", 0))
        for name, value in {**self._backend.parameters, "server_version": SERVER_VERSION}.items():
            self._out += wire.parameter_status(name, value)
        self._out += message(b"K", self._backend.key)
        self._ready()

    def _serve(self, kind: bytes, body: bytes) -> bool:
        """Handles one message. Returns False after the last one."""
        if kind == b"X":
            return False
        if kind == b"S":
            self._sync()
        elif kind == b"Q":
            self._simple(body)
        elif kind == b"H":
            self._flush()
        elif not self._skipping:
            try:
                self._extended(kind, body)
            except ServerError as error:
                self._out += as_redshift(error).response()
                self._skipping = True
        return True

    def _extended(self, kind: bytes, body: bytes) -> None:
        if kind == b"P":
            self._parse(body)
        elif kind == b"B":
            self._bind(body)
        elif kind == b"D":
            self._describe(body)
        elif kind == b"E":
            self._execute(body)
        elif kind == b"C":
            self._close(body)
        else:
            raise ServerError(f"the emulator does not know the message {kind!r}", "08P01")

    def _parse(self, body: bytes) -> None:
        name, place = wire.string(body, 0)
        text, place = wire.string(body, place)
        self._shared.note(text)
        plan = self._shared.plans.plan(text, self._late, exact=self._exact)
        self._external.refresh(plan.external)
        self._statements[name] = self._parsed = _Prepared(plan)
        if plan.kind == "plain":
            count = struct.unpack_from("!H", body, place)[0]
            oids = struct.unpack_from(f"!{count}I", body, place + 2)
            # PostgreSQL decides on the type of texts: it does not know that Redshift's VARCHAR is another type than its own
            oids = tuple(0 if oid in TEXT_PARAMETERS else oid for oid in oids)
            head = f"{name}\0{plan.sql}\0".encode()
            self._ask(b"P", head + struct.pack(f"!H{count}I", count, *oids), until=b"1")
        else:
            self._out += message(b"1")

    def _bind(self, body: bytes) -> None:
        portal, place = wire.string(body, 0)
        name, _ = wire.string(body, place)
        prepared = self._prepared(self._statements, name)
        self._portals[portal] = prepared
        if prepared is not self._parsed:  # else the external tables are as they were a moment ago
            self._external.refresh(prepared.plan.external)
        self._parsed = None
        if prepared.plan.kind == "plain":
            self._tell(prepared.plan)
            self._ask(b"B", body, until=b"2")
        else:
            self._out += message(b"2")

    def _describe(self, body: bytes) -> None:
        name, _ = wire.string(body, 1)
        prepared = self._prepared(self._statements if body[:1] == b"S" else self._portals, name)
        if prepared.plan.kind == "plain":
            self._ask(b"D", body, until=b"Tn", prepared=prepared)
        else:
            self._out += (message(b"t", b"\0\0") if body[:1] == b"S" else b"") + message(b"n")

    def _execute(self, body: bytes) -> None:
        name, _ = wire.string(body, 0)
        prepared = self._prepared(self._portals, name)
        with self._log.running(prepared.plan, in_transaction=self._backend.status != b"I") as ran:
            self._commands.misbehave()
            if prepared.plan.kind == "plain":
                self._ask(b"E", body, until=b"CIs", prepared=prepared)
                ran.rows = self._rows
            else:
                self._out += wire.complete(self._commands.run(prepared.plan, ran))
                self._note(prepared.plan)

    def _note(self, plan: Plan) -> None:
        """Takes note of a setting that changes how later statements are read."""
        if plan.setting[0] == "enable_case_sensitive_identifier":
            self._exact = plan.setting[1].lower() in {"true", "on"}

    def _tell(self, plan: Plan) -> None:
        """Writes the log to PostgreSQL if a statement reads it."""
        if "sys_query_history" in plan.text.lower():
            self._shared.journal.ran(self._shared.log.taken())
        if "pg_last_query_id" in plan.text.lower() and self._backend.status != b"E":
            self._backend.query(f"SELECT set_config('redshift.last_query_id', '{self._log.last}', false)")

    def _close(self, body: bytes) -> None:
        name, _ = wire.string(body, 1)
        known = self._statements if body[:1] == b"S" else self._portals
        prepared = known.pop(name, None)
        if prepared is not None and prepared.plan.kind == "plain":
            self._ask(b"C", body, until=b"3")
        else:
            self._out += message(b"3")

    def _prepared(self, known: dict[str, _Prepared], name: str) -> _Prepared:
        if name not in known:
            raise ServerError(f'prepared statement "{name}" does not exist', "26000")
        return known[name]

    def _ask(self, kind: bytes, body: bytes, *, until: bytes, prepared: _Prepared | None = None) -> None:
        """Passes a message on to PostgreSQL, and its answers to the client, up to a type in `until`."""
        self._backend.send(message(kind, body) + message(b"H"))
        while True:
            answer, data = self._backend.receive()
            self._answer(answer, data, prepared)
            if answer in until:
                return

    def _answer(self, kind: bytes, body: bytes, prepared: _Prepared | None) -> None:
        """An answer of PostgreSQL in Redshift's form. Raises ServerError for an error."""
        if kind == b"E":
            raise wire.parsed_error(body)
        if kind == b"T":
            self._out += self._described(wire.fields(body), prepared)
        elif kind == b"D" and prepared is not None and prepared.varbytes:
            values = wire.values(body)
            for place in prepared.varbytes:
                value = values[place]
                values[place] = value and value.removeprefix(b"\\x")  # Redshift writes no prefix
            self._out += wire.data_row(values)
        else:
            if kind == b"C":
                words = wire.strings(body)[0].split()
                self._rows = int(words[1]) if words[0] == "SELECT" else 0
            self._out += message(kind, body)
        if len(self._out) > SEND_AT:
            self._flush()

    def _described(self, columns: list[wire.Field], prepared: _Prepared | None) -> bytes:
        known = []
        for one in columns:
            oid = self._shared.oids.get(one.oid, one.oid)
            rest = one.rest
            if oid == VARCHAR:
                size, modifier, form = struct.unpack("!hih", rest)
                rest = struct.pack("!hih", size, modifier + 4 if modifier >= 0 else -1, form)
            known.append(replace(one, name=self._shared.names.long(one.name), oid=oid, rest=rest))
        if prepared is not None:
            prepared.varbytes = frozenset(n for n, one in enumerate(known) if one.oid == VARBYTE)
        return wire.row_description(known)

    def _sync(self) -> None:
        self._backend.send(message(b"S"))
        while self._backend.receive()[0] != b"Z":
            pass
        if self._skipping:
            self._abort()
        self._skipping = False
        self._ready()

    def _abort(self) -> None:
        """Makes PostgreSQL's transaction fail too after an error of the emulator."""
        if self._backend.status == b"T":
            with contextlib.suppress(ServerError):
                self._backend.query("DO $$ BEGIN RAISE EXCEPTION 'refused'; END $$")

    def _simple(self, body: bytes) -> None:
        text, _ = wire.string(body, 0)
        self._shared.note(text)
        try:
            plan = self._shared.plans.plan(text, self._late, exact=self._exact)
            self._external.refresh(plan.external)
            with self._log.running(plan, in_transaction=self._backend.status != b"I") as ran:
                self._commands.misbehave()
                if plan.kind == "plain":
                    self._tell(plan)
                    self._pass(plan)
                    ran.rows = self._rows
                else:
                    self._out += wire.complete(self._commands.run(plan, ran))
                    self._note(plan)
        except ServerError as error:
            self._out += as_redshift(error).response()
            self._abort()
        self._ready()

    def _pass(self, plan: Plan) -> None:
        prepared = _Prepared(plan)
        failure: ServerError | None = None
        self._backend.send(message(b"Q", plan.sql.encode() + b"\0"))
        while True:
            kind, body = self._backend.receive()
            if kind == b"Z":
                break
            try:
                self._answer(kind, body, prepared)
            except ServerError as error:
                failure = error
        if failure is not None:
            raise failure

    def _ready(self) -> None:
        self._out += wire.ready(self._backend.status)
        self._flush()

    def _flush(self) -> None:
        self._connection.socket.sendall(self._out)
        self._out.clear()
