"""The page of features is complete, and the tests that it names are there."""

from __future__ import annotations

import ast
import json
import re
from functools import lru_cache
from pathlib import Path
from typing import Final

import pytest

from tests.engine.test_carried import OF_A_TEMPLATE, OF_THE_SPEC

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = (ROOT / "docs" / "features.md").read_text()
ROWS: Final = re.findall(r"^\| (?P<what>.+?) \| (?P<how>[^|]+) \| (?P<test>\S+::\S+) \|$", PAGE, re.MULTILINE)

TYPES: Final = json.loads((ROOT / "engine" / "manifests" / "fields.json").read_text())
FIELDS: Final = {
    "The spec": TYPES["WorkflowSpec"],
    "Templates": TYPES["Template"],
    "Steps": TYPES["WorkflowStep"],
    "Tasks": TYPES["DAGTask"],
}


def section(name: str) -> dict[str, str]:
    """The rows of one section: how each field is treated."""
    text = PAGE.split(f"## {name}\n")[1].split("\n## ")[0]
    rows: list[tuple[str, str]] = re.findall(r"^\| `(\w+)` \| ([^|]+) \|", text, re.MULTILINE)
    assert len(dict(rows)) == len(rows)
    return dict(rows)


@lru_cache
def functions_of(path: Path) -> frozenset[str]:
    """The tests of a file, those in a class behind its name."""
    found = set()
    for statement in ast.parse(path.read_text()).body:
        members = statement.body if isinstance(statement, ast.ClassDef) else [statement]
        prefix = f"{statement.name}::" if isinstance(statement, ast.ClassDef) else ""
        for member in members:
            if isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef):
                found.add(prefix + member.name)
    return frozenset(found)


def test_there_are_rows() -> None:
    tables = PAGE.count("\n| --- |")
    assert len(ROWS) == PAGE.count("\n| ") - 2 * tables
    assert len(ROWS) > 100


def test_each_test_that_is_named_is_there() -> None:
    named = sorted({test for _, _, test in ROWS})
    there = {
        test for test in named if test.partition("::")[2] in functions_of(ROOT / "tests" / test.partition("::")[0])
    }
    assert [test for test in named if test not in there or "::test_" not in test] == []


def test_each_says_how() -> None:
    assert [how for _, how, _ in ROWS if not re.match(r"(run|simulated|carried)\b", how)] == []


@pytest.mark.parametrize("name", FIELDS)
def test_each_field_has_a_row(name: str) -> None:
    assert set(section(name)) == {*FIELDS[name]}


def test_what_is_carried_is_tested_to_be() -> None:
    for name, carried in (("The spec", OF_THE_SPEC), ("Templates", OF_A_TEMPLATE)):
        assert {field for field, how in section(name).items() if how == "carried"} == set(carried)
