"""Random workflows are stopped, suspended, resumed and retried at random points, among aborted passes.

Whatever is done, the workflow stays one that Argo could have written, no leaf is started that runs or has ended, and it
can be brought to its end.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from engine import Engine, Node, OperationError, Result, Workflow
from engine.model.node import SKIPPED_TYPE
from registry import BreakerSettings, Config, EngineSettings, PluginConfig, Registry, RetrySettings, Seconds
from rpc.plugin import Plugin, Unavailable
from tests.acceptance.manifests import container

LEAVES = ("leaf", "again", "wait", "locked", "pods")
TEMPLATES = (
    container("leaf"),
    container("again", retryStrategy={"limit": 1}),
    {"name": "wait", "suspend": {}},
    container("locked", synchronization={"mutexes": [{"name": "one"}]}),
    {"name": "pods", "containerSet": {"containers": [{"name": "x", "image": "i"}, {"name": "y", "image": "i"}]}},
)


@st.composite
def templates(draw: st.DrawFn, name: str, depth: int) -> list[dict[str, Any]]:
    """A template of steps or a DAG, and those that it calls."""
    made: list[dict[str, Any]] = []
    calls: list[dict[str, Any]] = []
    for number in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from((*LEAVES, "nested") if depth else LEAVES))
        if kind == "nested":
            kind = f"{name}-{number}"
            made += draw(templates(kind, depth - 1))
        call: dict[str, Any] = {"name": f"s{number}", "template": kind}
        if draw(st.booleans()):
            call["withItems"] = list(range(draw(st.integers(0, 3))))
        if draw(st.integers(0, 5)) == 0:
            call["continueOn"] = {"failed": True}
        if draw(st.integers(0, 5)) == 0:
            call["hooks"] = {"exit": {"template": "leaf"}}
        calls.append(call)
    body: dict[str, Any] = {"steps": [[call] for call in calls]}
    if draw(st.booleans()):
        enhanced = draw(st.booleans())
        results = st.sampled_from(("{}", "{}", "({}.Succeeded || {}.Failed)", "({}.Failed || {}.Omitted)"))
        for number, call in enumerate(calls):
            if enhanced:
                call.pop("continueOn", None)
            names = [each["name"] for each in calls[:number]]
            before = sorted(draw(st.sets(st.sampled_from(names), max_size=2))) if names else []
            if before and enhanced:
                call["depends"] = " && ".join(draw(results).replace("{}", name) for name in before)
            elif before:
                call["dependencies"] = before
        body = {"dag": {"tasks": calls}}
    if draw(st.integers(0, 5)) == 0:
        body["retryStrategy"] = {"limit": 1}
    if draw(st.integers(0, 5)) == 0:
        body["failFast"] = True
    if draw(st.integers(0, 5)) == 0:
        body["parallelism"] = 1
    return [{"name": name, **body}, *made]


@st.composite
def workflows(draw: st.DrawFn) -> dict[str, Any]:
    spec: dict[str, Any] = {"entrypoint": "main", "templates": [*draw(templates("main", 2)), *TEMPLATES]}
    if draw(st.booleans()):
        spec["onExit"] = "leaf"
    if draw(st.integers(0, 3)) == 0:
        spec["parallelism"] = 2
    return {"metadata": {"name": "work"}, "spec": spec}


ACTIONS = st.sampled_from(
    (
        *("pass", "pass", "pass", "pass", "report", "report", "report", "fail"),
        *("stop", "terminate", "suspend", "resume", "retry", "restart", "reload"),
    )
)


class World:
    """Runs leaves: some end at once, some when they are told to."""

    def __init__(self) -> None:
        self.running: dict[str, str] = {}
        self.over: set[str] = set()
        self.lenient = False

    def start(self, workflow: Workflow, template: Mapping[str, Any], node: Node) -> Result | None:
        assert not workflow.finished
        assert node.id not in self.running, f"{node.name} runs already"
        assert node.id not in self.over, f"{node.name} has run already"
        if zlib.crc32(node.name.encode()) % 3 == 0:
            self.over.add(node.id)
            return Result("Failed" if zlib.crc32(node.name.encode()) % 2 and not self.lenient else "Succeeded")
        self.running[node.id] = node.name
        return None

    def stop(self, workflow: Workflow, node: Node) -> None:
        self.running.pop(node.id, None)
        self.over.discard(node.id)


class Play:
    """One workflow, its engine, and what is done to it."""

    def __init__(self, document: dict[str, Any], registry: Registry | None) -> None:
        self.world = World()
        self.now = 1_700_000_000.0
        self.registry = registry
        self.load(document)

    def load(self, document: dict[str, Any]) -> None:
        """A new engine, with a workflow as it was written down; leaves that ran are to be started again."""
        self.work = Workflow(document)
        self.world.running.clear()
        # What was skipped or omitted has not run, and may after a retry.
        self.world.over = {node.id for node in self.work.nodes.values() if node.fulfilled and node.type != SKIPPED_TYPE}
        self.engine = Engine(self.registry, executor=self.world, clock=lambda: self.now)

    async def do(self, action: str) -> None:
        before = self.work.encode()
        try:
            await self._do(action)
        except OperationError:
            assert self.work.encode() == before, "what is refused has changed nothing"
        self.check()

    async def _do(self, action: str) -> None:
        engine, work = self.engine, self.work
        match action:
            case "pass":
                before = work.encode()
                result = await engine.reconcile(work)
                self.now += 1.0
                if result.aborted is not None:
                    assert work.encode() == before
            case "report" | "fail":
                for node_id in sorted(self.world.running)[:1]:
                    del self.world.running[node_id]
                    self.world.over.add(node_id)
                    engine.report(work, node_id, Result("Succeeded" if action == "report" else "Failed"))
            case "reload":
                self.load(work.to_dict())
            case "restart":
                engine.retry(work, restart_successful=True, node_field_selector="displayName=s1")
            case _:
                getattr(engine, action)(work)

    def check(self) -> None:
        """What holds between passes, whatever was done."""
        work = self.work
        assert not work.message.startswith("invalid spec")
        assert Workflow(work.to_dict()).encode() == work.encode()
        for node in work.nodes.values():
            assert not node.boundary_id or node.boundary_id in work.nodes
            assert node.fulfilled <= bool(node.finished_at)
            assert not (set(node.children or ()) | set(node.outbound_nodes)) - work.nodes.keys()
        labels = work.document["metadata"].get("labels") or {}
        assert (labels.get("workflows.argoproj.io/completed") == "true") == work.finished
        if work.finished:
            assert not self.world.running, "what ran was stopped"

    async def bring_to_an_end(self) -> str:
        """Resume what is suspended and let all that runs succeed; the phase in which the workflow ends."""
        self.world.lenient = True
        for _ in range(400):
            if self.work.finished:
                return self.work.phase
            await self.do("pass")
            if not self.work.finished:
                await self.do("resume")
            while self.world.running:
                await self.do("report")
        raise AssertionError(f"it never ends: {self.engine.waiting_for(self.work)}")


def moody(refuse: set[int]) -> Plugin:
    """A plugin that refuses the calls of these numbers, and has nothing to say to the others."""
    plugin, calls = Plugin("moody"), 0

    @plugin.on("node.preExecute")
    def answer(args: dict[str, Any]) -> dict[str, Any]:
        nonlocal calls
        calls += 1
        if calls in refuse:
            raise Unavailable("not now")
        return {}

    return plugin


async def play(document: dict[str, Any], actions: list[str], refuse: set[int]) -> None:
    async with AsyncExitStack() as stack:
        registry = None
        if refuse:
            address = await stack.enter_async_context(moody(refuse).serve())
            plugin = PluginConfig(
                name="moody",
                address=address,
                timeout=Seconds(60),
                concurrency=1,
                retry=RetrySettings(attempts=1),
                breaker=BreakerSettings(min_calls=1_000_000),
            )
            registry = Registry(Config(engine=EngineSettings(enabled=True), plugins=(plugin,)), watch=False)
            await stack.enter_async_context(registry)
        drama = Play(document, registry)
        for action in actions:
            await drama.do(action)
        phase = await drama.bring_to_an_end()
        if phase == "Succeeded":
            return
        refusal = ""
        try:
            drama.engine.retry(drama.work)
        except OperationError as error:
            refusal = str(error)
        if refusal:
            assert "nothing to retry" in refusal
            return
        kept = [node for node in drama.work.nodes.values() if node.unsuccessful]  # something after it has succeeded
        assert await drama.bring_to_an_end() == "Succeeded" or kept


@settings(max_examples=60)
@given(document=workflows(), actions=st.lists(ACTIONS, max_size=25))
async def test_any_sequence_of_operations(document: dict[str, Any], actions: list[str]) -> None:
    await play(document, actions, set())


@settings(max_examples=15)
@given(document=workflows(), actions=st.lists(ACTIONS, max_size=15), refuse=st.sets(st.integers(1, 40), min_size=1))
async def test_any_sequence_of_operations_among_aborted_passes(
    document: dict[str, Any], actions: list[str], refuse: set[int]
) -> None:
    await play(document, actions, refuse)
