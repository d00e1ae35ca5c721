"""What holds for every test: none is judged by how long it takes, Hypothesis' own included; none configures logs."""

from __future__ import annotations

import gc
from collections.abc import Generator, Iterator
from functools import partial

import pytest
import trustme
from hypothesis import HealthCheck, settings

from rpc.lanes import aiohttp, wire
from tests import ports
from tests.logs import unconfigure

# The same examples each time: no change fails by the luck of the draw. `make fuzz` tries others, and twice as many, by
# the profile `anew`.
UNTIMED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("anew", UNTIMED, derandomize=False)
settings.register_profile("again", UNTIMED, derandomize=True, max_examples=50)
settings.load_profile("again")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """The garbage collector leaves alone what is there before the first test: thousands of tests, and what they import.

    A test that has it look for what is left would wait half a second each time, and so would the others now and then.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(autouse=True)
def _logs() -> Iterator[None]:
    """What `configure_logs` does is undone."""
    yield
    unconfigure()


@pytest.fixture
def settled() -> None:
    """The garbage collector leaves alone what earlier tests have left, which it would look through time and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _late() -> Iterator[None]:
    """A timeout that is noticed a moment late, since the machine is busy, is a timeout all the same."""
    with pytest.MonkeyPatch.context() as patch:
        for lane in (aiohttp, wire):
            patch.setattr(lane, "_LATE", 3.0)
        yield


@pytest.fixture(scope="session", autouse=True)
def _authorities(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test trusts this machine's authorities: to read them takes each process that imports aiohttp 50 ms."""
    file = tmp_path_factory.mktemp("trusted") / "ca.pem"
    trustme.CA().cert_pem.write_to_path(file)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(file))
        yield


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port of this machine on which nobody listens, and nobody will."""
    with ports.closed() as port:
        yield port


@pytest.fixture
def slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    """All rest wherever they may: the smallest pass takes many turns of the event loop."""
    from engine.model.pace import Pace  # tests of what is beneath the engine do without it

    monkeypatch.setattr("engine.reconciling.keeping.Pace", partial(Pace, 0.0))
