"""The headings of the CHANGELOG, and the version in setup.cfg, agree as docs/dev/releasing.md says."""

import configparser
import re
from datetime import date
from pathlib import Path

import pytest
from packaging.version import Version

ROOT = Path(__file__).parents[1]
RELEASE = re.compile(r"(\d+\.\d+\.\d+) \((\d{4}-\d\d-\d\d)\)")


def problem(changelog: str, version: str) -> str:
    """What is wrong with the headings; empty if nothing is."""
    first, *rest = re.findall(r"^## (.*)$", changelog, re.MULTILINE)
    found = [RELEASE.fullmatch(heading) for heading in rest]
    if first != "Unreleased":
        return "the first heading is not Unreleased"
    releases = [(Version(one[1]), date.fromisoformat(one[2])) for one in found if one]
    if len(releases) != len(rest):
        return "a heading has no version and date"
    if sorted(releases, reverse=True) != releases or len({number for number, _ in releases}) != len(releases):
        return "the releases are not in order"
    return "setup.cfg has another version" if releases and releases[0][0] != Version(version) else ""


def test_the_changelog_names_the_version() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    assert problem((ROOT / "CHANGELOG.md").read_text(), setup["metadata"]["version"]) == ""


@pytest.mark.parametrize(
    ("headings", "said"),
    [
        (["0.2.0 (2027-01-15)"], "the first heading is not Unreleased"),
        (["Unreleased", "0.2.0"], "a heading has no version and date"),
        (["Unreleased", "0.2.0 (2027-01-15)", "0.10.0 (2026-12-24)"], "the releases are not in order"),
        (["Unreleased", "0.3.0 (2027-01-15)", "0.2.0 (2026-12-24)"], "setup.cfg has another version"),
        (["Unreleased", "0.2.0 (2027-01-15)", "0.1.1 (2026-12-24)"], ""),
    ],
)
def test_headings_that_are_wrong_are_noticed(headings: list[str], said: str) -> None:
    assert problem("\n\n".join(f"## {heading}" for heading in headings), "0.2.0") == said
