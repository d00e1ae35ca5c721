"""However calls travel, one by one, in batches, or not at all since the answer is known, a workflow ends the same."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine import Workflow
from registry import BatchSettings, BreakerSettings, MatchSettings, PluginConfig, RetrySettings, Seconds
from rpc.plugin import Plugin, Unavailable
from tests.acceptance.fixtures import StartEngine, StartPlugin
from tests.acceptance.manifests import container, same
from tests.acceptance.passes import START, reconcile_to_the_end

HOOKS = ("workflow.preOperate", "workflow.postOperate", "node.preExecute", "node.postExecute", "parameters.add")


@dataclass
class Way:
    """How the calls of one plugin travel. ``refuse`` are the calls, by number, that it puts off with a 503."""

    batches: bool = False
    cache: Literal["on", "off"] = "off"
    max_calls: int = 256
    concurrency: int = 4
    yields: int = 0
    refuse: frozenset[int] = frozenset()
    calls: list[str] = field(default_factory=list)


def opinionated(seed: int, way: Way) -> Plugin:
    """A plugin whose answers depend on the arguments alone, some of them errors; ``way`` says what else it does."""
    plugin = Plugin(f"plugin-{seed}", batches=way.batches)

    def opinion(method: str, args: dict[str, Any]) -> dict[str, Any] | None:
        digest = zlib.crc32(orjson.dumps(args, option=orjson.OPT_SORT_KEYS), seed) % 97
        text = f"{method} {digest}"
        if digest % 3 == 0:
            if method == "parameters.add":
                return {"parameters": {"opinion": text}}
            if method.startswith("workflow"):
                return {"workflow": {"metadata": {"annotations": {method: text}}}}
            return {"node": {"message": text, "progress": "1/2"}}
        if method.startswith("node"):
            if digest == 1:
                raise RuntimeError(text)
            if digest == 2:
                return {"node": {"phase": "Nonsense"}}
            if digest == 4 and method == "node.preExecute":
                return {"node": {"phase": "Skipped", "message": text}}
        return None

    def register(method: str) -> None:
        @plugin.on(method)
        async def reply(args: dict[str, Any]) -> dict[str, Any] | None:
            way.calls.append(method)
            if len(way.calls) in way.refuse:
                raise Unavailable("not this one")
            for _ in range(way.yields):
                await asyncio.sleep(0)
            return opinion(method, args)

    for method in HOOKS:
        register(method)
    return plugin


async def outcome(document: dict[str, Any], ways: Sequence[Way]) -> bytes:
    """The workflow at its end."""
    work = same(Workflow(document))
    async with AsyncExitStack() as stack:
        plugins = []
        for seed, way in enumerate(ways):
            address = await stack.enter_async_context(opinionated(seed, way).serve())
            plugins.append(
                PluginConfig(
                    name=f"plugin-{seed}",
                    address=address,
                    timeout=Seconds(60),
                    concurrency=way.concurrency,
                    cache=way.cache,
                    batch=BatchSettings(max_calls=way.max_calls),
                    retry=RetrySettings(attempts=1),
                    breaker=BreakerSettings(min_calls=1_000_000),
                )
            )
        await reconcile_to_the_end(work, plugins)
    return work.encode()


ways = st.builds(
    Way,
    batches=st.booleans(),
    cache=st.sampled_from(("off", "on")),
    max_calls=st.sampled_from([1, 3, 256]),
    concurrency=st.integers(1, 5),
    yields=st.integers(0, 3),
    refuse=st.frozensets(st.integers(1, 60), max_size=10),
)

step = st.fixed_dictionaries(
    {"template": st.sampled_from(["leaf", "tagged", "wait"])},
    optional={
        "withSequence": st.integers(0, 6).map(lambda count: {"count": str(count)}),
        "when": st.sampled_from(["1 == 1", "{{opinion}} == x", "1 == 2"]),
        "continueOn": st.just({"failed": True, "error": True}),
    },
)


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    groups = draw(st.lists(st.lists(step, min_size=1, max_size=3), min_size=1, max_size=3))
    main = [[{**each, "name": f"s{place}"} for place, each in enumerate(group)] for group in groups]
    for group in main:
        for each in group:
            if str(each.get("when", "")).startswith("{{"):
                each["when"] = "{{workflow.name}} == work"
            if each["template"] == "tagged":
                value = "{{item}}" if "withSequence" in each else "{{workflow.name}}"
                each["arguments"] = {"parameters": [{"name": "text", "value": value}]}
    return {
        "metadata": {"name": "work", "uid": "u"},
        "spec": {
            "entrypoint": "main",
            "templates": [
                {"name": "main", "steps": main},
                container("leaf", "true", retryStrategy={"limit": 1}),
                {
                    **container("tagged", "echo", "{{inputs.parameters.text}}"),
                    "inputs": {"parameters": [{"name": "text"}]},
                },
                {"name": "wait", "suspend": {"duration": "5m"}},
            ],
        },
    }


CUT_OFF = {
    "metadata": {"name": "work", "uid": "u"},
    "spec": {
        "entrypoint": "main",
        "templates": [
            {
                "name": "main",
                "steps": [
                    [
                        {
                            "template": "wait",
                            "withSequence": {"count": "4"},
                            "continueOn": {"failed": True, "error": True},
                            "name": "s0",
                        },
                        {"template": "wait", "name": "s1"},
                    ]
                ],
            },
            {"name": "wait", "suspend": {"duration": "5m"}},
        ],
    },
}
"""Ends with some of its leaves cut off, in a pass that is aborted once all is decided."""


@example(
    document=CUT_OFF,
    others=[Way(concurrency=1), Way(concurrency=1), Way(concurrency=1, refuse=frozenset({8, 12, 21, 33, 38}))],
)
@settings(max_examples=60, deadline=None)
@given(document=documents(), others=st.lists(ways, min_size=1, max_size=3))
async def test_whatever_way_the_calls_go(document: dict[str, Any], others: list[Way]) -> None:
    assert await outcome(document, others) == await outcome(document, [Way() for _ in others])


async def test_what_does_not_match_ends_as_if_the_plugin_had_had_nothing_to_say(
    engine: StartEngine, plugin: StartPlugin
) -> None:
    document = {
        "metadata": {"name": "work", "uid": "u", "labels": {"team": "payments"}},
        "spec": {
            "entrypoint": "main",
            "templates": [
                {"name": "main", "steps": [[{"name": "a", "template": "build"}, {"name": "b", "template": "test"}]]},
                container("build"),
                container("test"),
            ],
        },
    }

    async def run(match: MatchSettings | None, quiet_about: set[str]) -> tuple[bytes, list[str]]:
        def answer(args: dict[str, Any]) -> dict[str, Any]:
            name = args["node"]["displayName"]
            return {} if name in quiet_about else {"node": {"message": f"seen {name}"}}

        peer = await plugin({"node.preExecute": answer})
        work = same(Workflow(document))
        oarlock = await engine((peer, {"match": match}), clock=lambda: START)
        await oarlock.run([work])
        return work.encode(), peer.nodes("node.preExecute")

    for match, quiet_about in (
        (MatchSettings(templates=("build",)), {"work", "[0]", "b"}),
        (MatchSettings(types=("Pod",)), {"work", "[0]"}),
        (MatchSettings(types=("container",), templates=("t*",)), {"work", "[0]", "a"}),
        (MatchSettings(methods=("workflow.*",)), {"work", "[0]", "a", "b"}),
        (MatchSettings(labels={"team": "pay*"}), set()),
        (MatchSettings(labels={"team": "other"}), {"work", "[0]", "a", "b"}),
        (MatchSettings(namespaces=("def*",)), set()),
        (MatchSettings(namespaces=("other", "def")), {"work", "[0]", "a", "b"}),
        (MatchSettings(phases=("Succeeded",)), {"work", "[0]", "a", "b"}),
    ):
        matched, asked = await run(match, set())
        silent, _ = await run(None, quiet_about)
        assert matched == silent, match
        assert not set(asked) & quiet_about, match
