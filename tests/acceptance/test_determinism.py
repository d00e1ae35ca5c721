"""However often passes are aborted on the way, a workflow ends as if none had been, and costs hardly more calls."""

from __future__ import annotations

import zlib
from collections.abc import Collection
from typing import Any
from unittest import mock

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine import Workflow
from registry import BatchSettings, BreakerSettings, PluginConfig, RetrySettings, Seconds
from rpc.plugin import Plugin, Unavailable
from tests.acceptance.manifests import WHOLE, same
from tests.acceptance.passes import reconcile_to_the_end

HOOKS = ("workflow.preOperate", "workflow.postOperate", "node.preExecute", "node.postExecute", "parameters.add")


def opinionated(refuse: Collection[int], calls: list[str]) -> Plugin:
    """A plugin whose answers depend on the arguments alone; calls whose number is in `refuse` get a 503."""
    plugin = Plugin("opinionated")

    def answer(method: str) -> None:
        @plugin.on(method)
        def reply(args: dict[str, Any]) -> dict[str, Any]:
            calls.append(method)
            if len(calls) in refuse:
                raise Unavailable("not this one")
            digest = zlib.crc32(orjson.dumps(args))
            if digest % 3:
                return {}
            text = f"{method} {digest}"
            if method == "parameters.add":
                return {"parameters": {"opinion": text}}
            if method.startswith("workflow"):
                return {"workflow": {"metadata": {"annotations": {method: text}}}}
            return {"node": {"message": text, "progress": "1/2"}}

    for method in HOOKS:
        answer(method)
    return plugin


async def outcome(refuse: Collection[int], *, batches: bool) -> tuple[bytes, int, int]:
    """The workflow at its end, how many passes were aborted, and how many calls were made."""
    calls: list[str] = []
    work = same(Workflow(WHOLE))
    async with opinionated(refuse, calls).serve() as address:
        plugin = PluginConfig(
            name="opinionated",
            address=address,
            timeout=Seconds(600),
            concurrency=1,
            retry=RetrySettings(attempts=1),
            breaker=BreakerSettings(min_calls=1_000_000),
            batch=BatchSettings(enabled=batches),
        )
        # A wave is one batch, however long the one before took: what is refused in one cancels no other.
        with mock.patch("rpc.sizing._GOOD_TIME", 60.0):
            stats = await reconcile_to_the_end(work, (plugin,))
    return work.encode(), stats.aborted, len(calls)


_undisturbed: dict[bool, tuple[bytes, int, int]] = {}
"""What it comes to where no call is refused, in batches and without."""


@pytest.mark.parametrize("batches", [True, False])
@example(refuse={14, 15, 16})  # three nodes of one wave: one request where there are batches
@example(refuse={33})  # a node was asked about twice before that, and both answers are to be kept
@settings(max_examples=25, deadline=None)
@given(refuse=st.sets(st.integers(1, 50), min_size=1, max_size=30))
async def test_aborted_passes_leave_no_mark_on_the_outcome(batches: bool, refuse: set[int]) -> None:
    if batches not in _undisturbed:
        _undisturbed[batches] = await outcome((), batches=batches)
    undisturbed, aborted, calls = _undisturbed[batches]
    assert aborted == 0
    disturbed, aborted, calls_in_all = await outcome(refuse, batches=batches)
    assert aborted > 0
    assert disturbed == undisturbed
    if batches:  # however many of the calls in one are refused, they abort one pass
        refused = sum(number <= calls_in_all for number in refuse)
        assert calls_in_all <= calls + refused, "asked again is what was refused"
    else:
        assert calls_in_all == calls + aborted, "asked again is what was refused, and nothing was sent after it"
