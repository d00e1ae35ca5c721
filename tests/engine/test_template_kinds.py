"""The table of template kinds, and those who have something to do for some of them."""

from __future__ import annotations

from engine.graph import leaves, visits
from engine.templates.kinds import EXECUTABLE, KINDS, STARTED
from engine.validation import leaves as validation
from registry.config import TYPES


def test_what_is_no_leaf_has_a_body() -> None:
    assert visits.BODIES.keys() == {name for name, kind in KINDS.items() if not kind.leaf}


def test_whoever_does_something_for_a_kind_of_leaf_does_it_for_one_that_there_is() -> None:
    known = {name for name, kind in KINDS.items() if kind.leaf}
    assert {*leaves.BEGINNINGS, *leaves.ANSWERED, *validation.CHECKS} <= known


def test_an_executor_is_given_all_leaves_but_those_that_plugins_execute() -> None:
    assert {"Pod", "HTTP", "Suspend"} == STARTED
    assert STARTED | {"Plugin", "Container"} == EXECUTABLE


def test_a_plugin_may_ask_for_every_kind_and_for_the_type_of_its_nodes() -> None:
    assert {*KINDS, *(kind.node_type for kind in KINDS.values())} == {*TYPES}
