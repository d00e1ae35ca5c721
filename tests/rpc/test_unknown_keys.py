"""Keys of replies that nobody knows: told once with what may have been meant, and never more than so many."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from rpc import Client, Method
from rpc.batches import Call, CallBatch
from rpc.judging import MAX_TOLD
from rpc.methods import BATCHES, Route
from rpc.plugin import Plugin
from rpc.replies import LONGEST_KEY, Reply, meant_by
from rpc.sizing import BatchPolicy
from rpc.window import Outcomes

PRE = Method.NODE_PRE_EXECUTE


async def _replies(*replies: dict[str, Any], batched: bool = False) -> int:
    """Have a plugin reply these, one after the other; returns the count of unknown fields."""
    plugin, left = Plugin("typist"), iter(replies)

    @plugin.on("node.preExecute")
    async def reply(args: dict[str, Any]) -> dict[str, Any]:
        return next(left)

    calls = [Call(b'{"workflow":{},"template":{}', "t", b"{}", b',"node":{}}')] * len(replies)
    async with plugin.serve() as address, Client(address, name="typist", batch=BatchPolicy(enabled=batched)) as client:
        await client.ask(PRE, CallBatch(b"{}", calls), [None] * len(calls), width=1)
        return client.stats.unknown_fields


def _told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]


@pytest.mark.parametrize("batched", [False, True], ids=["single", "batched"])
async def test_each_is_told_once_with_the_nearest_that_is_known(
    batched: bool, caplog: pytest.LogCaptureFixture
) -> None:
    replies: list[dict[str, Any]] = [{"node": {"mesage": "m"}}, {"node": {"mesage": "n"}, "quite": 1}, {"quite": 2}]
    assert await _replies(*replies, batched=batched) == 4
    method = BATCHES[PRE] if batched else PRE
    assert _told(caplog) == [
        f'unknown key in a reply, ignored name=typist method={method} key=node.mesage hint="did you mean message?"',
        f"unknown key in a reply, ignored name=typist method={method} key=quite",
    ]


@pytest.mark.parametrize("batched", [False, True], ids=["single", "batched"])
async def test_a_requeue_that_a_method_does_not_have_is_told_once_for_each(
    batched: bool, caplog: pytest.LogCaptureFixture
) -> None:
    plugin, wish = Plugin("typist"), {"requeue": 5}  # whatever it is, it is not looked at
    async with plugin.serve() as address, Client(address, name="typist", batch=BatchPolicy(enabled=batched)) as client:
        without = [method for method in Method if not method.requeues]
        for method in without:
            plugin.on(method)(lambda args: wish)
            outcomes: Outcomes = [None, None]
            call = Call(b'{"workflow":{},"template":{}', "t", b"{}", b"}")
            await client.ask(method, CallBatch(b"{}", [call] * 2), outcomes)
            assert all(isinstance(each, Reply) for each in outcomes)
            assert not any(getattr(each, "requeue", None) for each in outcomes)
    assert _told(caplog) == [
        f"a reply to this method has no requeue, ignored name=typist method={method}" for method in without
    ]
    assert without == [each for each in Method if each not in ("node.preExecute", "template.execute")]


@pytest.mark.parametrize(
    ("route", "key", "meant"),
    [
        (PRE, "node.mesage", "message"),
        (PRE, "node.Phase", "phase"),
        (PRE, "node.output", "outputs"),
        (PRE, "message", "node.message"),
        (PRE, "Phase", "node.phase"),
        (PRE, "nodes", "node"),
        (PRE, "re-queue", "requeue"),
        (PRE, "workflow", ""),
        (PRE, "node.finishedAt", ""),
        (PRE, "node.", ""),
        (Method.WORKFLOW_PRE_OPERATE, "node.phase", ""),
        (PRE, "", ""),
        (PRE, "m" * 1_000_000, ""),
        (Method.TEMPLATE_EXECUTE, "requeueAfter", "requeue"),
        (Method.WORKFLOW_PRE_OPERATE, "workflows", "workflow"),
        (Method.WORKFLOW_PRE_OPERATE, "message", ""),
        (Method.PARAMETERS_ADD, "parameter", "parameters"),
        (BATCHES[PRE], "resendafter", "resendAfter"),
        (BATCHES[PRE], "node.mesage", "message"),
        (BATCHES[Method.PARAMETERS_ADD], "paramters", "parameters"),
    ],
)
def test_what_is_meant(route: Route, key: str, meant: str) -> None:
    assert meant_by(route, key) == meant


async def test_nothing_in_a_key_can_steer_a_terminal(caplog: pytest.LogCaptureFixture) -> None:
    await _replies({"node": {"\x1b[31mred\u202e\n": 1}})
    (line,) = _told(caplog)
    assert line.isprintable()
    assert "node.\\x1b[31mred\\u202e\\n" in line


async def test_a_plugin_that_makes_up_keys_is_told_of_so_many(caplog: pytest.LogCaptureFixture) -> None:
    def made_up() -> Iterator[dict[str, Any]]:
        for number in range(200):
            yield {f"{number:_>{LONGEST_KEY}}" + "x" * number: 1, "node": {f"{number} more": 1}}

    assert await _replies(*made_up()) == 400
    told = _told(caplog)
    assert len(told) == MAX_TOLD + 1
    assert told[-1] == "more unknown keys in replies, of which nothing more is said name=typist"
    assert max(map(len, told)) < 200


async def test_keys_that_begin_alike_count_as_one_where_they_are_long(caplog: pytest.LogCaptureFixture) -> None:
    assert await _replies({"k" * 100: 1}, {"k" * 1000: 1}) == 2
    (line,) = _told(caplog)
    assert line.endswith(f"key={'k' * LONGEST_KEY}")


async def test_what_is_in_outputs_and_patches_is_nobodys_affair(caplog: pytest.LogCaptureFixture) -> None:
    assert await _replies({"node": {"outputs": {"mesage": 1}}}) == 0
    assert _told(caplog) == []
