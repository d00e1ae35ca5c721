"""What holds for every test: no test is judged by how long it takes, Hypothesis' own included; none configures logs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests import ports
from tests.logs import unconfigure

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(autouse=True)
def _logs() -> Iterator[None]:
    """What `configure_logs` does is undone."""
    yield
    unconfigure()


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port of this machine on which nobody listens, and nobody will."""
    with ports.closed() as port:
        yield port
