"""Which cached replies are found, and what makes the engine ask again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from engine.plugins.cache import EMPTY_SIZE, ENTRY, ReplyCache, cacheable, time_to_live
from engine.plugins.room import Room, weight
from registry import Seconds
from rpc.batches import Announcement
from rpc.replies import EMPTY
from tests.engine.plugins.doubles import client, plugin, saying

ROOMY = 1_000_000
ONE, OTHER = b"1" * 16, b"2" * 16


def filled(*, most: int = ROOMY, **settings: Any) -> tuple[ReplyCache, list[Any]]:
    """A cache that knows of two nodes what plugin `p` said, and of a third that nobody had anything to say."""
    cache, plugins = ReplyCache(Room(most)), [plugin("p", cache="on", **settings), plugin("q")]
    cache.begin(tuple(plugins), 100.0)
    cache.keep("p", "a", ONE, saying("a"))
    cache.keep("p", "b", ONE, EMPTY)
    cache.keep_empty_chains([("c", ONE)])
    return cache, plugins


def known(cache: ReplyCache) -> list[str]:
    return [about for about in "abc" if cache.find("p", about, ONE) is not None]


def test_the_last_reply_to_the_same_question_is_found() -> None:
    cache, _ = filled()
    assert known(cache) == ["a", "b", "c"]
    assert cache.find("p", "a", ONE) == saying("a")
    assert cache.find("p", "c", ONE) is EMPTY
    assert [cache.find("p", about, OTHER) for about in "abc"] == [None] * 3
    assert cache.find("q", "a", ONE) is None
    cache.keep("p", "a", OTHER, saying("new"))
    assert cache.find("p", "a", ONE) is None
    assert cache.find("p", "a", OTHER) == saying("new")


def test_it_is_there_in_the_next_pass_with_the_same_plugins() -> None:
    cache, plugins = filled()
    cache.begin(tuple(plugins), 1e9)
    assert known(cache) == ["a", "b", "c"]


def removed(plugins: list[Any]) -> None:
    del plugins[1]


def reordered(plugins: list[Any]) -> None:
    plugins.reverse()


def configured_anew(plugins: list[Any]) -> None:
    plugins[1] = plugin("q", payload="full")


def with_another_client(plugins: list[Any]) -> None:
    plugins[0] = plugin("p", cache="on")


def back_again(plugins: list[Any]) -> None:
    client(plugins[1]).times_back += 1


def announced(plugins: list[Any]) -> None:
    client(plugins[1]).said = Announcement(True)


CHANGES = [removed, reordered, configured_anew, with_another_client, back_again, announced]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_change_of_any_plugin_makes_every_question_worth_asking(change: Callable[[list[Any]], None]) -> None:
    """What one is asked depends on what those before it said; and one that came back may be another."""
    cache, plugins = filled()
    change(plugins)
    cache.begin(tuple(plugins), 100.0)
    assert known(cache) == []


class TestTimeToLive:
    def test_it_counts_from_when_the_oldest_reply_may_have_been_given(self) -> None:
        cache, plugins = filled(cache_ttl=Seconds(10))
        cache.begin(tuple(plugins), 109.9)
        assert known(cache) == ["a", "b", "c"]
        cache.keep("p", "d", ONE, saying("later"))
        cache.begin(tuple(plugins), 110.0)
        assert known(cache) == []
        assert cache.find("p", "d", ONE) is None
        cache.keep("p", "a", ONE, saying("a"))
        cache.begin(tuple(plugins), 119.9)
        assert known(cache) == ["a"]
        cache.begin(tuple(plugins), 120.0)
        assert known(cache) == []

    def test_the_shortest_counts(self) -> None:
        cache = ReplyCache(Room(ROOMY))
        plugins = tuple(plugin(str(ttl), cache="on", cache_ttl=Seconds(ttl)) for ttl in (30, 10, 20))
        cache.begin(plugins, 0.0)
        cache.keep("30", "a", ONE, EMPTY)
        cache.begin(plugins, 10.0)
        assert cache.find("30", "a", ONE) is None

    @pytest.mark.parametrize(
        ("settings", "said", "expected"),
        [
            ({}, None, (False, None)),
            ({}, Announcement(True), (True, None)),
            ({}, Announcement(True, 5.0), (True, 5.0)),
            ({}, Announcement(False, 5.0), (False, None)),
            ({"cache_ttl": Seconds(9)}, Announcement(True, 5.0), (True, 9.0)),
            ({"cache": "off"}, Announcement(True, 5.0), (False, None)),
            ({"cache": "off", "cache_ttl": Seconds(9)}, None, (False, None)),
            ({"cache": "on"}, None, (True, None)),
            ({"cache": "on"}, Announcement(False, 5.0), (True, 5.0)),
            ({"cache": "on", "cache_ttl": Seconds(9)}, Announcement(False), (True, 9.0)),
        ],
    )
    def test_the_configuration_counts_before_the_plugins_own_word(
        self, settings: dict[str, Any], said: Announcement | None, expected: tuple[bool, float | None]
    ) -> None:
        one = plugin("p", **settings)
        client(one).said = said
        assert (cacheable(one), time_to_live(one)) == expected


class TestRoom:
    def test_what_there_is_no_room_for_is_not_kept_and_what_is_there_stays(self) -> None:
        cache, _ = filled(most=2 * ENTRY + weight(saying("a")) + EMPTY_SIZE)
        cache.keep("p", "d", ONE, EMPTY)
        cache.keep_empty_chains([("d", ONE)])
        assert cache.find("p", "d", ONE) is None
        assert known(cache) == ["a", "b", "c"]
        assert cache.kept == 3

    def test_another_question_about_the_same_node_takes_the_place_of_the_last(self) -> None:
        room = Room(ENTRY + weight(saying("a")))
        cache = ReplyCache(room)
        for digest in (ONE, OTHER):
            cache.keep("p", "a", digest, saying("a"))
        assert cache.find("p", "a", OTHER) == saying("a")
        assert room.taken == room.most

    def test_what_is_forgotten_makes_room(self) -> None:
        room = Room(10_000)
        cache = ReplyCache(room)
        cache.begin((plugin("p", cache="on"),), 0.0)
        cache.keep("p", "a", ONE, saying("a"))
        cache.keep_empty_chains([("b", ONE)])
        cache.begin((), 0.0)
        assert room.taken == 0


def test_nodes_that_have_not_changed_are_looked_at_where_what_surrounds_them_has() -> None:
    cache, plugins = filled()
    node: Any = object()
    cache.surrounded_by({"workflow": "x"})
    cache.unchanged["a"] = node
    cache.begin(tuple(plugins), 100.0)
    cache.surrounded_by({"workflow": "x"})
    assert cache.unchanged == {"a": node}
    cache.surrounded_by({"workflow": "y"})
    assert cache.unchanged == {}
    cache.unchanged["a"] = node
    back_again(plugins)
    cache.begin(tuple(plugins), 100.0)
    assert cache.unchanged == {}
