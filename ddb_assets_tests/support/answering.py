"""A DynamoDB that only answers: it accepts every batch, stores nothing, and returns what the batch would have cost.

It shows what the sandbox cannot: capacity by the real rules, refused credentials, and the speed of our code alone.
Run as a module, it prints its port and serves until it is ended.
"""

import asyncio
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import orjson

Answer = Callable[[str, bytes], tuple[int, bytes]]


def accept(operation: str, body: bytes) -> tuple[int, bytes]:
    """Answers that everything is written, at no cost."""
    return 200, b"{}" if operation != "BatchWriteItem" or not body else b'{"UnprocessedItems":{}}'


def charge(operation: str, body: bytes) -> tuple[int, bytes]:
    """Answers that everything is written, at one WCU per item."""
    ((table, requests),) = orjson.loads(body)["RequestItems"].items()
    capacity = {"TableName": table, "CapacityUnits": len(requests), "Table": {"CapacityUnits": len(requests)}}
    return 200, orjson.dumps({"UnprocessedItems": {}, "ConsumedCapacity": [capacity]})


async def serve(answer: Answer, started: Callable[[int], object]) -> None:
    """Serves until it is cancelled. Requests of one connection come one after the other."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
                fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
                body = await reader.readexactly(int(fields.get("content-length", 0)))
                operation = {"batchwriteitem": "BatchWriteItem"}.get(fields["x-amz-target"].rpartition(".")[2], "")
                status, said = answer(operation, body)
                writer.write(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%b" % (status, len(said), said))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, limit=1 << 25)
    async with server:
        started(server.sockets[0].getsockname()[1])
        await server.serve_forever()


@contextmanager
def answering(answer: Answer) -> Iterator[str]:
    """The endpoint of such a server, in a thread of this process."""
    ready = threading.Event()
    port = 0
    loop = asyncio.new_event_loop()

    def started(given: int) -> None:
        nonlocal port
        port = given
        ready.set()

    task = loop.create_task(serve(answer, started))

    def run() -> None:
        asyncio.set_event_loop(loop)
        with suppress(asyncio.CancelledError):
            loop.run_until_complete(task)
        for left in asyncio.all_tasks(loop):
            left.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()

    thread = threading.Thread(target=run, name="answering")
    thread.start()
    try:
        ready.wait()
        yield f"http://127.0.0.1:{port}"
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join()


if __name__ == "__main__":

    def tell(port: int) -> None:
        sys.stdout.write(f"{port}\n")
        sys.stdout.flush()

    asyncio.run(serve(accept, tell))
