"""Functions that say by an annotation what they take: they get it, typed, and all others get dicts."""

from __future__ import annotations

import functools
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from importlib.resources import files
from typing import TYPE_CHECKING, Annotated, Any

import aiohttp
import msgspec
import pytest

from engine.model.node import KNOWN
from rpc.arguments import ARGUMENTS, Arguments, NodeStatus
from rpc.methods import Method
from rpc.plugin import NodePostExecute, NodePreExecute, ParametersAdd, Plugin, Template, TemplateExecute

if TYPE_CHECKING:
    from rpc.plugin import WorkflowPreOperate

WORKFLOW = {"metadata": {"name": "hello", "namespace": "default", "uid": "1f7c"}}
TEMPLATE = {"name": "main", "container": {"image": "alpine"}}
NODE = {"id": "hello-1", "name": "hello", "displayName": "hello", "type": "Pod", "phase": "Running"}
ARGS = {"workflow": WORKFLOW, "template": TEMPLATE, "node": NODE}
BATCH: dict[str, Any] = {
    "workflow": WORKFLOW,
    "templates": {"main": TEMPLATE},
    "calls": [{"template": "main", "node": NODE}, {"template": "main", "node": {**NODE, "phase": "Pending"}}],
}


@asynccontextmanager
async def asking(plugin: Plugin) -> AsyncIterator[Callable[[str, Any], Any]]:
    async with plugin.serve() as address, aiohttp.ClientSession(address) as session:

        async def ask(method: str, args: Any) -> Any:
            async with session.post(f"/{method}", json=args) as response:
                return await response.json() if response.status == 200 else (response.status, await response.text())

        yield ask


async def typed_sync(plugin: Plugin) -> None:
    @plugin.on("node.preExecute")
    def answer(args: NodePreExecute) -> dict[str, Any]:
        return {"node": {"message": f"{args.node.phase} {args.workflow.metadata.name} {args.template.name}"}}


async def typed_async(plugin: Plugin) -> None:
    @plugin.on("node.preExecute")
    async def answer(args: NodePreExecute) -> dict[str, Any]:
        return {"node": {"message": f"{args.node.phase} {args.workflow.metadata.name} {args.template.name}"}}


async def typed_list(plugin: Plugin) -> None:
    @plugin.on_batch("node.preExecute")
    def answer(calls: list[NodePreExecute]) -> list[dict[str, Any]]:
        told = [f"{args.node.phase} {args.workflow.metadata.name} {args.template.name}" for args in calls]
        return [{"node": {"message": message}} for message in told]


@pytest.mark.parametrize("register", [typed_sync, typed_async, typed_list])
async def test_a_function_gets_what_it_is_annotated_with(register: Callable[[Plugin], Any]) -> None:
    plugin = Plugin("typed")
    await register(plugin)
    async with asking(plugin) as ask:
        assert await ask("node.preExecute", ARGS) == {"node": {"message": "Running hello main"}}
        replies = (await ask("node.preExecute.batch", BATCH))["replies"]
        assert [each["node"]["message"] for each in replies] == ["Running hello main", "Pending hello main"]


async def test_what_is_absent_has_a_default_and_what_is_unknown_is_passed_over() -> None:
    plugin, seen = Plugin("typed"), []

    @plugin.on("node.preExecute")
    async def answer(args: NodePreExecute) -> None:
        seen.append(args)

    node = {"id": "a", "name": "a", "startedAt": "2026-11-27T14:10:08Z", "boundaryID": "b", "tomorrow": {"x": 1}}
    async with asking(plugin) as ask:
        assert await ask("node.preExecute", {**ARGS, "node": node, "more": 1}) == {}
    (args,) = seen
    assert (args.node.phase, args.node.message, args.node.boundary_id) == ("", "", "b")
    assert (args.node.inputs, args.node.children) == (None, None)
    assert args.node.started_at == datetime(2026, 11, 27, 14, 10, 8, tzinfo=UTC)
    assert (args.workflow.spec, args.workflow.status.phase) == ({}, None)


async def test_what_does_not_fit_is_answered_with_400_and_its_place() -> None:
    plugin = Plugin("typed")

    @plugin.on("node.preExecute")
    def answer(args: NodePreExecute) -> None:
        """Is not called."""

    async with asking(plugin) as ask:
        status, text = await ask("node.preExecute", {**ARGS, "node": {**NODE, "message": 5}})
        assert (status, "`str`, got `int` - at `$.node.message`" in text) == (400, True)
        status, text = await ask("node.preExecute", {})
        assert (status, "required field `workflow`" in text) == (400, True)
        wrong = {**BATCH, "calls": [*BATCH["calls"], {"template": "main", "node": {"id": 1, "name": "a"}}]}
        replies = (await ask("node.preExecute.batch", wrong))["replies"]
        assert [reply.get("error", {}).get("status") for reply in replies] == [None, None, 400]


class Job(Template, frozen=True, kw_only=True):
    plugin: dict[str, dict[str, str]]


class JobExecute(TemplateExecute, frozen=True):
    template: Job


async def test_a_type_of_ones_own_says_what_ones_templates_are() -> None:
    plugin = Plugin("typed")

    @plugin.on("template.execute")
    def execute(args: JobExecute) -> dict[str, Any]:
        return {"node": {"phase": "Succeeded", "message": args.template.plugin["job"]["image"]}}

    async with asking(plugin) as ask:
        args = {**ARGS, "template": {"name": "main", "plugin": {"job": {"image": "alpine"}}}}
        assert (await ask("template.execute", args))["node"]["message"] == "alpine"
        assert (await ask("template.execute", {**args, "template": {"name": "main"}}))[0] == 400


