"""Nodes on their way through the plugins: who is asked what, in which order, and what comes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from engine.plugins.chain import Course
from registry import MatchSettings, Plugin
from rpc import FatalError, Method, TransientError
from rpc.replies import EMPTY, NodeReply, NodeResult, ParametersReply
from tests.engine.plugins.doubles import Answer, asked, busy, client, plugin, saying, wrong
from tests.engine.plugins.passes import DOCUMENT, POST, Workflow, about, fulfilling


def messages(plugin: Plugin) -> list[str]:
    return [args["node"].get("message", "") for args in client(plugin).args]


class TestTheOrder:
    async def test_each_plugin_is_asked_about_every_node_after_the_one_before_it(self) -> None:
        order: list[tuple[str, str]] = []

        def noting(name: str) -> Callable[[dict[str, Any]], Answer]:
            def note(args: dict[str, Any]) -> Answer:
                order.append((name, args["node"]["displayName"]))
                return EMPTY

            return note

        await Workflow("a", "b").make_pass(*(plugin(name, noting(name)) for name in "xyz"))
        assert order == [(name, node) for name in "xyz" for node in "ab"]

    async def test_each_is_sent_what_the_one_before_it_made_of_the_node(self) -> None:
        work = Workflow("a", "b")
        plugins = [plugin("x", about("a", saying("first"))), plugin("y", about("b", saying("second"))), plugin("z")]
        await work.make_pass(*plugins)
        assert [messages(each) for each in plugins] == [["", ""], ["first", ""], ["first", "second"]]
        assert (work["a"].message, work["b"].message) == ("first", "second")

    async def test_the_next_is_asked_just_the_same_where_nobody_had_anything_to_say(self) -> None:
        """Whatever was encoded for the one is not encoded for the other."""
        plugins = [plugin(name) for name in "xyz"]
        await Workflow("a", "b").make_pass(*plugins)
        (first,), (second,), (third,) = (client(each).batches for each in plugins)
        assert first is second is third

    @pytest.mark.parametrize(
        "settings",
        [{"payload": "full"}, {"match": MatchSettings(phases=("Pending",))}, {"cache": "on"}],
        ids=["payload", "match", "cache"],
    )
    async def test_one_who_is_asked_otherwise_gets_a_batch_of_its_own(self, settings: dict[str, Any]) -> None:
        plugins = [plugin("x"), plugin("y", **settings), plugin("z")]
        await Workflow("a", "b").make_pass(*plugins)
        batches = [client(each).batches[0] for each in plugins]
        assert batches[0] is not batches[1]
        assert [asked(each) for each in plugins] == [["a", "b"]] * 3

    async def test_a_payload_is_as_much_of_the_workflow_as_was_wished_for(self) -> None:
        plugins = [plugin("x"), plugin("y", payload="full"), plugin("z")]
        await Workflow("a").make_pass(*plugins)
        assert [client(each).args[0]["workflow"].keys() for each in plugins] == [
            {"metadata"},
            DOCUMENT.keys(),
            {"metadata"},
        ]

    async def test_one_is_asked_only_about_the_nodes_that_it_wants(self) -> None:
        work = Workflow("a", "b")
        picky = plugin("y", match=MatchSettings(phases=("Running",)))
        plugins = [plugin("x", about("b", NodeReply(NodeResult(phase="Running")))), picky, plugin("z")]
        await work.make_pass(*plugins)
        assert [asked(each) for each in plugins] == [["a", "b"], ["b"], ["a", "b"]]

    async def test_calls_that_travel_alone_have_the_width_that_was_given(self) -> None:
        one = plugin("x")
        await Workflow("a").make_pass(one)
        assert client(one).widths == [7]


class TestWhatEndsAChain:
    async def test_a_node_that_is_fulfilled_before_it_runs(self) -> None:
        work, plugins = Workflow("a", "b"), [plugin("x", fulfilling("a")), plugin("y")]
        await work.make_pass(*plugins)
        assert work["a"].phase == "Succeeded"
        assert asked(plugins[1]) == ["b"]

    async def test_not_one_that_has_ended_by_itself(self) -> None:
        answer = NodeReply(NodeResult(phase="Failed"))
        work, plugins = Workflow("a"), [plugin("x", lambda _: answer), plugin("y")]
        await work.make_pass(*plugins, method=POST)
        assert work["a"].phase == "Failed"
        assert asked(plugins[1]) == ["a"]

    async def test_an_error_and_the_node_is_that(self) -> None:
        work, plugins = Workflow("a", "b"), [plugin("x", about("a", wrong("x"))), plugin("y")]
        await work.make_pass(*plugins)
        assert (work["a"].phase, work["a"].message) == ("Error", "plugin 'x', node.preExecute: wrong")
        assert work["b"].phase == "Pending"
        assert asked(plugins[1]) == ["b"]

    async def test_a_reply_that_would_make_another_node_of_it(self) -> None:
        work, plugins = Workflow("a"), [plugin("x", about("a", NodeReply(NodeResult(id="other")))), plugin("y")]
        await work.make_pass(*plugins)
        assert work["a"].phase == "Error"
        assert asked(plugins[1]) == []

    @pytest.mark.parametrize("failure", [wrong("x"), busy("x")], ids=["fatal", "transient"])
    @pytest.mark.parametrize("settings", [{"failure_policy": "ignore"}, {"mode": "observe"}], ids=["ignore", "observe"])
    async def test_not_the_error_of_one_that_may_fail(self, failure: Answer, settings: dict[str, Any]) -> None:
        work, plugins = Workflow("a", "b"), [plugin("x", about("a", failure), **settings), plugin("y")]
        await work.make_pass(*plugins)
        assert work["a"].phase == "Pending"
        assert asked(plugins[1]) == ["a", "b"]
        assert work.counts.failures_passed_over == 1

    async def test_an_error_about_what_a_template_means_is_that_of_the_workflow(self) -> None:
        work = Workflow("a")
        with pytest.raises(FatalError):
            await work.make_pass(plugin("x", lambda _: wrong("x")), plugin("y"), method=Method.PARAMETERS_ADD)


class TestWhatAnswersDo:
    async def test_one_that_only_observes_changes_nothing(self) -> None:
        work = Workflow("a")
        await work.make_pass(plugin("x", lambda _: saying("seen"), mode="observe"))
        assert work["a"].message == ""

    async def test_parameters_are_added_to_the_invocation(self) -> None:
        work = Workflow("a")
        first, second = (ParametersReply({"p": value, value: value}) for value in ("1", "2"))
        await work.make_pass(plugin("x", lambda _: first), plugin("y", lambda _: second), method=Method.PARAMETERS_ADD)
        assert work.questions[0].invocation.extra == {"p": "2", "1": "1", "2": "2"}

    async def test_a_wish_to_be_asked_again_is_noted(self) -> None:
        work = Workflow("a", "b")
        await work.make_pass(plugin("x", about("b", NodeReply(requeue=5.0))))
        assert work.ground.wishes == {"b": 1005.0}

    @pytest.mark.parametrize(
        ("caches", "cacheable"), [(["on", "on"], True), (["on", "off"], False), (["off", "on"], False)]
    )
    async def test_a_node_may_rest_where_all_replies_about_it_are_cacheable(
        self, caches: Sequence[str], cacheable: bool
    ) -> None:
        work = Workflow("a", "b")
        await work.make_pass(*(plugin(f"p{place}", cache=cache) for place, cache in enumerate(caches)))
        assert [question.cacheable for question in work.questions] == [cacheable] * 2
        assert all(question.empty for question in work.questions)

    async def test_nor_may_one_to_which_anybody_had_something_to_say(self) -> None:
        work = Workflow("a", "b", "c")
        await work.make_pass(plugin("x", about("a", saying("x")), cache="on"), plugin("y", about("b", wrong("y"))))
        assert [question.empty for question in work.questions] == [False, False, True]


class TestCachedReplies:
    async def test_who_answers_the_same_again_is_not_asked_again(self) -> None:
        work = Workflow("a", "b")
        caching = plugin("x", about("a", saying("known")), cache="on")
        plugins = [caching, plugin("y")]
        await work.make_pass(*plugins)
        await work.make_pass(*plugins)  # with the message that it has now, the node is another question
        for each in plugins:
            asked(each)
        await work.make_pass(*plugins)
        assert [asked(each) for each in plugins] == [[], ["a", "b"]]
        assert work["a"].message == "known"

    async def test_a_cached_reply_counts_like_any_other(self) -> None:
        work = Workflow("a", "b")
        plugins = [plugin("x", fulfilling("a"), cache="on"), plugin("y", about("b", busy("y")))]
        with pytest.raises(TransientError):
            await work.make_pass(*plugins)
        client(plugins[1]).answer = about("", EMPTY)
        for each in plugins:
            asked(each)
        await work.make_pass(*plugins)
        assert work["a"].phase == "Succeeded"
        assert [asked(each) for each in plugins] == [[], ["b"]]
        assert work.counts.answers_cached == 2

    async def test_a_plugin_that_was_away_is_asked_again(self) -> None:
        work, one = Workflow("a"), plugin("x", cache="on")
        await work.make_pass(one)
        client(one).times_back += 1
        asked(one)
        await work.make_pass(one)
        assert asked(one) == ["a"]


async def test_chunks_are_spread_over_the_plugins_and_those_that_wait_give_their_calls_to_the_slow_one() -> None:
    course = Course(Method.NODE_PRE_EXECUTE, [plugin("x"), plugin("y")], chunks=8, workers=32)
    widths: list[int] = []
    leave = asyncio.Semaphore(0)

    async def go() -> None:
        async with course.turn(0) as width:
            widths.append(width)
            await leave.acquire()

    async def settle() -> None:
        for _ in range(5):
            await asyncio.sleep(0)

    chunks = [asyncio.ensure_future(go()) for _ in range(8)]
    await settle()
    assert widths == [4] * 4, "half of the chunks, for there are two plugins, each with its own calls"
    leave.release()
    await settle()
    assert widths[4:] == [7], "the calls of seven chunks, by the four of them that are not waiting"
    for _ in range(7):
        leave.release()
    await asyncio.gather(*chunks)
    assert len(widths) == 8
