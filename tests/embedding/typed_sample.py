"""What an embedder writes, as their type checker sees it: `assert_type` fails where it sees less than we say."""

import asyncio
from collections.abc import Mapping
from typing import Any, Unpack, assert_type

from engine import Engine, EngineOptions, Executor, Node, PassEnd, PassResult, Result, SimulatedExecutor, Workflow, load
from registry import Config, PluginConfig, Registry, Reload
from rpc import Client, ClientStats, Request, RetryPolicy, TransientError
from rpc.plugin import NodePreExecute, ParametersAdd, Plugin


class Cluster:
    """An executor of theirs."""

    def start(self, workflow: Workflow, template: Mapping[str, Any], node: Node) -> Result | None:
        return Result("Failed", "no room") if node.type == "Pod" else None

    def stop(self, workflow: Workflow, node: Node) -> None:
        """Nothing ever runs."""


class Controller(Engine):
    """An engine of theirs."""

    ready = False


class Witness:
    """An observer of theirs, of a client or of a whole engine."""

    def pass_begun(self, workflow: str) -> None:
        """Nothing to be said."""

    def pass_ended(self, ended: PassEnd) -> None:
        assert_type(ended.seconds, float)

    def requested(self, request: Request) -> None:
        assert_type(request.waited, float)


def make(path: str, **options: Unpack[EngineOptions]) -> Controller:
    assert_type(Engine.from_config(path, clock=lambda: 0.0, workers=4), Engine)
    return assert_type(Controller.from_config(path, **options), Controller)


async def reconcile(path: str) -> None:
    executor: Executor = SimulatedExecutor()
    assert_type(Engine(executor=executor, observer=Witness()).registry, Registry | None)
    (first, *_) = load([]).workflows
    workflow = Workflow(first.document)
    async with make(path, executor=Cluster(), config_maps={}) as engine:
        assert_type(engine, Controller)
        engine.ready = True
        result = assert_type(await engine.reconcile(workflow), PassResult)
        assert_type(result.requeue_after, float | None)
        engine.report(workflow, "id", Result("Succeeded", outputs={"result": "1"}))
    assert_type([node.phase for node in workflow.nodes.values()], list[str])


async def follow(registry: Registry) -> None:
    def reloaded(reload: Reload) -> None:
        assert_type(reload.added, tuple[str, ...])

    registry.listeners.append(reloaded)
    assert_type(registry.config, Config)
    assert_type(registry.config.plugins, tuple[PluginConfig, ...])


async def ask() -> None:
    async with Client("http://localhost:4355", retry=RetryPolicy(attempts=2), observer=Witness()) as client:
        try:
            assert_type(await client.call("node.preExecute", {}), dict[str, Any] | None)
        except TransientError as error:
            assert_type(error.retry_after, float | None)
        assert_type(client.stats, ClientStats)


plugin = Plugin("typed")


@plugin.on("node.postExecute")
async def answer(args: dict[str, Any]) -> dict[str, Any] | None:
    return {"node": {"message": str(args)}}


@plugin.on("node.preExecute")
def look_up(args: NodePreExecute) -> dict[str, Any] | None:
    assert_type(args.node.message, str)
    assert_type(args.template.name, str | None)
    return {"node": {"phase": "Succeeded"}} if args.node.phase == "Pending" else None


@plugin.on_batch("parameters.add")
async def add(calls: list[ParametersAdd]) -> list[dict[str, Any] | None]:
    return [{"parameters": {"name": args.workflow.metadata.name}} for args in calls]


if __name__ == "__main__":
    asyncio.run(reconcile("plugins.toml"))
