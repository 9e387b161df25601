"""The process of `server.py`: folder, port and threads as arguments; prints its port, and ends with its input."""

import os
import socket
import sys
from pathlib import Path

from ddb_assets.sandbox.clickhouse.front import Front
from ddb_assets.sandbox.clickhouse.server import DATABASE, HOST, PASSWORD, USER
from ddb_assets.sandbox.http_server import served


def main() -> None:
    """Serves until the input ends."""
    folder, (port, threads) = Path(sys.argv[1]), map(int, sys.argv[2:])
    with socket.create_server((HOST, port)) as listening:
        front = Front(folder, DATABASE, {USER: PASSWORD}, threads)
        with served(front, listening):
            sys.stdout.write(f"{listening.getsockname()[1]}\n")
            sys.stdout.flush()
            sys.stdin.read()
        front.close()
    sys.stderr.flush()
    os._exit(0)  # the engine's threads may still be ending


if __name__ == "__main__":
    main()
