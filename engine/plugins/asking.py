"""What the questions of one pass have in common: what is sent, who wants it, what is known, and what an answer does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from engine.graph import Graph, Invocation
from engine.model.node import ERROR, Node
from engine.plugins.arguments import Arguments
from engine.plugins.calling import Caller
from engine.plugins.matching import NodeFilter, node_filter
from engine.plugins.patching import IllegalChange, apply_result
from engine.substitution.text import SubstitutionError
from rpc import FatalError, Method
from rpc.replies import NodeReply, ParametersReply, Reply
from rpc.spans import Subject

if TYPE_CHECKING:
    from registry import Plugin


class Effects:
    """What comes of answers, on the nodes of one graph."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph

    def render(self, invocation: Invocation) -> bytes | None:
        """The template with its tags substituted; None where that cannot be, and the node is Error."""
        try:
            return self._graph.render(invocation)
        except SubstitutionError as error:
            self.fail(invocation, str(error))
            return None

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
            if reply.node.progress is not None:
                store.progressed(node, reply.node.progress)
        if reply.requeue is not None:
            self._graph.requeue(invocation, self._graph.now + reply.requeue)
        return store[invocation.node_id]

    def fail(self, invocation: Invocation, message: str) -> None:
        """The node is Error."""
        node = self._graph.store.touch(invocation.node_id)
        node.phase, node.message = ERROR, message


class Asking(NamedTuple):
    """Of one pass over a ``workflow``, by its uid. ``filters`` are what plugins want of the nodes, by name; who wants
    everything is not in it."""

    workflow: str
    nodes: Mapping[str, Node]
    arguments: Arguments
    filters: Mapping[str, NodeFilter]
    caller: Caller
    effects: Effects

    @classmethod
    def about(cls, graph: Graph, document: dict[str, Any], plugins: Sequence[Plugin], caller: Caller) -> Asking:
        """The nodes of a graph, on behalf of the workflow with this document."""
        filters = {plugin.name: found for plugin in plugins if (found := node_filter(plugin)) is not None}
        uid = document["metadata"].get("uid", "")
        return cls(uid, graph.store.nodes, Arguments(graph, document, plugins), filters, caller, Effects(graph))

    def subject(self, invocation: Invocation) -> Subject:
        """What a question about this node is about."""
        return Subject(self.workflow, invocation.node_id, self.nodes[invocation.node_id].name)

    def wants(self, plugin: Plugin, invocation: Invocation) -> bool:
        """Whether the plugin wants to be asked about this node."""
        found = self.filters.get(plugin.name)
        return found is None or found.wants(invocation.resolved, self.nodes[invocation.node_id])
