"""No Ray, or no cluster: who asks for one is told at once."""

from __future__ import annotations

import sys
from importlib.util import find_spec

import pytest

from tests.cluster.conftest import refused

with_ray = pytest.mark.skipif(find_spec("ray") is None, reason="ray is not installed")


async def test_without_ray_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert await refused(None) == "ray is not installed: pip install 'oarlock[ray]'"


@with_ray
@pytest.mark.parametrize("address", ["", "6379", ":6379", "localhost", "localhost:ray", "ray://127.0.0.1:10001"])
async def test_an_address_that_is_none_is_refused(address: str) -> None:
    assert "expected HOST:PORT" in await refused(address)


@with_ray
async def test_an_address_with_no_cluster_is_refused_at_once(closed_port: int) -> None:
    assert (await refused(f"127.0.0.1:{closed_port}")).startswith(f"no Ray cluster at 127.0.0.1:{closed_port}: ")
