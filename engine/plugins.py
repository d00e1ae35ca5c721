"""The six methods in their places: which calls a workflow and its nodes need, and what comes of the replies.

How calls travel is `rpc`'s business. The argument prefix, that is the workflow and the template, is encoded once and
spliced in front of each node; a node is encoded once for all plugins until one of them changes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import orjson

from engine.graph import Graph, Invocation
from engine.node import ERROR, RUNNING, Node, encode
from engine.patching import IllegalChange, apply_result, patch_workflow
from engine.substitution import SubstitutionError
from registry import Plugin
from rpc import (
    EMPTY,
    FatalError,
    Method,
    NodeReply,
    ParametersReply,
    Reply,
    TransientError,
    WorkflowReply,
)

PRE: Final = Method.NODE_PRE_EXECUTE
POST: Final = Method.NODE_POST_EXECUTE
EXECUTE: Final = Method.TEMPLATE_EXECUTE
ADD: Final = Method.PARAMETERS_ADD

NOBODY_EXECUTED: Final = "no plugin executed the template"
EXECUTE_RETRY: Final = 1.0
"""Seconds until a plugin is asked again to execute a template after a transient failure that named no delay."""


class Skips:
    """How often a plugin's failure was passed over, since its policy is to ignore them or it only observes."""

    def __init__(self) -> None:
        self.count = 0


def _tolerated(plugin: Plugin) -> bool:
    return plugin.failure_policy == "ignore" or plugin.mode == "observe"


class WorkflowHooks:
    """`workflow.preOperate` and `workflow.postOperate`, in the order of the plugins."""

    def __init__(self, plugins: Sequence[Plugin], skips: Skips) -> None:
        self._plugins = plugins
        self._skips = skips

    async def pre_operate(self, document: dict[str, Any], nodes: dict[str, Node]) -> dict[str, Any]:
        """The document as the plugins want it. Raises `TransientError` and `FatalError`."""
        for plugin in self._plugins:
            if plugin.client.supports(Method.WORKFLOW_PRE_OPERATE):
                body = b'{"workflow":' + _encoded(document, nodes, plugin) + b"}"
                document = await self._call(plugin, Method.WORKFLOW_PRE_OPERATE, body, document)
        return document

    async def post_operate(
        self, old: dict[str, Any], document: dict[str, Any], nodes: dict[str, Node]
    ) -> dict[str, Any]:
        """The document as the plugins want it, told what it was before the pass."""
        for plugin in self._plugins:
            if plugin.client.supports(Method.WORKFLOW_POST_OPERATE):
                # The nodes as they were are not kept whole; a plugin that wants them sees the new ones.
                body = b"".join((b'{"old":', orjson.dumps(old), b',"new":', _encoded(document, nodes, plugin), b"}"))
                document = await self._call(plugin, Method.WORKFLOW_POST_OPERATE, body, document)
        return document

    async def _call(self, plugin: Plugin, method: Method, body: bytes, document: dict[str, Any]) -> dict[str, Any]:
        try:
            reply = await plugin.client.exchange(method, body)
            if plugin.mode == "observe" or not isinstance(reply, WorkflowReply) or reply.workflow is None:
                return document
            try:
                return patch_workflow(document, reply.workflow)
            except IllegalChange as error:
                raise FatalError(plugin.name, method, str(error)) from error
        except (TransientError, FatalError):
            if not _tolerated(plugin):
                raise
            self._skips.count += 1
            return document


def _encoded(document: dict[str, Any], nodes: dict[str, Node], plugin: Plugin) -> bytes:
    """The workflow for a workflow hook: without its nodes, unless the plugin is configured to be sent everything."""
    if plugin.payload != "full" or not nodes:
        return orjson.dumps(document)
    encoded = {key: orjson.Fragment(encode(nodes[key])) for key in sorted(nodes)}
    return orjson.dumps({**document, "status": {**document["status"], "nodes": encoded}})


