"""Both stores that there are."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.storage.doubles import Making, making


@pytest.fixture(params=["sqlite", "memory"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Making:
    return making(request.param, tmp_path)
