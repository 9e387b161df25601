"""The services of deploy/compose.yaml as processes of this machine: their own commands and environment, without containers."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

DEPLOY = Path(__file__).parents[2] / "deploy"
HOME_IN_IMAGE = "/opt/dagster"
_VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?::(?P<kind>[-?])(?P<rest>[^}]*))?\}")


def services() -> dict[str, dict[str, Any]]:
    """The services as they are written, with YAML's anchors and merges applied."""
    return dict(yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"])


def filled_in(text: str, environment: Mapping[str, str]) -> str:
    """`${NAME:-default}` and `${NAME:?message}` as Compose replaces them. Raises KeyError with the message."""

    def value(found: re.Match[str]) -> str:
        if said := environment.get(found["name"]):
            return said
        if found["kind"] == "-":
            return found["rest"]
        raise KeyError(f"{found['name']}: {found['rest']}")

    return _VARIABLE.sub(value, text).replace("$$", "$")


def environment_of(service: Mapping[str, Any], environment: Mapping[str, str]) -> dict[str, str]:
    """The environment in the container. A variable without a value there comes from outside, if it is set."""
    return {
        name: filled_in(value, environment) if value is not None else environment[name]
        for name, value in service["environment"].items()
        if value is not None or name in environment
    }


class Machine:
    """A machine on which the services run. DAGSTER_HOME has the files that the image has, and must not be written to."""

    def __init__(self, folder: Path, environment: Mapping[str, str], webserver_port: int) -> None:
        self.home, self.scratch, self.work = folder / "home", folder / "tmp", folder / "work"
        for place in (self.home, self.scratch, self.work):
            place.mkdir()
        for name in ("dagster.yaml", "workspace.yaml"):
            text = (DEPLOY / name).read_text().replace("/tmp/", f"{self.scratch}/")  # a tmpfs in the container
            (self.home / name).write_text(text)
        self.environment, self.port = environment, webserver_port

    @contextmanager
    def running(self, *names: str) -> Iterator[None]:
        """Starts these services; at the end of the block they are stopped, with the runs that they started."""
        with ExitStack() as stack:
            for name in names:
                stack.enter_context(self._process(name, services()[name]))
            yield

    def run(self, name: str) -> "subprocess.CompletedProcess[bytes]":
        """Runs the health check of a service."""
        service = services()[name]
        _, *command = service["healthcheck"]["test"]
        return subprocess.run(self._here(command), env=self._environment(service), cwd=self.work, check=False)

    @contextmanager
    def variables(self, name: str) -> Iterator[None]:
        """This process has the environment of a service until the block ends."""
        with pytest.MonkeyPatch.context() as patch:
            for variable, value in self._environment(services()[name]).items():
                patch.setenv(variable, value)
            yield

    def _here(self, command: list[str]) -> list[str]:
        """The command with the addresses and paths of this machine, instead of those in the container."""
        here = {"0.0.0.0": "127.0.0.1", "3000": str(self.port)}
        texts = [here.get(text, text) for text in (filled_in(text, self.environment) for text in command)]
        texts = [text.replace(HOME_IN_IMAGE, str(self.home)).replace(":3000/", f":{self.port}/") for text in texts]
        return [str(Path(sys.executable).with_name(texts[0])), *texts[1:]]

    def _environment(self, service: Mapping[str, Any]) -> dict[str, str]:
        inherited = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "COVERAGE_RCFILE") if name in os.environ}
        outside = {name: value for name, value in self.environment.items() if name.startswith("AWS_ENDPOINT")}
        return {**inherited, **outside, **self._image(), **environment_of(service, self.environment)}

    def _image(self) -> dict[str, str]:
        """The environment that the image sets, with the paths of this machine."""
        last = (DEPLOY / "Dockerfile").read_text().rpartition("\nFROM ")[2].replace("\\\n", "")
        (line,) = re.findall(r"^ENV (.*)$", last, re.MULTILINE)
        said = dict(pair.split("=", 1) for pair in line.split())
        del said["PATH"]
        places = {HOME_IN_IMAGE: str(self.home), "/state": str(self.scratch)}
        said = {name: places.get(value, value) for name, value in said.items()}
        return {**said, "TMPDIR": str(self.scratch), "HOME": str(self.scratch)}

    @contextmanager
    def _process(self, name: str, service: Mapping[str, Any]) -> Iterator[None]:
        with (self.work / f"{name}.log").open("w") as log:
            process = subprocess.Popen(
                self._here(service["command"]),
                cwd=self.work,
                env=self._environment(service),
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
                    with suppress(ProcessLookupError):  # what it started, and itself if it has not ended
                        os.killpg(process.pid, signal.SIGKILL)
