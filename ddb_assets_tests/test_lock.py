"""`requirements/` has one version of each package that `make` installs, with hashes, for every Python and system of ours."""

import configparser
import itertools
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
MEANT = {"demo": {"redshift", "sandbox", "ui"}, "test": {"test"}}
"""The extras that each file is for; the Makefile says the same."""
HASH = re.compile(r"    --hash=sha256:[0-9a-f]{64}( \\)?")
PYTHONS = ("3.11.0", "3.11.9", "3.12.8", "3.13.1")
SYSTEMS = (("linux", "Linux", "x86_64"), ("linux", "Linux", "aarch64"), ("darwin", "Darwin", "arm64"))


@dataclass
class Pin:
    """One package of a file: its version, where it is for, and the number of its hashes."""

    requirement: Requirement
    hashes: int = 0

    @property
    def version(self) -> str:
        [one] = self.requirement.specifier
        assert one.operator == "=="
        return one.version


def locked(name: str) -> list[Pin]:
    """The packages of a file. Fails for a line that is none of a package, a hash or a comment."""
    pins: list[Pin] = []
    for line in (ROOT / "requirements" / f"{name}.txt").read_text().splitlines():
        if HASH.fullmatch(line):
            pins[-1].hashes += 1
        elif not line.lstrip().startswith("#"):
            pins.append(Pin(Requirement(line.removesuffix("\\"))))
    return pins


def environments() -> Iterator[dict[str, str]]:
    """What markers see, by Python and system."""
    for python, (system, platform, machine) in itertools.product(PYTHONS, SYSTEMS):
        said = {
            "python_full_version": python,
            "python_version": python.rpartition(".")[0],
            "sys_platform": system,
            "platform_system": platform,
            "platform_machine": machine,
        }
        yield {name: str(value) for name, value in default_environment().items()} | {"extra": ""} | said


def wanted(extras: set[str]) -> list[Requirement]:
    """What setup.cfg and pyproject.toml want to be installed with these extras."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    offered = setup["options.extras_require"]
    builds = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    found = [*builds, *_lines(setup["options"]["install_requires"])]
    known: set[str] = set()
    while left := extras - known:
        extra = left.pop()
        known.add(extra)
        for line in _lines(offered[extra]):
            requirement = Requirement(line)
            if canonicalize_name(requirement.name) == "ddb-assets":
                extras = extras | requirement.extras
            else:
                found.append(line)
    return [Requirement(line) for line in found]


def _lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line and not line.startswith("#")]


@pytest.mark.parametrize("name", MEANT)
def test_what_is_locked_is_what_setup_cfg_allows(name: str) -> None:
    pins = locked(name)
    for environment in environments():
        here = [pin for pin in pins if pin.requirement.marker is None or pin.requirement.marker.evaluate(environment)]
        versions = {canonicalize_name(pin.requirement.name): pin.version for pin in here}
        assert len(versions) == len(here)  # one version of each
        for one in wanted(MEANT[name]):
            if one.marker is None or one.marker.evaluate(environment):
                found = versions.get(canonicalize_name(one.name))
                assert found, f"{one.name} is not locked: make lock"
                assert one.specifier.contains(found), f"{one.name} is locked at {found}, wanted is {one}: make lock"


@pytest.mark.parametrize("name", MEANT)
def test_every_file_that_may_be_installed_has_a_hash(name: str) -> None:
    assert [pin.requirement.name for pin in locked(name) if not pin.hashes] == []


def test_the_demo_and_the_tests_have_the_same_versions() -> None:
    in_demo, in_tests = ({(pin.requirement.name, pin.version) for pin in locked(name)} for name in ("demo", "test"))
    assert in_demo <= in_tests


def test_nothing_is_installed_that_is_not_locked() -> None:
    """The Makefile installs the locked packages, and the project without its own requirements."""
    makefile = (ROOT / "Makefile").read_text()
    installs = [line for line in makefile.splitlines() if re.match(r"\t\$\((INSTALL|LOCKED)\)", line)]
    assert installs == [
        "\t$(LOCKED) requirements/demo.txt",
        "\t$(INSTALL) --no-deps --no-build-isolation --editable .",
        "\t$(LOCKED) requirements/test.txt",
        "\t$(INSTALL) --editable '.[bench-all]'",
    ]
    assert "LOCKED  := $(INSTALL) --require-hashes --no-deps -r" in makefile
    for name, extras in MEANT.items():
        said = " ".join(f"--extra {extra}" for extra in sorted(extras))
        assert re.search(rf"setup\.cfg - {said} .*(\n\t.*)?--output-file requirements/{name}\.txt", makefile)
