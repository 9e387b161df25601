"""How batches get into the table, with servers whose answers the test decides."""

import threading
import time

import orjson
import pytest

from ddb_assets.aws import pauses
from ddb_assets.bulk import raw_call, scan
from ddb_assets.bulk.rate import WriteRate
from ddb_assets.bulk.scan import ReadCalls, ReadError, ReadRate, TableReader
from ddb_assets.bulk.writing import delivery
from ddb_assets.bulk.writing.operation import put
from ddb_assets.bulk.writing.writer import BulkWriter
from ddb_assets.sandbox.server import Sandbox
from ddb_assets_tests.support.answering import accept, answering, charge
from ddb_assets_tests.support.tables import client_of, new_table


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short pauses: what is tested is that there are some, and an end."""
    monkeypatch.setattr(pauses, "FIRST_PAUSE", 0.001)
    for module in (delivery, scan):
        monkeypatch.setattr(module, "LOGIN_SECONDS", 0.2)


def test_keys_that_are_throttled_hold_up_no_other_key(sandbox: Sandbox) -> None:
    """Thirty keys are not taken before five hundred others are there; they were written again in the meantime."""
    target = new_table(sandbox)
    taken: dict[str, str] = {}

    def answer(operation: str, body: bytes) -> tuple[int, bytes]:
        back = []
        for request in orjson.loads(body)["RequestItems"][target.name]:
            item = request["PutRequest"]["Item"]
            if item["pk"]["S"].startswith("hot") and len(taken) < 500:
                back.append(request)
            else:
                taken[item["pk"]["S"]] = item["n"]["N"]
        return 200, orjson.dumps({"UnprocessedItems": {target.name: back} if back else {}})

    with answering(answer) as endpoint, BulkWriter(client_of(endpoint), target, in_flight=4, deadline=30.0) as writer:
        for number in range(90):
            writer.write(put(target, {"pk": {"S": f"hot{number % 30}"}, "n": {"N": str(number)}}, None))
        for number in range(600):
            writer.write(put(target, {"pk": {"S": f"k{number}"}, "n": {"N": "0"}}, None))
    assert len(taken) == 630
    assert {taken[f"hot{key}"] for key in range(30)} == {str(number) for number in range(60, 90)}
    totals = writer.totals
    assert totals.written + totals.superseded == 690


def test_a_throttled_key_in_each_batch_holds_up_no_batch(sandbox: Sandbox) -> None:
    """One key of each batch is not taken before the other keys of ten batches are; four are in flight at a time."""
    target = new_table(sandbox)
    taken: set[str] = set()

    def answer(operation: str, body: bytes) -> tuple[int, bytes]:
        requests = orjson.loads(body)["RequestItems"][target.name]
        held = [r for r in requests if r["PutRequest"]["Item"]["pk"]["S"].startswith("hot") and len(taken) < 240]
        taken.update(r["PutRequest"]["Item"]["pk"]["S"] for r in requests if r not in held)
        return 200, orjson.dumps({"UnprocessedItems": {target.name: held} if held else {}})

    with answering(answer) as endpoint, BulkWriter(client_of(endpoint), target, in_flight=4, deadline=5.0) as writer:
        for number in range(500):
            writer.write(put(target, {"pk": {"S": f"{'k' if number % 25 else 'hot'}{number}"}}, None))
    assert len(taken) == writer.totals.written == 500


def test_the_rate_is_kept_in_write_capacity_units(sandbox: Sandbox) -> None:
    target = new_table(sandbox)
    with answering(charge) as endpoint:
        began = time.monotonic()
        with BulkWriter(client_of(endpoint), target, rate=WriteRate(target, max_wcu=300)) as writer:
            for number in range(600):
                writer.write(put(target, {"pk": {"S": f"k{number}"}, "v": {"S": "x" * 900}}, None))
        seconds = time.monotonic() - began
    assert writer.totals.consumed == 600
    assert 0.8 <= seconds <= 2.5  # a second's worth at once, the other 300 in a second


def test_no_answer_of_the_wrong_items_is_believed(sandbox: Sandbox) -> None:
    target = new_table(sandbox)
    strange = b'{"UnprocessedItems":{"T":[{"PutRequest":{"Item":{"pk":{"S":"another"}}}}]}}'
    answers = iter([strange])
    with (
        answering(lambda *told: (200, next(answers, None) or accept(*told)[1])) as endpoint,
        BulkWriter(client_of(endpoint), target) as writer,
    ):
        writer.write(put(target, {"pk": {"S": "k"}}, None))
    assert (writer.totals.written, writer.totals.requests) == (1, 2)


EXPIRED = b'{"__type":"com.amazon.coral.service#ExpiredTokenException","message":"The security token is expired"}'


def test_credentials_that_are_renewed_in_time_stop_nothing(sandbox: Sandbox) -> None:
    """botocore gets time to renew them, however short the other pauses are."""
    target = new_table(sandbox)
    refused = iter([EXPIRED] * (raw_call.LOGIN_ATTEMPTS - 1))
    began = time.monotonic()

    def answer(operation: str, body: bytes) -> tuple[int, bytes]:
        said = next(refused, None)
        return (400, said) if said else accept(operation, body)

    with answering(answer) as endpoint, BulkWriter(client_of(endpoint), target, in_flight=1) as writer:
        for number in range(60):
            writer.write(put(target, {"pk": {"S": f"k{number}"}}, None))
    assert (writer.totals.written, writer.totals.retried) == (60, raw_call.LOGIN_ATTEMPTS - 1)
    assert time.monotonic() - began >= 0.2 * (raw_call.LOGIN_ATTEMPTS - 1)


def test_reading_waits_for_new_credentials_and_says_when_there_are_none(sandbox: Sandbox) -> None:
    target, stopped = new_table(sandbox), threading.Event()
    refused = [EXPIRED] * (raw_call.LOGIN_ATTEMPTS - 1)

    def answer(operation: str, body: bytes) -> tuple[int, bytes]:
        return (400, refused.pop()) if refused else (200, b'{"Items":[],"Count":0}')

    with answering(answer) as endpoint:
        calls = ReadCalls(client_of(endpoint), stopped, deadline=300)
        reader = TableReader(calls, target, ReadRate(target, None), stopped, consistent=True, workers=1)
        began = time.monotonic()
        assert reader.scan(0, 1, None).count == 0
        assert time.monotonic() - began >= 0.2 * (raw_call.LOGIN_ATTEMPTS - 1)
        refused[:] = [EXPIRED] * 100
        with pytest.raises(ReadError) as caught:
            reader.scan(0, 1, None)
    said = f"dynamodb:Scan on {target.name}: AWS does not accept the credentials"
    assert str(caught.value).startswith(said)
    assert "log in again" in str(caught.value)
