"""A soak of a few seconds, with more faults than usual; the long one is ``make soak``."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
import uvloop

from tests.soak.ledger import Promise
from tests.soak.report import Settings
from tests.soak.soak import soak

pytestmark = [pytest.mark.no_cover, pytest.mark.xdist_group("soak")]


@pytest.mark.parametrize("visits_only", [False, True])
def test_every_promise_is_kept_through_a_short_storm(visits_only: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ARGO_PLUGINS", raising=False)
    settings = Settings(seconds=5.0, seed=7, faults=5.0, rate=3.0, leaves=30, every=4.0, visits_only=visits_only)
    with tempfile.TemporaryDirectory(prefix="oarlock-soak-") as folder:  # its name is short enough for a unix socket's
        report = uvloop.run(soak(settings, Path(folder), lambda text: None))
    assert report.ledger.cases == {promise: [] for promise in Promise}
    assert report.kept
    untested = {promise for promise in Promise if not report.ledger.tested[promise]}
    assert untested <= {Promise.DESCRIPTORS}, "its trend says nothing in so short a time"
    assert report.done["killed"]
    assert report.done["configuration changed"]
    assert report.done["small workflows"]
    assert report.done["large workflows"]