class NodeHooks:
    """The calls for the nodes of one pass: `parameters.add`, `node.preExecute`, `template.execute`, `node.postExecute`.

    `visit` may run for many nodes at once; for one node the plugins form a chain, each seeing what the one before it
    changed. A transient failure leaves `visit` as `TransientError`; a fatal one makes the node Error.
    """

    def __init__(self, plugins: Sequence[Plugin], graph: Graph, document: dict[str, Any], skips: Skips) -> None:
        self._plugins = plugins
        self._graph = graph
        self._skips = skips
        self._workflows: dict[str, bytes] = {"metadata": orjson.dumps({"metadata": document["metadata"]})}
        if any(plugin.payload == "full" for plugin in plugins):
            self._workflows["full"] = orjson.dumps(document)
        self._heads: dict[tuple[str, int], bytes] = {}
        self._supporting: dict[Method, list[Plugin]] = {}
        self.refresh()

    def refresh(self) -> None:
        """Look again which plugins know which method; a wave of visits may have taught it."""
        for method in (PRE, POST, EXECUTE, ADD):
            self._supporting[method] = [plugin for plugin in self._plugins if plugin.client.supports(method)]

    async def visit(self, invocation: Invocation) -> None:
        """Call the plugins for one node and let what they answer count."""
        node = self._graph.store[invocation.node_id]
        is_plugin = invocation.resolved.kind == "plugin"
        if not node.fulfilled:
            if not is_plugin:
                invocation.requeue_at = None
            problem = None if invocation.executing else await self._prepare(invocation)
            if problem is not None:
                self._fail(invocation, problem)
            elif self._supporting[PRE]:
                await self._chain(PRE, invocation, node, None)
            if is_plugin and not self._graph.store[node.id].fulfilled:
                await self._execute(invocation)
        if self._supporting[POST]:
            self._graph.begin(invocation)
            before = self._graph.store.before(invocation.node_id)
            node = self._graph.store[invocation.node_id]
            if (before.phase, before.message, before.outputs) != (node.phase, node.message, node.outputs):
                await self._chain(POST, invocation, node, before)

    # Substitution

    async def _prepare(self, invocation: Invocation) -> str | None:
        """Ask for parameters and substitute; returns what keeps the node from running."""
        template = invocation.resolved
        if self._supporting[ADD] and invocation.extra is None:
            invocation.extra = {}
            text = self._graph.render(invocation)
            for plugin in self._supporting[ADD]:
                body = b"".join((b'{"workflow":', self._workflows[plugin.payload], b',"template":', text, b"}"))
                try:
                    reply = await plugin.client.exchange(ADD, body)
                except TransientError:
                    if _tolerated(plugin):
                        self._skips.count += 1
                        continue
                    raise
                if isinstance(reply, ParametersReply) and reply.parameters and plugin.mode == "apply":
                    invocation.extra.update(reply.parameters)
        if template.required:
            scope = self._graph.scope_of(invocation)
            for tag in template.required:
                if scope.get(tag) is None:
                    return f"failed to resolve {{{{{tag}}}}}"
        if template.text.tags:
            try:
                self._graph.render(invocation)
            except SubstitutionError as error:
                return str(error)
        return None

    def _head(self, payload: str, invocation: Invocation) -> bytes:
        """``{"workflow":…,"template":…``, the part of the arguments that a template's nodes have in common."""
        template = invocation.resolved
        if template.text.tags:
            return b"".join(
                (b'{"workflow":', self._workflows[payload], b',"template":', self._graph.render(invocation))
            )
        key = (payload, id(template))
        head = self._heads.get(key)
        if head is None:
            text = template.text.render(self._graph.scope)
            head = self._heads[key] = b"".join((b'{"workflow":', self._workflows[payload], b',"template":', text))
        return head

    # Calls

    async def _chain(self, method: Method, invocation: Invocation, node: Node, before: Node | None) -> None:
        """One node through all plugins that know the method; `before` is the node's old state where that is told."""
        payload, body = "", b""
        for plugin in self._supporting[method]:
            if plugin.payload != payload:
                payload = plugin.payload
                body = self._body(payload, invocation, node, before)
            try:
                reply = await plugin.client.exchange(method, body)
                if reply is EMPTY or reply is None or plugin.mode == "observe":
                    continue
                node = self._apply(plugin, method, invocation, reply)
            except TransientError:
                if not _tolerated(plugin):
                    raise
                self._skips.count += 1
                continue
            except FatalError as error:
                if not _tolerated(plugin):
                    self._fail(invocation, str(error))
                    return
                self._skips.count += 1
                continue
            payload = ""  # the node has changed: the next plugin is sent the new one
            if method is PRE and node.fulfilled:
                return

    def _body(self, payload: str, invocation: Invocation, node: Node, before: Node | None) -> bytes:
        if before is None:
            return b"".join((self._head(payload, invocation), b',"node":', encode(node), b"}"))
        old, new = encode(before), encode(node)
        return b"".join((self._head(payload, invocation), b',"old":', old, b',"new":', new, b"}"))

    def _apply(self, plugin: Plugin, method: Method, invocation: Invocation, reply: Reply) -> Node:
        store = self._graph.store
        if not isinstance(reply, NodeReply):
            return store[invocation.node_id]
        if reply.node is not None:
            node = store.touch(invocation.node_id)
            try:
                apply_result(node, reply.node)
            except IllegalChange as error:
                raise FatalError(plugin.name, method, str(error)) from error
        if reply.requeue is not None:
            invocation.requeue_at = self._graph.now + reply.requeue
        return store[invocation.node_id]

    def _fail(self, invocation: Invocation, message: str) -> None:
        node = self._graph.store.touch(invocation.node_id)
        node.phase, node.message = ERROR, message

    async def _execute(self, invocation: Invocation) -> None:
        """Ask plugins to execute a `plugin` template until one does. A transient failure is tried again later."""
        if invocation.requeue_at is not None and invocation.requeue_at > self._graph.now:
            return
        invocation.requeue_at = None
        workflow = self._workflows
        text = self._graph.render(invocation)
        for plugin in self._supporting[EXECUTE]:
            body = b"".join((b'{"workflow":', workflow[plugin.payload], b',"template":', text, b"}"))
            try:
                reply = await plugin.client.exchange(EXECUTE, body)
                if not isinstance(reply, NodeReply) or plugin.mode == "observe":
                    continue
                node = self._apply(plugin, EXECUTE, invocation, reply)
            except TransientError as error:
                if _tolerated(plugin):
                    self._skips.count += 1
                    continue
                invocation.requeue_at = self._graph.now + (error.retry_after or EXECUTE_RETRY)
                return
            except FatalError as error:
                if _tolerated(plugin):
                    self._skips.count += 1
                    continue
                self._fail(invocation, str(error))
                return
            if not node.fulfilled and node.phase != RUNNING:
                self._graph.store.touch(node.id).phase = RUNNING
            return
        self._fail(invocation, NOBODY_EXECUTED)
