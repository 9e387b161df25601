"""DynamoDB's operations that send the changes of a table to a Kinesis stream. moto has none of them.

Facts (measured on AWS, published as `ack-api-quirks`): a table has one destination that is not DISABLED or ENABLE_FAILED; those
stay listed. Enabling does not look at the stream at once: a wrong one fails later, with a description. The precision is absent
until it is set, and absent means milliseconds; disabling forgets it. A deleted stream leaves its destination ACTIVE. Facts
(Developer Guide, "Quotas"): the precision changes at most three times in 24 hours.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import NoReturn

from ddb_assets.sandbox.api_error import Answer, ApiError
from ddb_assets.sandbox.backend import SandboxBackend
from ddb_assets.sandbox.change_record import Source
from ddb_assets.sandbox.clock import MICROS, Clock
from ddb_assets.sandbox.json_api import Caller, Operation
from ddb_assets.sandbox.kinesis_streams import KinesisStreams
from ddb_assets.sandbox.stream_delivery import Route, StreamDelivery
from ddb_assets.sandbox.tables import SandboxTable

DAY = 86_400 * MICROS
MAX_UPDATES = 3
PRECISION = "ApproximateCreationDateTimePrecision"
PRECISIONS = ("MILLISECOND", "MICROSECOND")
ENDED = ("DISABLED", "ENABLE_FAILED")


@dataclass
class Destination:
    """A stream of a table. It has the status `now_status` until a time (microseconds), then `then_status`."""

    stream_arn: str
    now_status: str
    until: int
    then_status: str
    description: str | None = None
    precision: str | None = None
    updates: list[int] = field(default_factory=list)

    def status(self, now: int) -> str:
        return self.now_status if now < self.until else self.then_status

    def change(self, until: int, now_status: str, then_status: str) -> None:
        self.now_status, self.until, self.then_status = now_status, until, then_status

    def shown(self, now: int) -> Answer:
        status = self.status(now)
        fields = {
            "StreamArn": self.stream_arn,
            "DestinationStatus": status,
            "DestinationStatusDescription": self.description if status == "ENABLE_FAILED" else None,
            PRECISION: self.precision,
        }
        return {name: value for name, value in fields.items() if value is not None}


class DestinationApi:
    """The operations. A change of a destination takes `delay`, and the changes of its table go to the stream from then on."""

    def __init__(
        self,
        streams: KinesisStreams,
        delivery: StreamDelivery,
        backend_of: Callable[[str, str], SandboxBackend | None],
        delay: timedelta,
    ) -> None:
        self._streams, self._delivery, self._backend_of = streams, delivery, backend_of
        self._clock: Clock = streams.clock
        self._delay = delay // timedelta(microseconds=1)
        self._destinations: dict[int, dict[str, Destination]] = {}  # by the table's number, then by the stream's ARN

    def operations(self) -> dict[str, Operation]:
        return {
            "EnableKinesisStreamingDestination": self._enable,
            "DisableKinesisStreamingDestination": self._disable,
            "UpdateKinesisStreamingDestination": self._update,
            "DescribeKinesisStreamingDestination": self._describe,
        }

    def _enable(self, caller: Caller, request: Answer) -> Answer:
        table, arn = self._table(caller, request), request["StreamArn"]
        settings = request.get("EnableKinesisStreamingConfiguration", {})
        precision = _checked(settings.get(PRECISION), "enableKinesisStreamingConfiguration")
        of_table, now = self._destinations.setdefault(table.number, {}), self._clock.micros()
        if any(one.status(now) not in ENDED for one in of_table.values()):
            _wrong_state(
                "EnableKinesisStreamingDestination must be DISABLED or ENABLE_FAILED to perform ENABLE operation."
            )
        failure, until = self._failure(caller, arn), now + self._delay
        then = "ENABLE_FAILED" if failure else "ACTIVE"
        of_table[arn] = Destination(arn, "ENABLING", until, then, failure, precision)
        if not failure:
            source = Source(table.name, table.table_id, caller.region, tuple(table.table_key_attrs))
            self._delivery.routes[table.number] = Route(source, arn, until, precision != "MICROSECOND")
        return _answer(request, "ENABLING", {"EnableKinesisStreamingConfiguration": settings})

    def _disable(self, caller: Caller, request: Answer) -> Answer:
        table, now = self._table(caller, request), self._clock.micros()
        found = self._destinations.get(table.number, {}).get(request["StreamArn"])
        if found is None or found.status(now) != "ACTIVE":
            _wrong_state("KinesisStreamingDestination must be ACTIVE to perform DISABLE operation.")
        found.change(now + self._delay, "DISABLING", "DISABLED")
        del self._delivery.routes[table.number]
        return _answer(request, "DISABLING", {})

    def _update(self, caller: Caller, request: Answer) -> Answer:
        table, arn, now = self._table(caller, request), request["StreamArn"], self._clock.micros()
        found = self._destinations.get(table.number, {}).get(arn)
        if found is None:
            _wrong_state(f"No streaming destination with streamArn: {arn} found for table with tableName: {table.name}")
        if found.status(now) != "ACTIVE":
            _wrong_state("Kinesis streaming is not in ACTIVE state. Updates are only allowed in ACTIVE state.")
        settings = request.get("UpdateKinesisStreamingConfiguration") or {}
        precision = _checked(settings.get(PRECISION), "updateKinesisStreamingConfiguration")
        if precision is None:
            raise ApiError(
                "ValidationException",
                "Streaming destination cannot be updated with given parameters: UpdateKinesisStreamingConfiguration cannot "
                "be null or contain only null values",
            )
        if precision == (found.precision or PRECISIONS[0]):
            raise ApiError(
                "ValidationException",
                f"Invalid Request: Precision is already set to the desired value of {precision} for tableId: "
                f"{table.table_id}, kdsArn: {arn}",
            )
        if sum(moment > now - DAY for moment in found.updates) >= MAX_UPDATES:
            raise ApiError("LimitExceededException", f"The precision was changed {MAX_UPDATES} times within 24 hours")
        found.updates.append(now)
        found.precision = precision
        found.change(now + self._delay, "UPDATING", "ACTIVE")
        route = self._delivery.routes[table.number]
        self._delivery.routes[table.number] = replace(route, milliseconds=precision != "MICROSECOND")
        return _answer(request, "UPDATING", {"UpdateKinesisStreamingConfiguration": settings})

    def _describe(self, caller: Caller, request: Answer) -> Answer:
        table, now = self._table(caller, request), self._clock.micros()
        shown = [one.shown(now) for one in self._destinations.get(table.number, {}).values()]
        return {"TableName": table.name, "KinesisDataStreamDestinations": shown}

    def _table(self, caller: Caller, request: Answer) -> SandboxTable:
        backend, name = self._backend_of(caller.account, caller.region), request["TableName"].rpartition("/")[2]
        table = backend.tables.get(name) if backend else None
        if not isinstance(table, SandboxTable):
            raise ApiError("ResourceNotFoundException", f"Requested resource not found: Table: {name} not found")
        return table

    def _failure(self, caller: Caller, arn: str) -> str | None:
        """Why a destination cannot be enabled: what its status description will say."""
        region, account = (arn.split(":", 5) + [""] * 6)[3:5]
        belongs = "The kinesis Arn used to enable kinesis replication belongs to a stream which is not in"
        if region != caller.region:
            return f"{belongs} the current region"
        with self._streams.lock:
            stream = self._streams.get(arn)
            if account != caller.account or (stream and not stream.takes_records):
                return f"{belongs} Active state"
        return None if stream else "User does not have a permission to use kinesis stream"


def _checked(precision: str | None, where: str) -> str | None:
    if precision is not None and precision not in PRECISIONS:
        raise ApiError(
            "ValidationException",
            f"1 validation error detected: Value '{precision}' at '{where}.approximateCreationDateTimePrecision' failed to "
            "satisfy constraint: Member must satisfy enum value set: [MILLISECOND, MICROSECOND]",
        )
    return precision


def _wrong_state(why: str) -> NoReturn:
    raise ApiError(
        "ValidationException", f"Table is not in a valid state to enable Kinesis Streaming Destination: {why}"
    )


def _answer(request: Answer, status: str, settings: Answer) -> Answer:
    return {
        "TableName": request["TableName"],
        "StreamArn": request["StreamArn"],
        "DestinationStatus": status,
        **settings,
    }
