"""Where an answer goes and for how long: the cache for passes to come, the journal until the pass commits."""

from __future__ import annotations

import pytest

from engine.model.statistics import Counts
from engine.plugins.memory import Memory, Rooms
from engine.plugins.room import Answer
from registry import Plugin
from rpc import FatalError, Method
from rpc.replies import EMPTY, NodeReply
from rpc.spellings import Spellings
from tests.engine.plugins.doubles import PRE, client, plugin, saying, wrong

POST = Method.NODE_POST_EXECUTE
ONE, OTHER = b"1" * 16, b"2" * 16


class Engine:
    """A memory and the plugins of its passes: `p`, whose replies are cacheable, and `q`."""

    def __init__(self) -> None:
        self.counts = Counts()
        self.memory = Memory(self.counts, Rooms())
        self.caching, self.other = plugin("p", cache="on"), plugin("q")
        self.begin()

    def begin(self) -> None:
        self.memory.begin((self.caching, self.other), 100.0)

    def abort(self) -> None:
        self.memory.abort(100.0)
        self.begin()

    def commit(self) -> None:
        self.memory.journal.clear()
        self.begin()

    def keep(self, plugin: Plugin, answer: Answer, method: Method = PRE) -> None:
        self.memory.keep(plugin, method, "node", ONE, answer)

    def knows(self, plugin: Plugin, method: Method = PRE) -> bool:
        return self.memory.find(plugin, method, "node", ONE) is not None


def test_a_cacheable_reply_is_found_at_once_and_in_passes_to_come() -> None:
    engine = Engine()
    engine.keep(engine.caching, saying("a"))
    assert engine.knows(engine.caching)
    engine.commit()
    assert engine.knows(engine.caching)
    engine.abort()
    assert engine.knows(engine.caching)
    assert (engine.counts.answers_cached, engine.counts.answers_resumed) == (3, 0)


def test_any_other_is_found_by_the_pass_that_follows_an_aborted_one() -> None:
    engine = Engine()
    engine.keep(engine.other, saying("a"))
    assert not engine.knows(engine.other)
    engine.abort()
    assert engine.knows(engine.other)
    assert engine.counts.answers_resumed == 1
    engine.commit()
    assert not engine.knows(engine.other)


@pytest.mark.parametrize("answer", [wrong("p"), NodeReply(requeue=1.0)], ids=["error", "requeue"])
def test_what_is_to_be_asked_again_lives_no_longer_than_the_pass(answer: Answer) -> None:
    engine = Engine()
    engine.keep(engine.caching, answer)
    assert not engine.knows(engine.caching)
    engine.abort()
    assert engine.knows(engine.caching)
    engine.commit()
    assert not engine.knows(engine.caching)


def test_only_what_every_pass_asks_again_is_cached() -> None:
    engine = Engine()
    engine.keep(engine.caching, saying("a"), POST)
    assert not engine.memory.is_cacheable(engine.caching, POST)
    assert not engine.knows(engine.caching, POST)
    engine.abort()
    assert engine.knows(engine.caching, POST)


def test_an_error_that_is_found_is_one_of_its_own() -> None:
    """Whoever raises it adds to its traceback and its notes."""
    engine = Engine()
    engine.keep(engine.other, wrong("q"))
    engine.abort()
    found = [engine.memory.find(engine.other, PRE, "node", ONE) for _ in range(2)]
    assert all(isinstance(each, FatalError) and str(each) == str(wrong("q")) for each in found)
    assert found[0] is not found[1]


def test_nobody_need_look_for_the_answers_of_who_is_asked_in_any_case() -> None:
    engine = Engine()
    assert engine.memory.asks_anew(engine.other, PRE)
    assert not engine.memory.asks_anew(engine.caching, PRE)
    assert engine.memory.asks_anew(engine.caching, POST)
    engine.abort()
    assert not engine.memory.asks_anew(engine.other, PRE)


@pytest.mark.parametrize("cached", [True, False])
def test_a_chain_in_which_nobody_had_anything_to_say(cached: bool) -> None:
    """Where all replies are cacheable it is for passes to come; where one is not, of the others only."""
    engine = Engine()
    questions = [("node", ONE)]
    engine.memory.keep_empty_chains(PRE, cached=questions if cached else [], rest=[] if cached else questions)
    assert engine.memory.find(engine.caching, PRE, "node", ONE) is EMPTY
    assert not engine.knows(engine.other)
    engine.abort()
    assert engine.knows(engine.other) is not cached
    engine.commit()
    assert engine.knows(engine.caching)
    assert not engine.knows(engine.other)


def test_a_plugin_that_came_back_during_an_aborted_pass_is_asked_again_for_what_was_cached_only() -> None:
    engine = Engine()
    engine.keep(engine.caching, saying("a"))
    engine.keep(engine.other, saying("b"))
    client(engine.caching).times_back += 1
    engine.abort()
    assert not engine.knows(engine.caching)
    assert engine.knows(engine.other)


def test_other_plugins_know_nothing_of_what_these_said() -> None:
    engine = Engine()
    engine.keep(engine.caching, saying("a"))
    engine.keep(engine.other, saying("b"))
    engine.memory.abort(100.0)
    engine.other = plugin("q", payload="full")
    engine.begin()
    assert not engine.knows(engine.caching)
    assert not engine.knows(engine.other)


def test_a_pass_that_goes_on_is_dated_like_the_aborted_one() -> None:
    engine = Engine()
    engine.memory.abort(50.0)
    engine.begin()
    assert engine.memory.journal.resumed_at == 50.0
    engine.commit()
    assert engine.memory.journal.resumed_at is None


def test_what_was_heard_is_counted() -> None:
    """The loop asks whether a pass that was aborted came any further."""
    engine = Engine()
    assert engine.memory.heard == 0
    engine.keep(engine.caching, saying("a"))
    engine.keep(engine.other, saying("b"))
    engine.keep(engine.other, saying("b"))
    assert engine.memory.heard == 2
    engine.memory.keep_empty_chains(PRE, cached=[("other", OTHER)], rest=[])
    assert engine.memory.heard == 3


def test_all_nodes_are_looked_at_once_for_a_plugin_that_may_have_the_method_by_now() -> None:
    engine = Engine()
    client, memory = engine.caching.client, engine.memory
    assert not memory.looks_for_new_methods()
    client._spellings = Spellings("auto", "", not_found_ttl=1e-9)
    engine.keep(engine.caching, saying("a"))
    assert engine.knows(engine.caching)
    client._spellings.refuse(PRE)
    engine.begin()
    assert not engine.knows(engine.caching), "what it said before it had not the method"
    assert memory.looks_for_new_methods()
    engine.begin()
    assert not memory.looks_for_new_methods(), "in vain, there is no node that it wants"
    engine.abort()
    assert memory.looks_for_new_methods()
    client._spellings.settle(PRE, "short")
    engine.begin()
    assert not memory.looks_for_new_methods()
