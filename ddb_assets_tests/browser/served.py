"""Dagster as a person has it before them: webserver, daemon, a project with the demo tables, and headless Chromium."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

BROWSER, DRIVER = "chromium", "chromedriver"
QUIET = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--window-size=1600,1100",
)  # fmt: skip
INSTANCE = "telemetry:\n  enabled: false\nnux:\n  enabled: false\nrun_monitoring:\n  enabled: true\n"
DEFINITIONS = """\
from pathlib import Path

import dagster as dg

from ddb_assets.definitions import build_defs


@dg.definitions
def defs() -> dg.Definitions:
    return build_defs(Path(__file__).parent)
"""
TOOL = '[tool.dg]\ndirectory_type = "project"\n[tool.dg.project]\nroot_module = "demo_project"\ncode_location_name = "demo"\n'
WORKSPACE = "load_from:\n  - python_module: {module_name: demo_project.definitions, location_name: demo}\n"


def missing() -> str:
    """What the machine lacks for a test with a browser; empty when nothing."""
    return ", ".join(name for name in (BROWSER, DRIVER) if shutil.which(name) is None)


def project(folder: Path, start: date) -> Path:
    """A dg project with the three demo tables, whose windows begin on that day; gives its package."""
    package = folder / "demo_project"
    for table in ("Orders", "Customers", "Events"):
        path = package / "defs" / table.lower() / "defs.yaml"
        path.parent.mkdir(parents=True)
        nested = "  nested:\n    items: child\n" if table == "Orders" else ""
        path.write_text(
            f"type: ddb_assets.components.DynamoDBTable\nattributes:\n  table: {table}\n  start: {start}\n{nested}"
        )
    (folder / "pyproject.toml").write_text(TOOL)
    (folder / "workspace.yaml").write_text(WORKSPACE)
    (package / "__init__.py").touch()
    (package / "definitions.py").write_text(DEFINITIONS)
    return package


@contextmanager
def dagster(folder: Path) -> Iterator[str]:
    """Webserver and daemon of the project in this folder; gives the URL. Both end with the block."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    tools = Path(sys.executable).parent
    commands = [
        [str(tools / "dagster-webserver"), "-w", "workspace.yaml", "-h", "127.0.0.1", "-p", str(port)],
        [str(tools / "dagster-daemon"), "run", "-w", "workspace.yaml"],
    ]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    with (folder / "dagster.log").open("w") as log:
        running = [
            subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT)
            for command in commands
        ]
        try:
            url = f"http://127.0.0.1:{port}"
            until(lambda: _answers(f"{url}/server_info"), 120)
            yield url
        finally:
            for process in running:
                process.terminate()
            for process in running:
                process.wait(60)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@contextmanager
def browser() -> Iterator["Page"]:
    """Headless Chromium with a profile of its own."""
    with tempfile.TemporaryDirectory(prefix="chromium-") as profile:
        options = Options()
        options.binary_location = str(shutil.which(BROWSER))
        for argument in (*QUIET, f"--user-data-dir={profile}"):
            options.add_argument(argument)
        driver = webdriver.Chrome(options=options, service=Service(str(shutil.which(DRIVER))))
        try:
            yield Page(driver)
        finally:
            driver.quit()


class Page:
    """What a test does with a page."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self._driver = driver

    def open(self, url: str) -> None:
        self._driver.get(url)

    def press(self, label: str) -> None:
        """Clicks the enabled button of this label, once it is there."""
        until(lambda: self._pressed(label), 60)

    def text(self) -> str:
        """All that is to be read on the page."""
        return str(self._driver.find_element(By.TAG_NAME, "body").text)

    def picture(self, path: Path) -> None:
        self._driver.save_screenshot(str(path))

    def _pressed(self, label: str) -> bool:
        buttons: list[Any] = self._driver.find_elements(By.TAG_NAME, "button")
        found = [button for button in buttons if button.text == label and button.is_enabled()]
        if found:
            found[-1].click()
        return bool(found)


def until(done: Callable[[], bool], seconds: float) -> None:
    """Returns once it is done. Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if done():
                return
        except Exception as error:  # the page is being drawn anew
            if type(error).__module__.partition(".")[0] != "selenium":
                raise
        if time.monotonic() > deadline:
            raise TimeoutError(f"not done after {seconds:.0f} s")
        time.sleep(0.5)
