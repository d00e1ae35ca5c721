"""A pass that is aborted on its way through the plugins, and those that go on with what it has learnt."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model.node import Node
from registry import MatchSettings
from rpc import TransientError
from rpc.replies import EMPTY, NodeReply, NodeResult, Phase
from tests.engine.plugins.doubles import Answer, asked, busy, client, plugin, saying, wrong
from tests.engine.plugins.passes import Workflow, about


class TestAnAbortedPass:
    """What was answered until then is known to the next one, which asks for the rest only."""

    async def test_it_is_resumed_at_the_question_that_failed(self) -> None:
        work = Workflow("a", "b", "c")
        plugins = [plugin("x"), plugin("y", about("b", busy("y"))), plugin("z")]
        with pytest.raises(TransientError):
            await work.make_pass(*plugins)
        assert [asked(each) for each in plugins] == [["a", "b", "c"], ["a", "b"], []]
        client(plugins[1]).answer = about("", EMPTY)
        await work.make_pass(*plugins)
        assert [asked(each) for each in plugins] == [[], ["b", "c"], ["a", "b", "c"]]
        assert work.counts.answers_resumed == 4

    async def test_replies_count_in_the_pass_that_goes_on(self) -> None:
        work = Workflow("a", "b")
        plugins = [plugin("x", about("a", saying("said"))), plugin("y", about("b", busy("y")))]
        with pytest.raises(TransientError):
            await work.make_pass(*plugins)
        assert work["a"].message == ""
        client(plugins[1]).answer = about("", EMPTY)
        asked(plugins[0])
        asked(plugins[1])
        await work.make_pass(*plugins)
        assert work["a"].message == "said"
        assert [asked(each) for each in plugins] == [[], ["b"]]

    async def test_so_does_what_was_no_reply(self) -> None:
        work = Workflow("a", "b")
        plugins = [plugin("x", about("a", wrong("x"))), plugin("y", about("b", busy("y")))]
        with pytest.raises(TransientError):
            await work.make_pass(*plugins)
        client(plugins[1]).answer = about("", EMPTY)
        asked(plugins[0])
        await work.make_pass(*plugins)
        assert work["a"].phase == "Error"
        assert asked(plugins[0]) == []

    async def test_each_goes_further_than_the_one_before(self) -> None:
        """One failure in each pass, at every place of every plugin in turn: nobody is asked twice but for those."""
        names = "abcde"
        work, places = Workflow(*names), [(plugin_, node) for plugin_ in "xyz" for node in names]
        answered: list[tuple[str, str]] = []
        failed: set[tuple[str, str]] = set()

        def failing_once(name: str) -> Callable[[dict[str, Any]], Answer]:
            def answer(args: dict[str, Any]) -> Answer:
                place = name, args["node"]["displayName"]
                if place not in failed:
                    failed.add(place)
                    return busy(name)
                answered.append(place)
                return saying("y was here") if place == ("y", "c") else EMPTY

            return answer

        plugins = [plugin(name, failing_once(name)) for name in "xyz"]
        for _ in places:
            with pytest.raises(TransientError):
                await work.make_pass(*plugins)
            assert work["c"].message == ""
        await work.make_pass(*plugins)
        assert sorted(answered) == places
        assert work["c"].message == "y was here"

    async def test_a_pass_that_commits_leaves_the_next_one_to_ask_anew(self) -> None:
        work, one = Workflow("a"), plugin("x")
        for _ in range(2):
            await work.make_pass(one)
            assert asked(one) == ["a"]


PHASES: tuple[Phase, ...] = ("Pending", "Running", "Running", "Succeeded")


@dataclass(frozen=True)
class Kind:
    """What a plugin is like; ``seed`` decides what it says to what."""

    seed: int
    payload: str = "metadata"
    cache: str = "off"
    mode: str = "apply"
    failure_policy: str = "abort"
    phases: tuple[str, ...] = ()

    def judge(self, name: str, args: dict[str, Any]) -> Answer:
        node = args["node"]
        dice = random.Random(f"{self.seed} {node['displayName']} {node['phase']} {node.get('message')}")
        phase = dice.choice(PHASES)
        said: tuple[Answer, ...] = (wrong(name), NodeReply(NodeResult(phase=phase)), NodeReply(requeue=1.0))
        return dice.choice((EMPTY, EMPTY, EMPTY, saying(f"{node.get('message', '')}{name}"), *said))


kinds = st.builds(
    Kind,
    st.integers(0, 100),
    st.sampled_from(["metadata", "full"]),
    st.sampled_from(["on", "off"]),
    st.sampled_from(["apply", "apply", "observe"]),
    st.sampled_from(["abort", "abort", "ignore"]),
    st.sampled_from([(), (), ("Pending",), ("Running",)]),
)


@given(st.lists(kinds, min_size=1, max_size=5), st.sets(st.integers(0, 20), max_size=8))
async def test_whatever_fails_on_the_way_each_question_is_answered_once_and_the_end_is_the_same(
    kinds: list[Kind], failing: set[int]
) -> None:
    async def outcome(failing: set[int]) -> tuple[dict[str, Node], dict[str, float | None], Counter[str]]:
        work, answers, questions = Workflow("a", "b", "c", "d"), Counter[str](), count()

        def answering(name: str, kind: Kind) -> Callable[[dict[str, Any]], Answer]:
            def answer(args: dict[str, Any]) -> Answer:
                if next(questions) in failing and kind.mode == "apply" and kind.failure_policy == "abort":
                    return busy(name)
                answers[f"{name} {args['node']}"] += 1
                return kind.judge(name, args)

            return answer

        plugins = [
            plugin(
                f"p{place}",
                answering(f"p{place}", kind),
                payload=kind.payload,
                cache=kind.cache,
                mode=kind.mode,
                failure_policy=kind.failure_policy,
                match=MatchSettings(phases=kind.phases),
            )
            for place, kind in enumerate(kinds)
        ]
        while True:
            try:
                await work.make_pass(*plugins)
            except TransientError:
                continue
            return work.store.nodes, work.ground.wishes, answers

    undisturbed = await outcome(set())
    assert max(undisturbed[2].values(), default=1) == 1
    assert await outcome(failing) == undisturbed
