"""Some rounds of the service's soak; ``python -m tests.soak.service`` is as long as one likes."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
import uvloop

from tests.soak.gauges import freeze
from tests.soak.service import FATES, Service

# What is in a group comes first: later there would be the more objects to look through.
pytestmark = [pytest.mark.no_cover, pytest.mark.xdist_group("soak")]


def test_a_service_holds_nothing_of_what_came_and_went() -> None:
    freeze()  # the thousands of tests that there are, and what others have left
    with tempfile.TemporaryDirectory(prefix="oarlock-soak-") as folder:
        service = Service(Path(folder), 5)
        held = uvloop.run(service.run(6))
    first, last = held[1], held[-1]
    assert not set(FATES) - set(service.done)
    assert last.tasks == first.tasks
    assert last.descriptors == first.descriptors
    workflows = sum(service.done.values())
    assert last.objects.total() - first.objects.total() < workflows / 4
    assert last.blocks - first.blocks < 2 * workflows
