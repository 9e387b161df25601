"""`ddb-assets sandbox`: AWS on this machine, for boto3, the AWS CLI or this project.

`ddb_assets.sandbox` has the server and its demo tables.
"""

import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import click

from ddb_assets.aws.storage import Storage
from ddb_assets.cli.kept_lake import check, keep, restore
from ddb_assets.cli.output import print_json, progress_console, say
from ddb_assets.cli.servers import Server
from ddb_assets.sandbox import demo, demo_stream
from ddb_assets.sandbox.process import serve
from ddb_assets.sandbox.server import Sandbox
from ddb_assets.settings import AS_OF, LAKE, ROLE, WAREHOUSE
from ddb_assets.warehouse.clickhouse.settings import PASSWORD as CLICKHOUSE_PASSWORD
from ddb_assets.warehouse.postgres.adapter import PASSWORD as POSTGRES_PASSWORD
from ddb_assets.warehouse.redshift.settings import PASSWORD

DEMO_START = "DDB_ASSETS_DEMO_START"
"""The first day that the windows of the demo tables have partitions for; their contracts read it."""
DEMO_STREAM = "DDB_ASSETS_DEMO_STREAM"
"""The stream that the demo's orders write to; their contract reads it."""
CHANGES_PER_SECOND = 1
LAKE_URI = f"s3://{demo.BUCKET}/lake"
REAL_ACCOUNT = ("AWS_PROFILE", "AWS_SESSION_TOKEN", ROLE, WAREHOUSE, PASSWORD, CLICKHOUSE_PASSWORD, POSTGRES_PASSWORD)
"""Settings that lead to real accounts and warehouses. Nothing that uses the sandbox may see them."""


def run(
    port: int,
    items: int,
    state: Path | None,
    lake: Path | None,
    command_line: tuple[str, ...],
    *,
    warehouse: Server | None,
    stream: bool,
    as_json: bool,
) -> None:
    """Serves until it is interrupted. With a command, it runs the command and exits with its exit code."""
    stack = ExitStack()

    def variables(sandbox: Sandbox) -> dict[str, str]:
        found = environment(sandbox)
        if warehouse:
            found |= stack.enter_context(SERVERS[warehouse](sandbox))
        if stream:
            demo_stream.open_stream(sandbox)
            orders = sandbox.dynamodb().describe_table(TableName=demo_stream.TABLE)["Table"]["ItemCount"]
            stack.enter_context(demo_stream.Writer(sandbox, demo_stream.changes(sandbox, orders), CHANGES_PER_SECOND))
            found |= {DEMO_STREAM: demo_stream.STREAM}
        return found

    def ready(sandbox: Sandbox) -> None:
        found = variables(sandbox)
        if as_json:
            print_json(found)
        else:
            say("\n".join(f"export {name}='{value}'" for name, value in found.items()))
            progress_console.print(f"sandbox with {items:,} items at {sandbox.endpoint_url}; Ctrl-C stops it")

    if stream and not items:
        raise click.UsageError("--stream needs the demo tables: give --items more than 0")
    forget_real_account()
    if lake:
        check(lake)
    if not command_line:
        if lake:
            raise click.UsageError("--lake needs a COMMAND to run")
        with stack:
            serve(port, items, state, ready)
        return
    with Sandbox(state, port) as sandbox, stack:
        demo.load(sandbox, items)
        if lake:
            restore(sandbox.s3(), lake, LAKE_URI)
        code = _exit_code(command_line, variables(sandbox) | _demo_times(sandbox))
        if lake:
            keep(Storage(sandbox.s3()), LAKE_URI, lake)
    raise click.exceptions.Exit(code)


def environment(sandbox: Sandbox) -> dict[str, str]:
    """The variables with which AWS clients and this project use the sandbox."""
    return {**sandbox.environment(), LAKE: LAKE_URI}


@contextmanager
def redshift_emulator(sandbox: Sandbox) -> Iterator[dict[str, str]]:
    """Runs a Redshift emulator that reads from the sandbox; gives the variables that lead to it."""
    from ddb_assets.sandbox.redshift.server import RedshiftServer  # with the packages that read its SQL

    with RedshiftServer(Storage(sandbox.s3()), kinesis=sandbox.kinesis(), catalog=sandbox.data_catalog()) as server:
        yield {WAREHOUSE: f"{server.url}?sslmode=disable", PASSWORD: server.password}


@contextmanager
def clickhouse_server(sandbox: Sandbox) -> Iterator[dict[str, str]]:
    """Runs ClickHouse's engine; gives the variables that lead to it."""
    from ddb_assets.sandbox.clickhouse.server import ClickHouseServer

    with ClickHouseServer(environment=sandbox.environment()) as server:
        yield {WAREHOUSE: server.url, CLICKHOUSE_PASSWORD: server.password}


@contextmanager
def postgres_server(sandbox: Sandbox) -> Iterator[dict[str, str]]:  # noqa: ARG001 -- loads send it what they read
    """Runs a PostgreSQL; gives the variables that lead to it."""
    from ddb_assets.sandbox.redshift.postgres import SUPERUSER, postgres

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with postgres(port):
        url = f"postgresql://{SUPERUSER}@127.0.0.1:{port}/postgres?sslmode=disable"
        yield {WAREHOUSE: url, POSTGRES_PASSWORD: "sandbox"}


SERVERS: Mapping[Server, Callable[[Sandbox], AbstractContextManager[dict[str, str]]]] = {
    "redshift": redshift_emulator,
    "clickhouse": clickhouse_server,
    "postgres": postgres_server,
}


def _demo_times(sandbox: Sandbox) -> dict[str, str]:
    """The variables with which initial loads show the demo tables as they were, so that a command has windows to load."""
    shown = demo.shown_at(sandbox)
    return {AS_OF: shown.isoformat(), DEMO_START: shown.date().isoformat()}


def forget_real_account() -> None:
    """Removes settings of real accounts from the environment of this process, and so of its children."""
    for name in REAL_ACCOUNT:
        os.environ.pop(name, None)


def _exit_code(command_line: tuple[str, ...], variables: dict[str, str]) -> int:
    """Runs a command and returns its exit code. The terminal sends Ctrl-C to it, we pass SIGTERM on. We end when it ends."""
    # Not SIG_IGN, which the command would inherit. We may have been started with SIG_IGN too (`make dev &`).
    signal.signal(signal.SIGINT, lambda *_: None)
    try:
        child = subprocess.Popen(command_line, env={**os.environ, **variables})  # noqa: S603 -- the user gave it
    except OSError as error:
        raise click.ClickException(f"cannot run {command_line[0]}: {error.strerror}") from error
    signal.signal(signal.SIGTERM, lambda number, _: child.send_signal(number))
    return child.wait()
