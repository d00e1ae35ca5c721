"""The page of failure cases names tests that there are, and on both lanes where bytes are what it is about."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable, Mapping

import pytest

from tests.examples.conftest import ROOT

PAGE = (ROOT / "docs/failure-cases.md").read_text()
BOTH_LANES = ("Connecting", "The request", "The head of the reply", "The body of the reply", "Time",
              "Kept connections", "JSON")  # fmt: skip
"""Sections about bytes on a connection."""
LANES = ("aiohttp", "wire")
NOT_BYTES = ("rpc/test_retries.py", "registry/", "rpc/lanes/")
"""Tests named in them that touch none."""


def named(section: str) -> list[tuple[str, str]]:
    """The tests that a section names, each with one case of it, or none."""
    found: list[tuple[str, str]] = []
    for path, case, only_case in re.findall(r"`([\w/]+\.py(?:::\w+)+)(?:\[([^`]+)\])?`|`\[([^`]+)\]`", section):
        found.append((path, case) if path else (found[-1][0], only_case))
    return found


SECTIONS = {part.partition("\n")[0]: part for part in PAGE.split("\n## ")[1:]}


def by_test(names: Iterable[str]) -> dict[str, list[str]]:
    """The cases of every test, by its path."""
    cases: dict[str, list[str]] = {}
    for name in names:
        path, _, case = name.removeprefix("tests/").partition("[")
        cases.setdefault(path, []).append(case.removesuffix("]"))
    return cases


def collect() -> dict[str, list[str]]:
    """The cases of every test in the files that the page names."""
    files = sorted({path.partition("::")[0] for section in SECTIONS.values() for path, _ in named(section)})
    command = [sys.executable, "-m", "pytest", "--collect-only", "-n0", *(f"tests/{file}" for file in files)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout
    return by_test(done.stdout.splitlines())


def missing(collected: Mapping[str, list[str]]) -> list[str]:
    """What the page names and is not among these tests."""
    wrong: list[str] = []
    for heading, section in SECTIONS.items():
        rows = section.partition("| --- | --- | --- |\n")[2].splitlines()
        wrong += [f"no test: {row}" for row in rows if row.startswith("| ") and not named(row)]
        for path, case in named(section):
            cases = [each for each in collected.get(path, ()) if case in each]
            lanes = LANES if heading in BOTH_LANES and not path.startswith(NOT_BYTES) else ("",)
            wrong += [f"{heading}: {path}[{case}] {lane}" for lane in lanes if not any(lane in each for each in cases)]
    return wrong


def test_every_case_names_tests_that_there_are_on_both_lanes_where_bytes_are_what_it_is_about(
    request: pytest.FixtureRequest,
) -> None:
    if missing(by_test(item.nodeid for item in request.session.items)):  # only some of the tests are being run
        assert not missing(collect())