class Methods:
    def bound(self, args: NodePreExecute) -> dict[str, Any]:
        return told(args)

    def __call__(self, args: NodePreExecute) -> dict[str, Any]:
        return told(args)


def told(args: object) -> dict[str, Any]:
    return {"node": {"message": type(args).__name__}}


def evaluated(annotation: object) -> Callable[[Any], dict[str, Any]]:
    """As in a module without ``from __future__ import annotations``."""

    def answer(args: Any) -> dict[str, Any]:
        return told(args)

    answer.__annotations__["args"] = annotation
    return answer


def second(_: int, args: NodePreExecute) -> dict[str, Any]:
    return told(args)


@functools.wraps(second)
def wrapper(*args: Any) -> Any:
    return second(1, *args)


@pytest.mark.parametrize(
    ("function", "given"),
    [
        (Methods().bound, "NodePreExecute"),
        (Methods(), "NodePreExecute"),
        (functools.partial(second, 1), "NodePreExecute"),
        (functools.partial(wrapper), "dict"),
        (evaluated(NodePreExecute), "NodePreExecute"),
        (evaluated(Annotated[NodePreExecute, "with a word"]), "NodePreExecute"),
        (evaluated(NodePreExecute | ParametersAdd), "NodePreExecute"),
        (evaluated("NodePreExecute | None"), "NodePreExecute"),
        (evaluated(dict[str, Any]), "dict"),
        (evaluated("Nowhere"), "dict"),
        (evaluated("not a type"), "dict"),
        (evaluated(msgspec.Struct), "dict"),
        (evaluated(tuple[()]), "dict"),
        (lambda args: told(args), "dict"),
        (lambda *args: told(*args), "dict"),
    ],
)
async def test_whatever_can_be_called_is_asked_what_it_takes(function: Callable[..., Any], given: str) -> None:
    plugin = Plugin("typed")
    plugin.on("node.preExecute")(function)
    async with asking(plugin) as ask:
        assert (await ask("node.preExecute", ARGS))["node"]["message"] == given


async def test_a_name_that_is_imported_for_type_checking_only_is_known() -> None:
    plugin = Plugin("typed")

    @plugin.on("workflow.preOperate")
    async def answer(args: WorkflowPreOperate) -> dict[str, Any]:
        return {"workflow": {"metadata": {"labels": {"is": args.workflow.metadata.name}}}}

    async with asking(plugin) as ask:
        reply = await ask("workflow.preOperate", {"workflow": WORKFLOW})
    assert reply["workflow"]["metadata"]["labels"] == {"is": "hello"}


@pytest.mark.parametrize(
    ("batch", "annotation", "said"),
    [
        (False, NodePostExecute, "node.preExecute sends NodePreExecute, and .*answer takes .*NodePostExecute"),
        (False, "NodePostExecute", "NodePostExecute"),
        (False, NodePostExecute | ParametersAdd, "takes .*ParametersAdd"),
        (False, Arguments, "takes .*Arguments"),
        (False, NodeStatus, "sends NodePreExecute, and .* takes .*NodeStatus"),
        (False, list[NodePreExecute], "sends NodePreExecute, and .* takes list"),
        (True, NodePreExecute, r"sends list\[NodePreExecute\], and .* takes .*NodePreExecute"),
        (True, list[NodePostExecute], r"sends list\[NodePreExecute\]"),
        (True, Sequence[NodePostExecute], r"sends list\[NodePreExecute\]"),
    ],
)
async def test_the_arguments_of_another_method_are_refused_at_once(batch: bool, annotation: object, said: str) -> None:
    plugin = Plugin("typed")
    register: Callable[[str], Callable[[Any], Any]] = plugin.on_batch if batch else plugin.on
    with pytest.raises(TypeError, match=said):
        register("node.preExecute")(evaluated(annotation))
    register("node.preExecute")(evaluated(Any))


def takes_nothing() -> None: ...


def takes_two(args: object, more: object) -> None: ...


@pytest.mark.parametrize("function", [takes_nothing, takes_two, 3])
def test_what_cannot_be_called_with_the_arguments_is_refused_at_once(function: Any) -> None:
    plugin = Plugin("typed")
    for register in (plugin.on, plugin.on_batch):
        with pytest.raises(TypeError, match=r"^node\.preExecute: expected a function of one argument, .* is none: "):
            register("node.preExecute")(function)
    plugin.on("node.preExecute")(functools.partial(takes_two, more=None))
    anything: Any = takes_any
    plugin.on_batch("node.preExecute")(anything)


def takes_any(*args: object, **more: object) -> None: ...


@pytest.mark.parametrize("method", list(Method))
def test_every_method_has_a_type_of_its_arguments(method: Method) -> None:
    assert ARGUMENTS[method].__struct_fields__ == method.arguments


def test_a_node_has_the_fields_that_the_engine_sends_and_a_template_those_of_argo() -> None:
    assert {field.encode_name for field in msgspec.structs.fields(NodeStatus)} >= KNOWN
    argo = json.loads((files("engine.manifests") / "fields.json").read_bytes())["Template"]
    assert {field.encode_name for field in msgspec.structs.fields(Template)} == argo.keys()
