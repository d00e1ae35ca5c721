"""What the trials have in common: an engine of this process, plugins in processes of their own, a loaded graph."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

from bench.observation import HiddenRegistry, sent
from bench.plugin_server import Behaviour
from bench.workflows import fan_out
from engine import Engine, Executor, PendingExecutor, Workflow
from registry import BatchSettings, Config, EngineSettings, PluginConfig, RetrySettings, Seconds
from rpc.methods import Method

ONCE: Final = RetrySettings(attempts=1)
"""No retries within a pass, so that every failure aborts it."""


def silent(count: int, **options: Any) -> list[Behaviour]:
    """Plugins that answer `{}` to `node.preExecute`."""
    replies: dict[Method, dict[str, Any]] = {Method.NODE_PRE_EXECUTE: {}}
    return [Behaviour(name=f"plugin-{number + 1}", replies=replies, **options) for number in range(count)]


class Trial:
    """An engine whose plugins are at some addresses."""

    def __init__(self, engine: Engine, registry: HiddenRegistry) -> None:
        self.engine = engine
        self.registry = registry

    async def loaded(self, nodes: int, name: str = "large") -> Workflow:
        """A workflow of so many pending nodes, loaded without a call."""
        workflow = fan_out(nodes, name=name)
        with self.hidden():
            await self.engine.reconcile(workflow)
        return workflow

    @contextmanager
    def hidden(self) -> Iterator[None]:
        """Within it no plugin is called."""
        self.registry.hidden = True
        try:
            yield
        finally:
            self.registry.hidden = False

    async def warm_up(self) -> None:
        """Open connections and find spellings and limits."""
        small = fan_out(500, name="warm-up")
        for _ in range(3):
            await self.engine.reconcile(small)

    async def finished(self, workflows: int, loop: asyncio.Task[None]) -> None:
        """Return once so many workflows have finished in the `loop` that is under way."""
        while self.engine.stats.workflows_finished < workflows and not loop.done():
            await asyncio.wait([loop], timeout=0.002)

    @property
    def breakers(self) -> set[str]:
        """The states that the plugins' breakers are in."""
        return {plugin.client.stats.breaker for plugin in self.registry.snapshot()}

    @property
    def sent(self) -> int:
        """Attempts of all plugins that touched a socket."""
        return sum(map(sent, self.registry.snapshot()))


@asynccontextmanager
async def trial(
    addresses: Sequence[str],
    *,
    deadline: float = 3600.0,
    executor: Executor | None = None,
    settings: Callable[[int], dict[str, Any]] = lambda number: {},
) -> AsyncIterator[Trial]:
    """An open engine, which sends single calls. ``settings`` gives each plugin's own, by its number from 1.

    Leaves stay pending by default.
    """
    usual: dict[str, Any] = {"timeout": Seconds(10.0), "batch": BatchSettings(enabled=False)}
    plugins = tuple(
        PluginConfig(name=f"plugin-{number}", address=address, **usual | settings(number))
        for number, address in enumerate(addresses, start=1)
    )
    config = Config(engine=EngineSettings(enabled=True, loop_deadline=Seconds(deadline)), plugins=plugins)
    registry = HiddenRegistry(config, watch=False)
    async with Engine(registry, executor=executor or PendingExecutor()) as engine:
        yield Trial(engine, registry)
