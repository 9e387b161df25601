"""One job run of the sandbox's Glue or EMR Serverless: a real spark-submit in a process group of its own.

A thread prepares the job, waits for its end and hands over its logs. `glue_api.py` and `emr_serverless_api.py` say what is
started and what the services call its states.
"""

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

State = Literal["starting", "running", "succeeded", "failed", "stopped", "expired"]
ENDED: frozenset[State] = frozenset({"succeeded", "failed", "stopped", "expired"})
GRACE = 5.0
"""Seconds that a process has to end after SIGTERM."""
MASTER = "local[2]"
_OWN = (
    *("--master", MASTER, "--driver-memory", "1g"),
    *("--conf", "spark.ui.enabled=false", "--conf", "spark.driver.host=127.0.0.1"),
    *("--conf", "spark.driver.bindAddress=127.0.0.1"),
)
"""How all jobs of the sandbox are submitted: on this machine, and reached by nobody else."""

_HERE = {
    "SPARK_LOCAL_IP": "127.0.0.1",
    "JDK_JAVA_OPTIONS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",  # for a JVM that lives for seconds
}
Command = tuple[Sequence[str], Mapping[str, str]]
"""The arguments of spark-submit, and the environment of the process."""


class SparkJob:
    """One run in a folder of its own. `prepare` gives what is to run; an exception of it makes the run fail.

    `keep_logs` gets standard output and standard error once the run has ended, in whatever way it did.
    """

    def __init__(
        self,
        spark_submit: str,
        folder: Path,
        prepare: Callable[[Path], Command],
        keep_logs: Callable[[bytes, bytes], None],
    ) -> None:
        self._spark_submit, self.folder, self._prepare, self._keep_logs = spark_submit, folder, prepare, keep_logs
        self._changing = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping = False
        self._state: State = "starting"
        self.message = ""
        """Why the run failed, as far as its end says it."""
        self._thread = threading.Thread(target=self._run, name="sandbox-spark", daemon=True)

    @property
    def state(self) -> State:
        """What the process does right now, or how it ended."""
        return self._state

    @property
    def pid(self) -> int | None:
        """The id of the process, and of its group; None before it has started."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Starts the run; does not wait for it."""
        self._thread.start()

    def expire(self) -> None:
        """Ends the run as one that never got the capacity to start."""
        self._state = "expired"

    def stop(self) -> None:
        """Asks the process and its children to end, and kills them when they do not. Does not wait for it."""
        with self._changing:
            self._stopping = True
            process = self._process
        if process:
            threading.Thread(target=_end, args=(process,), name="sandbox-spark-stop", daemon=True).start()

    def wait(self, seconds: float) -> None:
        """Waits for the end of the run and for its logs."""
        if self._thread.is_alive():
            self._thread.join(seconds)

    def _run(self) -> None:
        self.folder.mkdir(parents=True)
        out, err = self.folder / "stdout", self.folder / "stderr"
        try:
            arguments, environment = self._prepare(self.folder)
            with out.open("wb") as stdout, err.open("wb") as stderr, self._changing:
                if self._stopping:
                    self._state = "stopped"
                    return
                self._process = subprocess.Popen(  # noqa: S603 -- the job that the caller asked for
                    [self._spark_submit, *_OWN, *arguments],
                    cwd=self.folder,
                    env={**environment, **_HERE, "SPARK_LOCAL_DIRS": str(self.folder / "local")},
                    stdin=subprocess.DEVNULL,
                    stdout=stdout,
                    stderr=stderr,
                    start_new_session=True,  # so that the JVM, the driver and the workers can be ended together
                )
                self._state = "running"
            code = self._process.wait()
            _kill_group(self._process.pid)  # a driver or worker that outlives the JVM
            printed = out.read_bytes(), err.read_bytes()
            self._keep_logs(*printed)
            with self._changing:
                self.message = "" if not code or self._stopping else _reason(code, b"\n".join(printed))
                self._state = "stopped" if self._stopping else "failed" if code else "succeeded"
        except Exception as error:
            self.message = f"{type(error).__name__}: {error}"
            self._state = "failed"


def _end(process: "subprocess.Popen[bytes]") -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(GRACE)
    _kill_group(process.pid)


def _kill_group(group: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def _reason(code: int, printed: bytes) -> str:
    """The last line of the driver's Python error, which Spark prints to standard output; else how the process ended."""
    lines = [line for line in printed.decode(errors="replace").splitlines() if line and not line[0].isspace()]
    said = next((line for line in reversed(lines) if line.partition(":")[0].endswith(("Error", "Exception"))), "")
    return said or (f"killed by signal {-code}" if code < 0 else f"ended with exit code {code}")
