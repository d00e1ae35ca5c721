"""The loads that the engine is put under, each by a name that can be asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from bench.plugin_server import Behaviour
from bench.workflows import Leaf
from rpc.methods import Method

Replies = Callable[[str], dict[Method, dict[str, Any]]]


class Scenario(NamedTuple):
    """What the plugins answer, and what the workflow is made of.

    ``replies`` and ``latencies`` say what each plugin does: the former is given its name, the latter are milliseconds
    from the first plugin on, repeated as often as there are plugins. ``fresh`` gives each loop a workflow of its own,
    which then counts its creation; ``padding`` is in bytes a request. ``sized`` means that the number of nodes is what
    it is about. ``batches`` and ``cacheable`` are what plugins can do; ``types`` are those of the nodes that each
    plugin wants, repeated like latencies, all where there are none; and ``changed`` is the share of the nodes that
    changes before each loop.
    """

    about: str
    replies: Replies
    nodes: int = 100_000
    latencies: tuple[float, ...] = (0.0,)
    leaf: Leaf = "container"
    padding: int = 0
    fresh: bool = False
    sized: bool = False
    batches: bool = False
    cacheable: bool = False
    types: tuple[tuple[str, ...], ...] = ((),)
    changed: float = 0.0

    @property
    def thinks(self) -> bool:
        """Whether a plugin does what not every server can: takes its time, or batches."""
        return any(self.latencies) or self.batches

    def behaviours(self, plugins: int) -> list[Behaviour]:
        """What each of `plugins` plugins does."""
        return [
            Behaviour(
                name=f"plugin-{number + 1}",
                replies=self.replies(f"plugin-{number + 1}"),
                latency_ms=self.latencies[number % len(self.latencies)],
                batches=self.batches,
                cacheable=self.cacheable,
            )
            for number in range(plugins)
        ]


def _silent(name: str) -> dict[Method, dict[str, Any]]:
    return {Method.NODE_PRE_EXECUTE: {}}


def _wanting_more(which: str) -> Replies:
    """One of the plugins has `node.postExecute`, too."""
    return lambda name: {**_silent(name), **({Method.NODE_POST_EXECUTE: {}} if name == which else {})}


def _patching(name: str) -> dict[Method, dict[str, Any]]:
    # Each plugin of the chain changes what the one before it wrote, so that every reply is a change.
    return {Method.NODE_PRE_EXECUTE: {"node": {"message": f"seen by {name}", "progress": "1/2"}}}


def _all_six(name: str) -> dict[Method, dict[str, Any]]:
    return {
        Method.WORKFLOW_PRE_OPERATE: {"workflow": {"metadata": {"annotations": {name: "began"}}}},
        Method.WORKFLOW_POST_OPERATE: {"workflow": {"metadata": {"annotations": {name: "ended"}}}},
        Method.PARAMETERS_ADD: {"parameters": {name: "was here"}},
        Method.NODE_PRE_EXECUTE: {},
        Method.NODE_POST_EXECUTE: {},
        Method.TEMPLATE_EXECUTE: {"node": {"phase": "Succeeded", "message": f"done by {name}"}},
    }


DEFAULT: Final = "single"
FIRST: Final = (DEFAULT, "batched", "cached")
"""What is measured where nothing is asked for: the same calls, and what spares them."""
BATCHES: Final = ("batched", "cached", "matched")
"""What is compared with it side by side."""
MIXED: Final = "mixed"
MIXED_PLUGINS: Final = 5
ODD_ONES: Final = Scenario(
    "the two of `mixed` that are not like the others", _wanting_more("plugin-1"), types=((), ("Pod",))
)
"""`mixed` without the three."""

SCENARIOS: Final[Mapping[str, Scenario]] = {
    DEFAULT: Scenario("pending nodes in their steady state, one node.preExecute each", _silent),
    "batched": Scenario("the same in batches", _silent, batches=True),
    "cached": Scenario(
        "the same in batches, where replies stand and 1 % of the nodes changed",
        _silent,
        batches=True,
        cacheable=True,
        changed=0.01,
    ),
    "matched": Scenario("the same, with plugins that want none of the nodes", _silent, types=(("Steps",),)),
    MIXED: Scenario(
        "the same, one plugin with a node.postExecute and one with a match between three of the others",
        _wanting_more("plugin-2"),
        types=((), (), (), ("Pod",), ()),
    ),
    "numbered": Scenario("the same, each node with a template of its own", _silent, leaf="numbered"),
    "six": Scenario("all six methods, from the first node to the last", _all_six, 20_000, leaf="plugin", fresh=True),
    "patch": Scenario("every reply changes the node", _patching, 20_000),
    "latency-1": Scenario("plugins that take 1 ms", _silent, 20_000, latencies=(1.0,)),
    "latency-5": Scenario("plugins that take 5 ms", _silent, 20_000, latencies=(5.0,)),
    "latency-20": Scenario("plugins that take 20 ms", _silent, 5_000, latencies=(20.0,)),
    "slow": Scenario("one plugin of five takes 20 ms", _silent, 10_000, latencies=(0.0, 0.0, 20.0, 0.0, 0.0)),
    "body-4k": Scenario("requests 4 KiB longer", _silent, 20_000, padding=4 << 10),
    "body-64k": Scenario("requests 64 KiB longer", _silent, 4_000, padding=64 << 10),
    "nodes-10k": Scenario("10,000 pending nodes", _silent, 10_000, sized=True),
    "nodes-100k": Scenario("100,000 pending nodes", _silent, 100_000, sized=True),
    "nodes-1m": Scenario("1,000,000 pending nodes", _silent, 1_000_000, sized=True),
}
