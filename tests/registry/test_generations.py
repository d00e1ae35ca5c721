"""No client is closed under a pass, and none is forgotten."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from registry.config import PluginConfig
from registry.generations import Generation, Generations, Plugin
from rpc import Client

CLIENTS = [Client(f"http://plugin-{number}") for number in range(6)]


def plugins(*numbers: int) -> tuple[Plugin, ...]:
    return tuple(plugin(CLIENTS[number]) for number in numbers)


def plugin(client: Client) -> Plugin:
    return Plugin(PluginConfig(name=client.name, address=client.name), client)


class Leases(RuleBasedStateMachine):
    """Any order of passes and reloads. A client that left the list is never listed again: a new one is made."""

    def __init__(self) -> None:
        super().__init__()
        self.generations = Generations()
        self.held: list[tuple[Generation, tuple[Plugin, ...]]] = []
        self.made: list[Client] = []
        self.closed: list[Client] = []

    @rule(keep=st.lists(st.booleans(), max_size=6), new=st.integers(0, 2))
    def reload(self, keep: list[bool], new: int) -> None:
        kept = [plugin for plugin, wanted in zip(self.generations.current.plugins, keep, strict=False) if wanted]
        fresh = [Client(f"http://plugin-{len(self.made) + number}") for number in range(new)]
        self.made += fresh
        self.closed += self.generations.replace((*kept, *(plugin(client) for client in fresh)))

    @rule()
    def start_a_pass(self) -> None:
        generation = self.generations.lease()
        self.held.append((generation, generation.plugins))

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def end_a_pass(self, data: st.DataObject) -> None:
        generation, seen = self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))
        assert generation.plugins == seen
        self.closed += self.generations.release(generation)

    @invariant()
    def a_client_is_closed_once_and_only_when_nobody_has_it(self) -> None:
        held = {plugin.client for _, seen in self.held for plugin in seen}
        in_use = held | {plugin.client for plugin in self.generations.current.plugins}
        assert len(self.closed) == len(set(self.closed))
        assert set(self.closed) == set(self.made) - in_use
        assert set(self.generations.clients()) == in_use

    @invariant()
    def only_what_is_leased_is_kept(self) -> None:
        older = {id(generation) for generation, _ in self.held} - {id(self.generations.current)}
        assert self.generations.draining == len(older)


TestLeases = Leases.TestCase
TestLeases.settings = settings(max_examples=50, stateful_step_count=30)


@pytest.fixture
def generations() -> Generations:
    return Generations()


def test_a_removed_plugin_is_closed_when_the_last_pass_that_has_it_ends(generations: Generations) -> None:
    generations.replace(plugins(0, 1))
    first, second = generations.lease(), generations.lease()
    assert generations.replace(plugins(0)) == ()
    assert generations.release(first) == ()
    assert generations.release(second) == (CLIENTS[1],)


def test_a_plugin_that_nobody_is_calling_is_closed_at_once(generations: Generations) -> None:
    generations.replace(plugins(0, 1))
    assert generations.replace(plugins(1)) == (CLIENTS[0],)


def test_an_unchanged_plugin_outlives_the_passes_of_an_older_list(generations: Generations) -> None:
    generations.replace(plugins(0))
    old = generations.lease()
    generations.replace(plugins(0, 1))
    assert generations.release(old) == ()
    assert generations.clients() == (CLIENTS[0], CLIENTS[1])


def test_a_pass_between_two_reloads_holds_back_no_other(generations: Generations) -> None:
    generations.replace(plugins(0))
    oldest = generations.lease()
    generations.replace(plugins(1))
    middle = generations.lease()
    generations.replace(plugins(2))
    assert generations.release(middle) == (CLIENTS[1],)
    assert generations.release(oldest) == (CLIENTS[0],)
