"""The READMEs name files that there are. What they show of a run is compared by the tests of the plugins."""

from __future__ import annotations

import re

import pytest

from tests.examples.conftest import ROOT
from tests.examples.use_cases.conftest import CASES

NAMES = sorted(each.parent.name for each in CASES.glob("*/workflow.yaml"))


def test_there_are_eight() -> None:
    index = (CASES / "README.md").read_text()
    assert sorted(re.findall(r"(?m)^\| \[([\w-]+)\]", index)) == NAMES
    assert len(NAMES) == 8


@pytest.mark.parametrize("name", NAMES)
def test_a_readme_names_all_its_files(name: str) -> None:
    text = (CASES / name / "README.md").read_text()
    for file in re.findall(r"examples/[\w/.-]+", text):
        assert (ROOT / file).exists(), file
    for each in (CASES / name).glob("*.*"):
        assert each.name in text or each.name in ("README.md", "cache_store.py"), each
