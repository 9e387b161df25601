"""An HTTP proxy in front of the sandbox that does to requests what AWS and networks do, on seeded random schedules.

It also refuses requests that AWS refuses and moto accepts (two operations on one key in a batch, more than 25;
conditions that are too long). It records
which writes it has reported to the client as done. The tests say how a job must react.
Facts: API reference of BatchWriteItem, Scan and BatchGetItem; "Error handling with DynamoDB" of the Developer Guide.
"""

import http.client
import json
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, cast
from urllib.parse import urlsplit

from ddb_assets_tests.support.faults import POSSIBLE, Fault, Schedule

__all__ = ["Fault", "FaultProxy", "Schedule", "fault_proxy"]

HOST = "127.0.0.1"
TARGET = "DynamoDB_20120810."
MAX_OPERATIONS = 25
MAX_EXPRESSION_BYTES, MAX_OPERATORS = 4096, 300  # Developer Guide, "Constraints"
NOT_FORWARDED = {"connection", "content-length", "transfer-encoding", "x-amz-crc32", "server"}

Document = dict[str, Any]


class FaultProxy(ThreadingHTTPServer):
    """The running proxy. `schedule` may be replaced at any time. `met` counts the faults, `requests` the operations."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, upstream: str) -> None:
        super().__init__((HOST, 0), _Handler)
        self.upstream = urlsplit(upstream)
        self.endpoint_url = f"http://{HOST}:{self.server_address[1]}"
        self.schedule = Schedule()
        self.met: Counter[Fault] = Counter()
        self.requests: Counter[str] = Counter()
        self.acknowledged: Counter[tuple[str, str]] = (
            Counter()
        )  # (table, operation as JSON) that the client knows as done
        self.refused: list[str] = []  # requests that AWS would refuse
        self.at_once = self.most_at_once = 0  # requests that are being answered
        self.addressed: set[str] = set()  # the table names in reads and writes
        self._connections: set[Any] = set()
        self.lock = threading.Lock()
        self._keys: dict[str, tuple[str, ...]] = {}

    def process_request(self, request: Any, client_address: Any) -> None:
        with self.lock:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        super().shutdown_request(request)
        with self.lock:
            self._connections.discard(request)

    @property
    def connections(self) -> frozenset[Any]:
        """The open connections."""
        with self.lock:
            return frozenset(self._connections)

    def wait_until_left(self, others: frozenset[Any] = frozenset(), seconds: float = 30.0) -> None:
        """Returns once only `others` are connected, so everything that a killed client had sent is done.

        Connections are accepted in the order in which they were made. So a connection of our own shows that no connection
        of the client still waits to be accepted. Raises TimeoutError.
        """
        deadline = time.monotonic() + seconds
        with closing(http.client.HTTPConnection(HOST, self.server_address[1], timeout=seconds)) as own:
            own.request("GET", "/")
            own.getresponse().read()
        while left := self.connections - others:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(left)} connections are still open")
            time.sleep(0.005)

    def key_attributes(self, table: str, headers: dict[str, str]) -> tuple[str, ...]:
        """The names of the table's key attributes, asked for once."""
        if table not in self._keys:
            ask = {**headers, "X-Amz-Target": f"{TARGET}DescribeTable"}
            status, _, body = self.forward(ask, json.dumps({"TableName": table}).encode())
            if status != 200:
                return ()
            self._keys[table] = tuple(key["AttributeName"] for key in json.loads(body)["Table"]["KeySchema"])
        return self._keys[table]

    def forward(self, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        """The sandbox's own answer: status, headers, body."""
        connection = http.client.HTTPConnection(cast("str", self.upstream.hostname), self.upstream.port, timeout=30)
        try:
            connection.request("POST", "/", body, {**headers, "Host": self.upstream.netloc})
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignores clients that went away. That is what the proxy provokes."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: FaultProxy

    ERRORS: ClassVar[dict[Fault, tuple[int, Document]]] = {
        Fault.THROTTLED: (
            400,
            {
                "__type": "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException",
                "message": "The level of configured provisioned throughput for the table was exceeded.",
                "ThrottlingReasons": [{"reason": "TableWriteProvisionedThroughputExceeded", "resource": "the table"}],
            },
        ),
        Fault.THROTTLING: (
            400,
            {
                "__type": "com.amazonaws.dynamodb.v20120810#ThrottlingException",
                "message": "Throughput exceeds the current capacity for one or more key ranges.",
                "throttlingReasons": [{"reason": "TableWriteKeyRangeThroughputExceeded", "resource": "the table"}],
            },
        ),
        Fault.REQUEST_LIMIT: (
            400,
            {
                "__type": "com.amazonaws.dynamodb.v20120810#RequestLimitExceeded",
                "message": "Throughput exceeds the current throughput limit for your account.",
            },
        ),
        Fault.ERROR_BEFORE: (
            500,
            {"__type": "com.amazonaws.dynamodb.v20120810#InternalServerError", "message": "Internal server error"},
        ),
    }

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name: value for name, value in self.headers.items() if name.lower() not in NOT_FORWARDED}
        operation = self.headers.get("X-Amz-Target", "").removeprefix(TARGET)
        fault = self.server.schedule.draw(operation)
        with self.server.lock:
            self.server.requests[operation] += 1
            if fault:
                self.server.met[fault] += 1
            self.server.at_once += 1
            self.server.most_at_once = max(self.server.most_at_once, self.server.at_once)
        try:
            if fault is Fault.RESET_BEFORE:
                self._reset()
            elif fault in self.ERRORS:
                status, document = self.ERRORS[fault]
                self._answer(status, {"x-amzn-RequestId": "fault"}, json.dumps(document).encode())
            else:
                self._serve(operation, fault, headers, body)
        finally:
            with self.server.lock:
                self.server.at_once -= 1

    def _serve(self, operation: str, fault: Fault | None, headers: dict[str, str], body: bytes) -> None:
        request: Document = json.loads(body) if operation in POSSIBLE else {}
        self.server.addressed.update(
            [request["TableName"]] if "TableName" in request else request.get("RequestItems", ())
        )
        refusal = self._refusal(request, headers) if operation == "BatchWriteItem" else _too_long(request)
        if refusal:
            with self.server.lock:
                self.server.refused.append(refusal)
            error = {"__type": "com.amazon.coral.validate#ValidationException", "message": refusal}
            self._answer(400, {"x-amzn-RequestId": "refused"}, json.dumps(error).encode())
            return
        if operation == "Scan" and (limit := self.server.schedule.page_limit):
            request["Limit"] = min(limit, request.get("Limit", limit))
        status, replied, answer = self._forward(operation, fault, headers, request, body)
        match fault:
            case Fault.ERROR_AFTER:
                status, document = self.ERRORS[Fault.ERROR_BEFORE]
                self._answer(status, {}, json.dumps(document).encode())
            case Fault.RESET_AFTER:
                self._reset()
            case Fault.CUT_OFF:
                self._answer(status, replied, answer, sent=len(answer) // 2)
                self._reset()
            case _:
                if fault is Fault.SLOW:
                    time.sleep(self.server.schedule.delay)
                if operation == "BatchWriteItem" and status == 200:
                    self._acknowledge(request, json.loads(answer).get("UnprocessedItems", {}))
                self._answer(status, replied, answer)

    def _forward(
        self, operation: str, fault: Fault | None, headers: dict[str, str], request: Document, body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        """The sandbox's answer to the request, or to the part of it that this fault lets through."""
        if fault not in (Fault.UNPROCESSED_SOME, Fault.UNPROCESSED_ALL):
            return self.server.forward(headers, json.dumps(request).encode() if request else body)
        named = "UnprocessedItems" if operation == "BatchWriteItem" else "UnprocessedKeys"
        held: Document = {}
        passed: Document = {}
        for table, wanted in request["RequestItems"].items():
            members = wanted if operation == "BatchWriteItem" else wanted["Keys"]
            back = members if fault is Fault.UNPROCESSED_ALL else self.server.schedule.some(members)
            done = [member for member in members if member not in back]
            for part, chosen in ((held, back), (passed, done)):
                if chosen:
                    part[table] = chosen if operation == "BatchWriteItem" else {**wanted, "Keys": chosen}
        empty: Document = {} if operation == "BatchWriteItem" else {"Responses": {table: [] for table in held}}
        if not passed:
            return 200, {}, json.dumps(empty | {named: held}).encode()
        status, replied, answer = self.server.forward(headers, json.dumps(request | {"RequestItems": passed}).encode())
        return (
            status,
            replied,
            json.dumps(empty | json.loads(answer) | {named: held}).encode() if status == 200 else answer,
        )

    def _refusal(self, request: Document, headers: dict[str, str]) -> str | None:
        """AWS's error for this BatchWriteItem, if AWS would refuse it."""
        if not 1 <= sum(map(len, request["RequestItems"].values())) <= MAX_OPERATIONS:
            return "1 validation error detected: Member must have length less than or equal to 25"
        for table, operations in request["RequestItems"].items():
            names = self.server.key_attributes(table, headers)
            keys = [_key(operation, names) for operation in operations]
            if len(set(keys)) < len(keys):
                return "Provided list of item keys contains duplicates"
        return None

    def _acknowledge(self, request: Document, unprocessed: Document) -> None:
        for table, operations in request["RequestItems"].items():
            undone = unprocessed.get(table, [])
            with self.server.lock:
                for operation in operations:
                    if operation not in undone:
                        self.server.acknowledged[table, json.dumps(operation, sort_keys=True)] += 1

    def _answer(self, status: int, headers: dict[str, str], body: bytes, sent: int | None = None) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in NOT_FORWARDED:
                self.send_header(name, value)
        self.send_header("Content-Type", "application/x-amz-json-1.0")
        self.send_header("Content-Length", str(len(body)))
        head: list[bytes] = self._headers_buffer  # sent with the body, in one packet
        self._headers_buffer: list[bytes] = []
        self.wfile.write(b"".join([*head, b"\r\n", body[:sent]]))

    def _reset(self) -> None:
        """Closes the connection so that the client sees it reset."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def do_GET(self) -> None:
        """Lets `wait_until_left` know that its connection has been accepted."""
        self._answer(200, {}, b"")

    def log_message(self, *args: Any, **named: Any) -> None:
        """Logs nothing."""


def _too_long(request: Document) -> str | None:
    """AWS's error for the condition of this request, if AWS would refuse it."""
    condition = request.get("ConditionExpression", "")
    if len(condition.encode()) > MAX_EXPRESSION_BYTES:
        return "Invalid ConditionExpression: Expression size has exceeded the maximum allowed size"
    if condition.count("=") + condition.count(" AND ") > MAX_OPERATORS:
        return "Invalid ConditionExpression: The expression contains too many operators"
    return None


def _key(operation: Document, names: tuple[str, ...]) -> str:
    ((_, holder),) = operation.items()
    item = holder.get("Item") or holder["Key"]
    return json.dumps([item.get(name) for name in names])


@contextmanager
def fault_proxy(upstream: str) -> Iterator[FaultProxy]:
    """A proxy in front of this endpoint, without faults until its `schedule` is set."""
    with FaultProxy(upstream) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.02}, name="fault proxy")
        thread.start()
        try:
            yield proxy
        finally:
            proxy.shutdown()
            thread.join()
