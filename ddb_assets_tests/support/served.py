"""A running Dagster: a project of its own with demo tables, its instance, and its processes.

`browser/page.py` clicks in it.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from ddb_assets.definitions import build_defs
from ddb_assets.windows.table_assets import INITIAL_LOAD

INSTANCE = """\
telemetry: {enabled: false}
nux: {enabled: false}
run_monitoring: {enabled: true}
"""
TOOL = '[tool.dg]\ndirectory_type = "project"\n[tool.dg.project]\nroot_module = "demo_project"\ncode_location_name = "demo"\n'
SOCKET = "code.sock"
WORKSPACE = "load_from:\n  - grpc_server: {{socket: {socket}, location_name: demo}}\n"
MODULE = ["-m", "demo_project.definitions", "--location-name", "demo"]
FORKS = """
import multiprocessing
from dagster._cli import main
forking = multiprocessing.get_context("forkserver")
forking.set_forkserver_preload(["dagster._grpc.impl", "ddb_assets.components", "demo_project.definitions"])
multiprocessing.get_context = lambda method=None: forking
main()
"""
CODE = [sys.executable, "-c", FORKS, "api", "grpc", "-s", SOCKET, *MODULE]
"""`dagster api grpc`. A run still has a process of its own, but one that is forked, with all modules imported already."""
WEBSERVER = [str(Path(sys.executable).parent / "dagster-webserver"), "-w", "workspace.yaml"]
SOON = """
from dagster._daemon import cli, controller
controller.DEFAULT_DAEMON_INTERVAL_SECONDS = 3
cli.main()
"""
DAEMON = [sys.executable, "-c", SOON, "run", "-w", "workspace.yaml"]
"""dagster-daemon, which looks every 3 seconds, not every 30, for what there is to do in a backfill."""

Tables = Mapping[str, Mapping[str, Any]]
"""The contract of each table, by the name of its folder."""


class Project:
    """A dg project in a folder, and its instance. Its processes end with the `with` block that started them."""

    def __init__(self, folder: Path, tables: Tables, definitions: str, patch: pytest.MonkeyPatch) -> None:
        """`definitions` is the text of its definitions.py; the environment names its instance until `patch` is undone."""
        self.folder, self.package = folder, folder / "demo_project"
        for name, contract in tables.items():
            self.declare(name, contract)
        (folder / "pyproject.toml").write_text(TOOL)
        (folder / "workspace.yaml").write_text(WORKSPACE.format(socket=folder / SOCKET))
        (self.package / "__init__.py").touch()
        (self.package / "definitions.py").write_text(definitions)
        state = folder / "instance"
        state.mkdir()
        (state / "dagster.yaml").write_text(INSTANCE)
        patch.setenv("DAGSTER_HOME", str(state))
        patch.syspath_prepend(folder)
        for module in [name for name in sys.modules if name.partition(".")[0] == self.package.name]:
            del sys.modules[module]  # of an earlier project of this process, whose folder may be gone

    def declare(self, name: str, contract: Mapping[str, Any]) -> None:
        """Writes a table's YAML, as a user does who changes a contract."""
        path = self.package / "defs" / name / "defs.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        component = {"type": "ddb_assets.components.DynamoDBTable", "attributes": dict(contract)}
        path.write_text(yaml.safe_dump(component))

    def initial_load(self, tables: Mapping[str, str]) -> None:
        """Runs the job of the initial load in this process, with a full export of each table at that time (ISO 8601)."""
        ops = {f"exports__{table}_full_export": {"config": {"as_of": time}} for table, time in tables.items()}
        with dg.DagsterInstance.get() as instance:
            job = build_defs(self.package).resolve_job_def(INITIAL_LOAD)
            assert job.execute_in_process(instance=instance, run_config={"ops": ops}).success

    @contextmanager
    def code(self) -> Iterator[None]:
        """The code server, which starts the runs. The daemon would start one of its own each minute, and the webserver too."""
        with self._process("code", *CODE):
            until((self.folder / SOCKET).exists, 120)
            yield

    @contextmanager
    def daemon(self) -> Iterator[None]:
        """dagster-daemon: schedules, sensors, automation, backfills, queued runs. It needs the code server."""
        with self._process("daemon", *DAEMON):
            yield

    @contextmanager
    def webserver(self) -> Iterator[str]:
        """dagster-webserver; gives its URL once it answers. It needs the code server."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        with self._process("webserver", *WEBSERVER, "-h", "127.0.0.1", "-p", str(port)):
            url = f"http://127.0.0.1:{port}"
            until(lambda: answers(f"{url}/server_info"), 120)
            yield url

    def _environment(self) -> dict[str, str]:
        paths = [str(self.folder), *filter(None, [os.environ.get("PYTHONPATH")])]
        return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}

    @contextmanager
    def _process(self, name: str, *command: str) -> Iterator[None]:
        with (self.folder / f"{name}.log").open("w") as log:
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=self._environment(),
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                yield
            finally:
                try:
                    process.terminate()
                    process.wait(60)
                finally:
                    with suppress(ProcessLookupError):  # the runs that it started, and itself if it has not ended
                        os.killpg(process.pid, signal.SIGKILL)


def graphql(url: str, query: str, **variables: Any) -> dict[str, Any]:
    """What the webserver at this URL answers to a query or mutation."""
    body = json.dumps({"query": query, "variables": variables}).encode()
    request = urllib.request.Request(f"{url}/graphql", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        said = json.load(answer)
    assert "errors" not in said, said
    return dict(said["data"])


def answers(url: str) -> bool:
    """Whether a server answers a request with success."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def until(done: Callable[[], bool], seconds: float, *, despite: type[Exception] | tuple[()] = ()) -> None:
    """Returns once the condition holds. Exceptions in `despite` are ignored until then. Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if done():
                return
        except despite:
            pass
        if time.monotonic() > deadline:
            raise TimeoutError(f"not done after {seconds:.0f} s")
        time.sleep(0.5)
