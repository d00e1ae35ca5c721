"""Passes over one workflow until it is over, in a time of its own."""

from __future__ import annotations

from collections.abc import Sequence

from engine import Engine, EngineStats, Workflow
from registry import Config, EngineSettings, PluginConfig, Registry

START = 1_700_000_000.0


async def reconcile_to_the_end(work: Workflow, plugins: Sequence[PluginConfig]) -> EngineStats:
    """Make passes until the workflow is finished; one that is aborted must have left it as it was."""
    now = START
    registry = Registry(Config(engine=EngineSettings(enabled=True), plugins=tuple(plugins)), watch=False)
    async with Engine(registry, clock=lambda: now) as engine:
        while not work.finished:
            before = work.encode()
            result = await engine.reconcile(work)
            if result.aborted is not None:
                assert work.encode() == before
            elif not work.finished:
                assert result.requeue_after is not None
                now += result.requeue_after
        return engine.stats
