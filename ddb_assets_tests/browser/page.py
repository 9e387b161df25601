"""Headless Chromium, and what a test does with a page of Dagster."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from ddb_assets_tests.support.served import until

BROWSER, DRIVER = "chromium", "chromedriver"
QUIET = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--window-size=1600,1100",
)  # fmt: skip
GO = """
history.pushState({key: "test"}, "", arguments[0]);
dispatchEvent(new PopStateEvent("popstate", {state: history.state}));
"""
PATIENCE = 120  # seconds for something to appear


def missing() -> str:
    """The programs that the machine lacks for a test with a browser; empty if none."""
    return ", ".join(name for name in (BROWSER, DRIVER) if shutil.which(name) is None)


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
    """The open page. Its methods wait until an element is there, and then raise TimeoutError."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self._driver = driver

    def open(self, url: str) -> None:
        """Shows the page at this URL. Between pages of one Dagster it is its links' way, which keeps the program loaded."""
        self._driver.execute_cdp_cmd("Page.setWebLifecycleState", {"state": "active"})
        here, there = urlsplit(self._driver.current_url), urlsplit(url)
        if here.netloc == there.netloc:
            self._driver.execute_script(GO, url)
        else:
            self._driver.get(url)

    def rest(self) -> None:
        """Stops the page until the next one is opened: Dagster's pages keep asking the webserver, which takes half a core."""
        self._driver.execute_cdp_cmd("Page.setWebLifecycleState", {"state": "frozen"})

    def press(self, label: str) -> None:
        """Clicks the enabled button of this label."""
        self._until(lambda: self._clicked(By.TAG_NAME, "button", label))

    def choose(self, text: str) -> None:
        """Clicks the element with exactly this text."""
        self._until(lambda: self._clicked(By.XPATH, f"//*[normalize-space(text())='{text}']", text))

    def fill(self, before: str, text: str) -> None:
        """Replaces the text of the field that holds a text beginning with `before`."""
        self._until(lambda: self._filled(before, text))

    def shows(self, *texts: str, seconds: float = PATIENCE) -> None:
        """Waits until all of these texts are on the page."""
        self._until(lambda: all(text in self.text() for text in texts), seconds)

    def tells_apart(self, *names: str) -> None:
        """Waits until each name is a line of the page, whole or cut in the middle but different from the other names."""

        def done() -> bool:
            meant = [{name for name in names if _fits(line, name)} for line in self.text().splitlines()]
            return set(names) <= {name for found in meant if len(found) == 1 for name in found}

        self._until(done)

    def closes(self, text: str) -> None:
        """Waits until this text is no longer on the page."""
        self._until(lambda: text not in self.text())

    def text(self) -> str:
        """The whole text of the page."""
        return str(self._driver.find_element(By.TAG_NAME, "body").text)

    def keep(self, name: str) -> None:
        """Saves a picture in the folder DDB_ASSETS_PICTURES, if that is set."""
        if folder := os.environ.get("DDB_ASSETS_PICTURES"):
            Path(folder).mkdir(parents=True, exist_ok=True)
            self._driver.save_screenshot(str(Path(folder) / f"{name}.png"))

    def _until(self, done: Callable[[], bool], seconds: float = PATIENCE) -> None:
        try:
            until(done, seconds, despite=WebDriverException)  # the page is being redrawn
        except TimeoutError:
            self.keep("what-was-there-instead")
            raise

    def _clicked(self, by: str, what: str, label: str) -> bool:
        found = [element for element in self._driver.find_elements(by, what) if element.text == label]
        enabled = [element for element in found if element.is_displayed() and element.is_enabled()]
        if enabled:
            enabled[-1].click()
        return bool(enabled)

    def _filled(self, before: str, text: str) -> bool:
        fields = self._driver.find_elements(By.TAG_NAME, "input")
        found = [field for field in fields if str(field.get_attribute("value")).startswith(before)]
        if found:
            found[-1].send_keys(Keys.CONTROL, "a")
            found[-1].send_keys(text, Keys.TAB)
        return bool(found) and found[-1].get_attribute("value") == text


def _fits(line: str, name: str) -> bool:
    """Whether this line is the name, whole or shortened by Dagster: `orders_wi…_parquet`."""
    head, cut, tail = line.partition("…")
    return name.startswith(head) and name.endswith(tail) and len(name) > len(head + tail) if cut else line == name
