"""The four methods about nodes, in their places.

The argument prefix, that is the workflow and the template, is encoded once and spliced in front of each node; a node is
encoded once for all plugins until one of them changes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import orjson

from engine.graph import Graph, Invocation
from engine.hooks.calling import Caller
from engine.hooks.patching import IllegalChange, apply_result
from engine.hooks.volley import Volley
from engine.node import ERROR, FULFILLED, RUNNING, Node, encode
from engine.substitution import SubstitutionError
from engine.template import Template
from registry import Plugin
from rpc import EMPTY, FatalError, Method, NodeReply, ParametersReply, PluginError, Reply, TransientError

PRE: Final = Method.NODE_PRE_EXECUTE
POST: Final = Method.NODE_POST_EXECUTE
EXECUTE: Final = Method.TEMPLATE_EXECUTE
ADD: Final = Method.PARAMETERS_ADD

NOBODY_EXECUTED: Final = "no plugin executed the template"
EXECUTE_RETRY: Final = 1.0
"""Seconds until a plugin is asked again to execute a template after a transient failure that named no delay."""


class NodeHooks:
    """The calls for the nodes of one pass: `parameters.add`, `node.preExecute`, `template.execute`, `node.postExecute`.

    `visit` may run for many nodes at once; for one node the plugins form a chain, each seeing what the one before it
    changed. A transient failure leaves `visit` as `TransientError`; a fatal one makes the node Error.
    """

    def __init__(self, plugins: Sequence[Plugin], graph: Graph, document: dict[str, Any], caller: Caller) -> None:
        self._plugins = plugins
        self._graph = graph
        self.nodes = graph.store.nodes
        self.caller = caller
        self.journal = caller.journal
        self._workflows: dict[str, bytes] = {"metadata": orjson.dumps({"metadata": document["metadata"]})}
        if any(plugin.payload == "full" for plugin in plugins):
            self._workflows["full"] = orjson.dumps(document)
        self._heads: dict[str, dict[Template, bytes]] = {"metadata": {}, "full": {}}
        self._supporting: dict[Method, list[Plugin]] = {}
        self.refresh()

    def refresh(self) -> None:
        """Look again which plugins know which method; a wave of visits may have taught it."""
        for method in (PRE, POST, EXECUTE, ADD):
            self._supporting[method] = [plugin for plugin in self._plugins if plugin.client.supports(method)]

    @property
    def plain(self) -> bool:
        """Whether nodes are asked `node.preExecute` and nothing else, over connections that a `Volley` can use."""
        plugins = self._supporting[PRE]
        return (
            not self._supporting[ADD]
            and not self._supporting[POST]
            and not self.journal.resuming
            and all(plugin.client.direct for plugin in plugins)
            and len({plugin.payload for plugin in plugins}) < 2
        )

    def volley(self, wave: Sequence[Invocation]) -> Volley:
        """The wave, to be sent through the plugins where all is `plain`."""
        return Volley(self, self._supporting[PRE], wave)

    async def visit(self, invocation: Invocation) -> None:
        """Call the plugins for one node and let what they answer count."""
        node = self.nodes[invocation.node_id]
        if node.phase not in FULFILLED:
            is_plugin = invocation.resolved.kind == "plugin"
            if not is_plugin:
                invocation.requeue_at = None
            try:
                if not invocation.executing:
                    await self._prepare(invocation)
                if self._supporting[PRE]:
                    await self._chain(PRE, invocation, node, None)
                if is_plugin and not self.nodes[node.id].fulfilled:
                    await self._execute(invocation)
            except SubstitutionError as error:
                self.fail(invocation, str(error))
        if self._supporting[POST]:
            self._graph.begin(invocation)
            before = self._graph.store.before(invocation.node_id)
            node = self.nodes[invocation.node_id]
            if (before.phase, before.message, before.outputs) != (node.phase, node.message, node.outputs):
                await self._chain(POST, invocation, node, before)

    # Substitution

    async def _prepare(self, invocation: Invocation) -> None:
        """Ask for parameters and substitute. Raises `SubstitutionError` where that leaves something to be resolved."""
        if self._supporting[ADD] and invocation.extra is None:
            invocation.extra = {}
            text = self._graph.render(invocation)
            for plugin in self._supporting[ADD]:
                body = b"".join((b'{"workflow":', self._workflows[plugin.payload], b',"template":', text, b"}"))
                reply = await self.caller.ask(plugin, ADD, invocation.node_id, body)
                if isinstance(reply, ParametersReply) and reply.parameters:
                    invocation.extra.update(reply.parameters)
        self.check(invocation)

    def check(self, invocation: Invocation) -> None:
        """Raises `SubstitutionError` where the template names something that is not there."""
        if invocation.resolved.text.tags and not self._supporting[PRE]:
            self._graph.render(invocation)  # it is for the executor, then; better to fail now than when it starts

    def _head(self, payload: str, invocation: Invocation) -> bytes:
        """``{"workflow":…,"template":…,"``, the part of the arguments that a template's nodes have in common."""
        template = invocation.resolved
        head = self._heads[payload].get(template)
        if head is None:
            text = self._graph.render(invocation)
            head = b"".join((b'{"workflow":', self._workflows[payload], b',"template":', text, b',"'))
            if not template.text.tags:
                self._heads[payload][template] = head
        return head

    # Calls

    async def _chain(self, method: Method, invocation: Invocation, node: Node, before: Node | None) -> None:
        """One node through all plugins that know the method; `before` is the node's old state where that is told.

        This is where nearly all calls are made, so what `Caller.ask` does is done here without its coroutine, and for
        a chain in which nobody has anything to say only once.
        """
        plugins, journal, about = self._supporting[method], self.journal, node.id
        resuming = journal.resuming
        payload = plugins[0].payload
        body = self.body(payload, invocation, node, before)
        first = digest = hash(body)
        if resuming and journal.silent(method, about, first):
            self.caller.counts.answers_resumed += len(plugins)
            return
        # Those from `since` on were sent this very body and had nothing to say; should the pass be aborted now, they
        # are not asked again.
        since, position, silent, stale = 0, 0, True, False
        try:
            for position, plugin in enumerate(plugins):
                if stale or plugin.payload != payload:
                    self.keep_silence(plugins[since:position], method, about, digest)
                    since, payload, stale = position, plugin.payload, False
                    body = self.body(payload, invocation, node, before)
                    digest = hash(body)
                reply = journal.find(plugin.name, method, about, digest) if resuming else None
                try:
                    if reply is None:
                        reply = await plugin.client.exchange(method, body)
                    else:
                        self.caller.counts.answers_resumed += 1
                    if reply is EMPTY or reply is None or plugin.mode == "observe":
                        continue
                    silent = False
                    journal.keep(plugin.name, method, about, digest, reply)
                    node = self.apply(plugin, method, invocation, reply)
                except PluginError:
                    if not self.caller.passes_over(plugin):
                        raise
                    continue
                if method is PRE and node.fulfilled:
                    return
                self.keep_silence(plugins[since:position], method, about, digest)
                since, stale = position + 1, True  # the next plugin is sent what this one made of the node
        except FatalError as error:
            self.fail(invocation, str(error))
        except BaseException:
            self.keep_silence(plugins[since:position], method, about, digest)
            raise
        else:
            if silent:
                journal.keep_silence(method, about, first)

    def keep_silence(self, plugins: Sequence[Plugin], method: Method, about: str, digest: int) -> None:
        """These plugins were asked and had nothing to say; an aborted pass need not ask them again."""
        for plugin in plugins:
            self.journal.keep(plugin.name, method, about, digest, EMPTY)

    def body(self, payload: str, invocation: Invocation, node: Node, before: Node | None) -> bytes:
        """The request for one node."""
        if before is None:
            return b"".join((self._head(payload, invocation), b'node":', encode(node), b"}"))
        old, new = encode(before), encode(node)
        return b"".join((self._head(payload, invocation), b'old":', old, b',"new":', new, b"}"))

    def apply(self, plugin: Plugin, method: Method, invocation: Invocation, reply: Reply) -> Node:
        """Let a reply count; returns the node as it is then. Raises `FatalError`."""
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

    def fail(self, invocation: Invocation, message: str) -> None:
        """The node is Error."""
        node = self._graph.store.touch(invocation.node_id)
        node.phase, node.message = ERROR, message

    async def _execute(self, invocation: Invocation) -> None:
        """Ask plugins to execute a `plugin` template until one does. A transient failure is tried again later."""
        if invocation.requeue_at is not None and invocation.requeue_at > self._graph.now:
            return
        invocation.requeue_at = None
        text = self._graph.render(invocation)
        for plugin in self._supporting[EXECUTE]:
            body = b"".join((b'{"workflow":', self._workflows[plugin.payload], b',"template":', text, b"}"))
            try:
                reply = await self.caller.ask(plugin, EXECUTE, invocation.node_id, body)
                if not isinstance(reply, NodeReply):
                    continue
                node = self.apply(plugin, EXECUTE, invocation, reply)
            except TransientError as error:
                invocation.requeue_at = self._graph.now + (error.retry_after or EXECUTE_RETRY)
                return
            except FatalError as error:
                if self.caller.passes_over(plugin):
                    continue
                self.fail(invocation, str(error))
                return
            if not node.fulfilled and node.phase != RUNNING:
                self._graph.store.touch(node.id).phase = RUNNING
            return
        self.fail(invocation, NOBODY_EXECUTED)
