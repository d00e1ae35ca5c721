"""`workflow.preOperate` and `workflow.postOperate`: the plugins around a pass."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import orjson

from engine.model.node import Node, encode
from engine.model.workflow import has_ended
from engine.plugins.calling import Caller
from engine.plugins.matching import wants
from engine.plugins.patching import IllegalChange, patch_workflow
from rpc import FatalError, Method
from rpc.batches import Call
from rpc.replies import WorkflowReply

if TYPE_CHECKING:
    from registry import Plugin


class WorkflowHooks:
    """`workflow.preOperate` and `workflow.postOperate`, in the order of the plugins."""

    def __init__(self, plugins: Sequence[Plugin], caller: Caller) -> None:
        self._plugins = plugins
        self._caller = caller

    async def pre_operate(self, document: dict[str, Any], nodes: dict[str, Node]) -> dict[str, Any]:
        """The document as the plugins want it; who ends the workflow has the last word.

        Raises `TransientError` and `FatalError`.
        """
        for plugin in self._plugins:
            if has_ended(document):
                break
            if _asked(plugin, Method.WORKFLOW_PRE_OPERATE, document):
                body = b'{"workflow":' + _encoded(document, nodes, plugin) + b"}"
                document = await self._call(plugin, Method.WORKFLOW_PRE_OPERATE, body, document)
        return document

    async def post_operate(
        self, old: dict[str, Any], document: dict[str, Any], nodes: dict[str, Node], failed: Collection[str] = ()
    ) -> dict[str, Any]:
        """The document as the plugins want it, told what it was before the pass; those that have `failed` are not.

        Raises `TransientError` and `FatalError`.
        """
        for plugin in self._plugins:
            if plugin.name not in failed and _asked(plugin, Method.WORKFLOW_POST_OPERATE, document):
                # The nodes as they were are not kept whole; a plugin that wants them sees the new ones.
                body = b"".join((b'{"old":', orjson.dumps(old), b',"new":', _encoded(document, nodes, plugin), b"}"))
                document = await self._call(plugin, Method.WORKFLOW_POST_OPERATE, body, document)
        return document

    async def _call(self, plugin: Plugin, method: Method, body: bytes, document: dict[str, Any]) -> dict[str, Any]:
        reply = await self._caller.ask(plugin, method, None, Call(body, "", b"", b""), document)
        if not isinstance(reply, WorkflowReply) or reply.workflow is None:
            return document
        try:
            return patch_workflow(document, reply.workflow)
        except IllegalChange as error:
            if self._caller.passes_over(plugin):
                return document
            raise FatalError(plugin.name, method, str(error)) from error


def _asked(plugin: Plugin, method: Method, document: dict[str, Any]) -> bool:
    return plugin.client.supports(method) and wants(plugin, method, document["metadata"])


def _encoded(document: dict[str, Any], nodes: dict[str, Node], plugin: Plugin) -> bytes:
    """The workflow for a workflow hook: without its nodes, unless the plugin is configured to be sent everything."""
    if plugin.config.payload != "full" or not nodes:
        return orjson.dumps(document)
    encoded = {key: orjson.Fragment(encode(nodes[key])) for key in sorted(nodes)}
    return orjson.dumps({**document, "status": {**document["status"], "nodes": encoded}})
