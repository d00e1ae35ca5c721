"""A container set's containers are nodes, too, under the pod they run in."""

from __future__ import annotations

from engine.executors.executor import Result
from engine.graph.graph import Graph
from engine.graph.invocation import Invocation
from engine.graph.nodes import complete
from engine.model.node import CONTAINER, POD, RUNNING, Node


def open_all(graph: Graph, invocation: Invocation, node: Node) -> None:
    """Let the pod's containers run."""
    containers = (graph.settings(invocation).get("containerSet") or {}).get("containers") or ()
    created: dict[str, str] = {}
    for container in containers:
        name = f"{node.name}.{container['name']}"
        child = graph.store.adopt(name) or graph.store.create(
            name, CONTAINER, RUNNING, graph.store[node.id], started_at=graph.timestamp
        )
        created[container["name"]] = child.id
    for container in containers:
        for parent in container.get("dependencies") or ():
            graph.store.link(created.get(parent, node.id), created[container["name"]])
        if not container.get("dependencies"):
            graph.store.link(node.id, created[container["name"]])


def report(graph: Graph, node: Node, result: Result) -> None:
    """Let those end of which an executor speaks."""
    for container in _containers(graph, node):
        own = (result.containers or {}).get(container.display_name)
        if own is not None:
            touched = graph.store.touch(container.id)
            touched.phase, touched.message = own.phase, own.message
            touched.outputs, touched.finished_at = own.outputs, graph.timestamp
            if not touched.unsuccessful:
                graph.store.progressed(touched, complete(touched.progress))


def close_all(graph: Graph, node: Node) -> None:
    """Containers nobody spoke of end as their pod did."""
    for container in _containers(graph, node):
        if not container.fulfilled:
            touched = graph.store.touch(container.id)
            touched.phase, touched.finished_at = node.phase, graph.timestamp
            graph.store.progressed(touched, node.progress)


def _containers(graph: Graph, node: Node) -> list[Node]:
    """The nodes of a pod's containers; one that depends on others hangs under them."""
    found: dict[str, Node] = {}
    stack = list(node.children or ()) if node.type == POD else []
    while stack:
        child = graph.store[stack.pop()]
        if child.type == CONTAINER and child.boundary_id == node.id and child.id not in found:
            found[child.id] = child
            stack.extend(child.children or ())
    return list(found.values())
