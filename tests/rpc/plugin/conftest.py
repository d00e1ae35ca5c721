"""Plugins on the SDK, on both event loops."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop

from rpc.plugin import Plugin
from tests.rpc.plugin.peers import echo


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}


@pytest.fixture
def plugin() -> Plugin:
    """Echoes its arguments: in ``workflow.preOperate`` at once, in ``workflow.postOperate`` a little later."""
    return echo()
