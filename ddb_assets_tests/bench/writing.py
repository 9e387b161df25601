"""`python -m ddb_assets_tests.bench.writing`: our writer and boto3's, and the peak memory of an import.

The server accepts batches and does nothing with them, in a process of its own, so only the client is measured.
`__main__.py` compares the reading of exports.
"""

import csv
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table as Grid

from ddb_assets_tests.bench import orders
from ddb_assets_tests.bench.measure import CONTESTANTS, ContestantError, run
from ddb_assets_tests.bench.targets import Verdict

TABLE: dict[str, Any] = {
    "TableName": "Orders",
    "TableArn": "arn:aws:dynamodb:us-east-1:123456789012:table/Orders",
    "TableStatus": "ACTIVE",
    "BillingModeSummary": {"BillingMode": "PAY_PER_REQUEST"},
    "KeySchema": [{"AttributeName": "orderId", "KeyType": "HASH"}],
    "AttributeDefinitions": [{"AttributeName": "orderId", "AttributeType": "S"}],
}
THREADS = 8
OURS, ONE, MANY = "ours", "batch_writer, 1 thread", f"batch_writer, {THREADS} threads"
CONTEST = {OURS: ("bulk_writer", THREADS), ONE: ("batch_writer", 1), MANY: ("batch_writer", THREADS)}
TIMES_AS_FAST, PEAK_GROWTH = 3.0, 1.2


def items(count: int) -> list[dict[str, Any]]:
    """The first orders, as DynamoDB JSON."""
    return [orders.item(number)["Item"] for number in range(count)]


def timed(write: Callable[[], None]) -> None:
    """Calls a function and prints seconds of wall time and of CPU."""
    wall, cpu = time.perf_counter(), time.process_time()
    write()
    sys.stdout.write(f"{time.perf_counter() - wall} {time.process_time() - cpu}\n")


@contextmanager
def accepting() -> Iterator[str]:
    """The endpoint of a server that accepts everything."""
    command = [sys.executable, "-m", "ddb_assets_tests.support.answering"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        try:
            yield f"http://127.0.0.1:{int(server.stdout.readline())}"
        finally:
            server.kill()


def written(endpoint: str, who: str, count: int) -> tuple[float, float]:
    """Seconds of wall time and CPU that a contestant took. Raises ContestantError."""
    module, threads = CONTEST[who]
    command = [sys.executable, "-m", f"{CONTESTANTS}.{module}", endpoint, str(count), str(threads)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ContestantError(f"{module} failed:\n{done.stderr[-4000:]}")
    wall, cpu = map(float, done.stdout.split())
    return wall, cpu


def peak(endpoint: str, folder: Path, rows: int) -> int:
    """The peak memory, in bytes, of importing a CSV file of this many rows."""
    path = folder / f"{rows}.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["orderId", "number", "paid", "note"])
        writer.writerows([f"o-{n}", n, "true", f"row {n}, of {rows}"] for n in range(rows))
    return run("import_csv", [endpoint, str(path), str(rows)]).peak


def compare(count: int, rounds: int, rows: int, console: Console) -> list[Verdict]:
    """Runs every contestant, prints the figures and compares them with the targets. Raises ContestantError."""
    grid = Grid(
        "", "items/s", "CPU us/item", title=f"{count:,} items into a table that accepts all", title_justify="left"
    )
    walls, cpus = {}, {}
    with accepting() as endpoint, tempfile.TemporaryDirectory() as folder:
        for who in CONTEST:
            runs = [written(endpoint, who, count) for _ in range(rounds)]
            walls[who], cpus[who] = (statistics.median(times) for times in zip(*runs, strict=True))
            grid.add_row(who, f"{count / walls[who]:,.0f}", f"{cpus[who] / count * 1e6:.0f}")
        console.print(grid)
        judged = [
            Verdict(f"times as fast as {ONE} ({what})", OURS, TIMES_AS_FAST, taken[ONE] / taken[OURS])
            for what, taken in (("wall", walls), ("CPU", cpus))
        ]
        if rows:
            small, large = (peak(endpoint, Path(folder), n) for n in (rows // 20, rows))
            growth = f"peak memory of {rows:,} rows ({large / 1e6:.0f} MB) in times of {rows // 20:,} rows"
            judged.append(Verdict(growth, "import", PEAK_GROWTH, large / small, at_most=True))
    for verdict in judged:
        console.print(f"{verdict.what}: {verdict.reached:.2f}, {'met' if verdict.met else 'MISSED'}")
    return judged


@click.command()
@click.option("--items", "count", default=30_000, show_default=True, help="Items that each contestant writes.")
@click.option("--rounds", default=3, show_default=True, help="How often each runs; medians are shown.")
@click.option("--rows", default=2_000_000, show_default=True, help="Rows of the CSV for memory; 0: none.")
def main(count: int, rounds: int, rows: int) -> None:
    """Compare our writer with boto3's, on this machine, now."""
    try:
        compare(count, rounds, rows, Console(highlight=False))
    except ContestantError as error:
        raise click.ClickException(str(error)) from None


if __name__ == "__main__":
    main()
