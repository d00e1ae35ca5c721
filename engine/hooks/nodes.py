"""The four methods about nodes, in their places.

The argument prefix, that is the workflow and the template, is encoded once and spliced in front of each node; a node is
encoded once for all plugins until one of them changes it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Final

import orjson

from engine.graph import Graph, Invocation
from engine.hooks.calling import Caller
from engine.hooks.chain import Chain, Question
from engine.hooks.matching import node_filter, wants
from engine.hooks.patching import IllegalChange, apply_result
from engine.hooks.volley import Volley
from engine.node import ERROR, FULFILLED, RUNNING, Node, encode
from engine.substitution import SubstitutionError
from engine.template import Template
from registry import Plugin
from rpc import EMPTY, Call, FatalError, Method, NodeReply, ParametersReply, PluginError, Reply, TransientError
from rpc.fanout import fan_out

PRE: Final = Method.NODE_PRE_EXECUTE
POST: Final = Method.NODE_POST_EXECUTE
EXECUTE: Final = Method.TEMPLATE_EXECUTE
ADD: Final = Method.PARAMETERS_ADD

NOBODY_EXECUTED: Final = "no plugin executed the template"
CHUNK: Final = 256
"""Nodes that go through the plugins together, and `CHUNKS` how many times that many at once: what memory follows."""
CHUNKS: Final = 32
EXECUTE_RETRY: Final = 1.0
"""Seconds until a plugin is asked again to execute a template after a transient failure that named no delay."""


class NodeHooks:
    """The calls for the nodes of one pass: `parameters.add`, `node.preExecute`, `template.execute`, `node.postExecute`.

    For one node the plugins form a chain, each seeing what the one before it changed; different nodes go through it at
    the same time.
    """

    def __init__(self, plugins: Sequence[Plugin], graph: Graph, document: dict[str, Any], caller: Caller) -> None:
        self._graph = graph
        self.nodes = graph.store.nodes
        self.caller = caller
        self.journal = caller.journal
        self._standing = caller.standing
        self._workflows: dict[str, bytes] = {"metadata": orjson.dumps({"metadata": document["metadata"]})}
        if any(plugin.payload == "full" for plugin in plugins):
            self._workflows["full"] = orjson.dumps(document)
        self._heads: dict[str, dict[Template, tuple[bytes, bytes]]] = {"metadata": {}, "full": {}}
        self.filters = {plugin.name: found for plugin in plugins if (found := node_filter(plugin)) is not None}
        """What plugins want of the nodes, by name; those that want everything are not in it."""
        self._standing.surrounded_by((self._workflows, graph.scope.copy()))
        metadata = document["metadata"]
        self._wanting = {
            method: [plugin for plugin in plugins if wants(plugin, method, metadata)]
            for method in (PRE, POST, EXECUTE, ADD)
        }
        self._supporting: dict[Method, list[Plugin]] = {}
        self.refresh()

    def refresh(self) -> None:
        """Look again which plugins know which method; a wave of visits may have taught it."""
        for method, plugins in self._wanting.items():
            self._supporting[method] = [plugin for plugin in plugins if plugin.client.supports(method)]

    def supporting(self, method: Method) -> Sequence[Plugin]:
        """The plugins that may know the method and want it, in order."""
        return self._supporting[method]

    # Which nodes, and how

    def worth_visiting(self, wave: Sequence[Invocation]) -> Sequence[Invocation]:
        """Those of the wave to which anybody might have anything new to say."""
        unchanged, nodes = self._standing.unchanged, self.nodes
        if not unchanged:
            return wave
        worth = [each for each in wave if unchanged.get(each.node_id) is not nodes[each.node_id]]
        self.caller.counts.nodes_unchanged += len(wave) - len(worth)
        return worth

    async def visit(self, wave: Sequence[Invocation], workers: int) -> None:
        """Call the plugins for every node of a wave and let what they answer count.

        Raises `TransientError`, and `FatalError` where the whole workflow is at fault; then no call is left in flight.
        """
        if self._plain:
            wave = await Volley(self, self._supporting[PRE], wave).run(min(len(wave), workers))
        if wave:
            chunks = [wave[at : at + CHUNK] for at in range(0, len(wave), CHUNK)]
            at_a_time = min(len(chunks), CHUNKS)
            await fan_out(partial(self._visit_chunk, max(1, workers // at_a_time)), chunks, at_a_time)

    @property
    def _plain(self) -> bool:
        """Whether nodes are asked `node.preExecute` and nothing else, one by one, over connections that a `Volley` can
        use, and no answer is known beforehand."""
        plugins = self._supporting[PRE]
        return (
            not self._supporting[ADD]
            and not self._supporting[POST]
            and not self.filters
            and all(plugin.client.direct and plugin.client.takes_batches(PRE) is False for plugin in plugins)
            and all(map(self.asks_anew, plugins))
            and len({plugin.payload for plugin in plugins}) < 2
        )

    async def _visit_chunk(self, width: int, chunk: Sequence[Invocation]) -> None:
        """Some nodes, one step after the other; within a step at most `width` calls travel that travel alone."""
        open_ = [each for each in chunk if self.nodes[each.node_id].phase not in FULFILLED]
        for invocation in open_:
            if invocation.resolved.kind != "plugin":
                invocation.requeue_at = None
        await self._add_parameters([each for each in open_ if not each.executing and each.extra is None], width)
        ready = [each for each in open_ if each.executing or self.check(each)]
        await self._ask(PRE, [(each, None) for each in ready], width)
        to_execute = [
            each for each in ready if each.resolved.kind == "plugin" and not self.nodes[each.node_id].fulfilled
        ]
        if to_execute:
            await fan_out(self._execute, to_execute, min(len(to_execute), width))
        if self._supporting[POST]:
            await self._ask(POST, list(self._changed(chunk)), width)

    def _changed(self, chunk: Sequence[Invocation]) -> Iterator[tuple[Invocation, Node]]:
        """The nodes that this pass has changed, each with what it was before."""
        for invocation in chunk:
            self._graph.begin(invocation)
            before, node = self._graph.store.before(invocation.node_id), self.nodes[invocation.node_id]
            if (before.phase, before.message, before.outputs) != (node.phase, node.message, node.outputs):
                yield invocation, before

    async def _ask(self, method: Method, nodes: Sequence[tuple[Invocation, Node | None]], width: int) -> None:
        """Ask about nodes, with what each was before where that is told."""
        questions = [Question(each, partial(self._about_node, each, before)) for each, before in nodes]
        if questions:
            await Chain(self, method, width).run(questions)

    # Substitution

    async def _add_parameters(self, invocations: Sequence[Invocation], width: int) -> None:
        if not self._supporting[ADD] or not invocations:
            return
        questions = []
        for invocation in invocations:
            invocation.extra = {}
            text = self._render(invocation)
            if text is not None:
                questions.append(Question(invocation, partial(self._about_template, invocation, text)))
        await Chain(self, ADD, width).run(questions)

    def check(self, invocation: Invocation) -> bool:
        """Whether the template names only what is there; else the node is Error."""
        if self.nodes[invocation.node_id].phase in FULFILLED:  # it was found not to be when parameters were added
            return False
        if self._supporting[PRE] or not invocation.resolved.text.tags:
            return True
        return (
            self._render(invocation) is not None
        )  # it is for the executor, and better to fail now than when it starts

    def _render(self, invocation: Invocation) -> bytes | None:
        """The template with its tags substituted; None where that cannot be, and the node is Error."""
        try:
            return self._graph.render(invocation)
        except SubstitutionError as error:
            self.fail(invocation, str(error))
            return None

    # Arguments

    def workflow(self, payload: str) -> bytes:
        """The argument that all calls about nodes have in common, as JSON."""
        return self._workflows[payload]

    def call(self, payload: str, invocation: Invocation, node: Node, before: Node | None = None) -> Call:
        """The call about one node. Raises `SubstitutionError` where its template names something that is not there."""
        head, text = self._head(payload, invocation)
        if before is None:
            rest = b"".join((b',"node":', encode(node), b"}"))
        else:
            rest = b"".join((b',"old":', encode(before), b',"new":', encode(node), b"}"))
        return Call(head, invocation.resolved.name, text, rest)

    def _about_node(self, invocation: Invocation, before: Node | None, payload: str) -> Call:
        return self.call(payload, invocation, self.nodes[invocation.node_id], before)

    def _about_template(self, invocation: Invocation, text: bytes, payload: str) -> Call:
        return Call(self._join_head(payload, text), invocation.resolved.name, text, b"}")

    def _head(self, payload: str, invocation: Invocation) -> tuple[bytes, bytes]:
        """``{"workflow":…,"template":…``, what a template's nodes have in common, and the template's text alone."""
        template = invocation.resolved
        found = self._heads[payload].get(template)
        if found is None:
            text = self._graph.render(invocation)
            found = self._join_head(payload, text), text
            if not template.text.tags:
                self._heads[payload][template] = found
        return found

    def _join_head(self, payload: str, text: bytes) -> bytes:
        return b"".join((b'{"workflow":', self._workflows[payload], b',"template":', text))

    # Answers known beforehand, and those to be known

    def lasting(self, plugin: Plugin) -> bool:
        """Whether the plugin's replies to `node.preExecute` stand."""
        return plugin.name in self._standing.names

    def asks_anew(self, plugin: Plugin) -> bool:
        """Whether no answer of the plugin can be known before it is asked."""
        return not self.journal.resuming and not self.lasting(plugin)

    def known(self, plugin: Plugin, method: Method, about: str, digest: int) -> Reply | None:
        """The plugin's answer to a question, where it need not be asked."""
        if method is PRE and self.lasting(plugin):
            reply = self._standing.find(plugin.name, about, digest)
            if reply is not None:
                self.caller.counts.answers_standing += 1
                return reply
        if not self.journal.resuming:
            return None
        reply = EMPTY if self.journal.silent(method, about, digest) else None
        reply = reply or self.journal.find(plugin.name, method, about, digest)
        self.caller.counts.answers_resumed += reply is not None
        return reply

    def remember(
        self, plugin: Plugin, method: Method, about: str, digest: int, reply: Reply, *, stands: bool = True
    ) -> None:
        """The plugin has answered a question; ``stands`` is false where the answer is good for this pass only."""
        if stands and method is PRE and self.lasting(plugin):
            self._standing.keep(plugin.name, about, digest, reply)
        else:
            self.journal.keep(plugin.name, method, about, digest, reply)

    def remember_chain(self, method: Method, invocation: Invocation, digest: int, *, lasting: bool) -> None:
        """No plugin had anything to say to this question, which is 0 where none was asked.

        ``lasting`` is whether all that were asked are.
        """
        about = invocation.node_id
        if digest and method is PRE and self._standing.names:
            self._standing.keep_silence(about, digest)
        if digest and not lasting:
            self.journal.keep_silence(method, about, digest)
        elif method is PRE and lasting and self._rests(invocation):
            self._standing.unchanged[about] = self.nodes[about]

    def _rests(self, invocation: Invocation) -> bool:
        """Whether nothing is to be done about the node until it changes."""
        return (
            invocation.executing
            and invocation.requeue_at is None
            and invocation.resolved.kind != "plugin"
            and invocation.node_id not in self._graph.store.undo
        )

    def keep_silence(self, plugins: Sequence[Plugin], method: Method, about: str, digest: int) -> None:
        """These plugins were asked and had nothing to say; an aborted pass need not ask them again."""
        for plugin in plugins:
            self.remember(plugin, method, about, digest, EMPTY)

    # What comes of it

    def apply(self, plugin: Plugin, method: Method, invocation: Invocation, reply: Reply) -> Node:
        """Let a reply count; returns the node as it is then. Raises `FatalError`."""
        store = self._graph.store
        if isinstance(reply, ParametersReply) and reply.parameters:
            assert invocation.extra is not None
            invocation.extra.update(reply.parameters)
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

    def fatal(self, method: Method, invocation: Invocation, error: PluginError) -> None:
        """An answer was wrong: the node is Error, or where it was to say what a template means, the workflow is."""
        if method is ADD:
            raise error
        self.fail(invocation, str(error))

    def fail(self, invocation: Invocation, message: str) -> None:
        """The node is Error."""
        node = self._graph.store.touch(invocation.node_id)
        node.phase, node.message = ERROR, message

    async def _execute(self, invocation: Invocation) -> None:
        """Ask plugins to execute a `plugin` template until one does. A transient failure is tried again later."""
        if invocation.requeue_at is not None and invocation.requeue_at > self._graph.now:
            return
        invocation.requeue_at = None
        text = self._render(invocation)
        if text is None:
            return
        for plugin in self._supporting[EXECUTE]:
            filter_ = self.filters.get(plugin.name)
            if filter_ is not None and not filter_.wants(invocation.resolved, self.nodes[invocation.node_id]):
                continue
            body = self._about_template(invocation, text, plugin.payload).body
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
