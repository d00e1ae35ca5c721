"""The nodes of a workflow while a pass changes them: every change can be undone until the pass commits."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from typing import Any, Final

from engine.node import PENDING, RETRY, TASK_GROUP, Node, node_id

# A display name is the node's name without its boundary's, and without the separator of steps and DAGs.
_SEPARATOR: Final = re.compile(r"^(\[\d+\])?\.")
_LEAF_TYPES: Final = frozenset({"Pod", "Skipped", "Suspend", "HTTP", "Plugin"})


class NodeStore:
    """Nodes by id, with an undo log: `commit` keeps what was done since the last commit, `rollback` takes it back.

    A node may be changed only after `touch` has returned it.
    """

    def __init__(self, workflow: str, nodes: dict[str, Node]) -> None:
        self.workflow = workflow
        self.nodes = nodes
        self.undo: dict[str, Node | None] = {}
        self._existing = {node.name: key for key, node in nodes.items()}

    def __getitem__(self, key: str) -> Node:
        return self.nodes[key]

    def get(self, key: str) -> Node | None:
        """The node of that id, if there is one."""
        return self.nodes.get(key)

    def adopt(self, name: str) -> Node | None:
        """The node `name` that the document brought along, the first time it is asked for; None for a new one."""
        if not self._existing:
            return None
        key = self._existing.pop(name, None)
        return None if key is None else self.nodes[key]

    def touch(self, key: str) -> Node:
        """The node, ready to be changed in this pass."""
        node = self.nodes[key]
        if key not in self.undo:
            self.undo[key] = node
            node = self.nodes[key] = copy.copy(node)
            if node.children is not None:
                node.children = node.children.copy()
        return node

    def before(self, key: str) -> Node:
        """The node as it was before this pass; one that is new was Pending, with nothing known of it."""
        node = self.nodes[key]
        old = self.undo.get(key, node)
        if old is None:
            old = copy.copy(node)
            old.phase, old.message, old.progress = PENDING, "", ""
            old.outputs = old.children = old.started_at = old.finished_at = None
        return old

    def create(self, name: str, type_: str, phase: str, boundary: Node | None, **fields: Any) -> Node:
        """A new node; its id is unique, its display name as Argo derives it."""
        key = node_id(self.workflow, name, self.nodes)
        display = _SEPARATOR.sub("", name.removeprefix(boundary.name), count=1) if boundary is not None else name
        node = Node(
            id=key,
            name=name,
            display_name=display,
            type=type_,
            phase=phase,
            boundary_id=boundary.id if boundary is not None else "",
            **fields,
        )
        self.nodes[key] = node
        self.undo[key] = None
        return node

    def link(self, parent: str, child: str) -> None:
        """Make `child` a child of `parent`; again is harmless."""
        children = self.nodes[parent].children
        if children is None:
            self.touch(parent).children = [child]
        elif children[-1] != child and (len(children) > 64 or child not in children):
            node = self.touch(parent)
            assert node.children is not None
            node.children.append(child)

    def outbound(self, key: str) -> Iterator[str]:
        """The nodes after which a successor of this node is drawn (Argo's getOutboundNodes)."""
        stack = [key]
        while stack:
            node = self.nodes[stack.pop()]
            if node.type in _LEAF_TYPES:
                yield node.id
            elif node.type == RETRY:
                yield from (node.children or [])[-1:]
            elif node.type == TASK_GROUP:
                if node.children:
                    stack.extend(reversed(node.children))
                else:
                    yield node.id
            else:
                stack.extend(reversed(node.outbound_nodes))

    def commit(self) -> None:
        """Keep every change."""
        self.undo = {}

    def rollback(self) -> bool:
        """Take every change back; False where there was none."""
        if not self.undo:
            return False
        for key, old in self.undo.items():
            if old is None:
                del self.nodes[key]
            else:
                self.nodes[key] = old
        self.undo = {}
        return True
