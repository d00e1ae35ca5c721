"""The nodes of a workflow while a pass changes them: every change can be undone until the pass commits."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import takewhile
from operator import attrgetter
from typing import Any, Final

from msgspec.structs import replace

from engine.model.ids import node_id
from engine.model.node import (
    CONTAINER,
    PENDING,
    POD,
    RETRY,
    SKIPPED_TYPE,
    TASK_GROUP,
    Node,
)
from engine.model.pace import PIECE, Pieces
from engine.templates.kinds import EXECUTABLE

# A display name is the node's name without its boundary's, and without the separator of steps and DAGs.
_SEPARATOR: Final = re.compile(r"^(\[\d+\])?\.")
PROGRESS: Final = dict.fromkeys(EXECUTABLE, "0/1")
"""That of a new node, by its type; others than these have none of their own."""
_ENDS: Final = EXECUTABLE - {POD, CONTAINER} | {SKIPPED_TYPE}


def relative_name(name: str, boundary: str) -> str:
    """What a node is called inside its boundary: the name of its step or task, with the turn of its loop."""
    inside = name.removeprefix(boundary)
    return inside[1:] if inside.startswith(".") else _SEPARATOR.sub("", inside, count=1)


def pod_name(workflow: str, template: str, node_id: str) -> str:
    """The name of the pod that Argo would make for a node: workflow, template and the hash in the node's id."""
    if node_id == workflow or not template:
        return node_id
    return f"{f'{workflow}-{template}'[:242]}-{node_id.removeprefix(f'{workflow}-')}"


_KIND_AND_PROGRESS: Final = attrgetter("type", "progress")


@lru_cache(maxsize=1024)
def _amounts(progress: str) -> tuple[int, int]:
    done, _, total = progress.partition("/")
    return (int(done), int(total)) if done.isdecimal() and total.isdecimal() else (0, 1)


def _sum(nodes: Iterable[Node]) -> tuple[int, int]:
    done = total = 0
    for (type_, progress), count in Counter(map(_KIND_AND_PROGRESS, nodes)).items():
        if type_ in EXECUTABLE:
            amount = _amounts(progress)
            done += amount[0] * count
            total += amount[1] * count
    return done, total


def _size(node: Node) -> int:
    return len(node.name) + (memoryview(node.inputs).nbytes if node.inputs is not None else 0)


def complete(progress: str) -> str:
    """The progress of a leaf that succeeded."""
    total = 1 if progress == "0/1" else _amounts(progress)[1]
    return "1/1" if total == 1 else f"{total}/{total}"


MAX_NODES: Final = 500_000
"""Nodes of one workflow: templates, hooks and exit handlers that call themselves twice would make 2^100 of them."""

MAX_TEXT: Final = 512 * 1024 * 1024
"""Bytes of the names and inputs of all nodes of one workflow."""


class TooManyNodes(Exception):
    """The workflow would fill the memory; the message is its own."""


class NodeStore:
    """Nodes by id, with an undo log: `commit` keeps what was done since the last commit, `rollback` takes it back.

    A node may be changed only after `touch` has returned it. ``limit`` is how many of them there may be.
    """

    def __init__(self, workflow: str, nodes: dict[str, Node], limit: int = MAX_NODES) -> None:
        self.workflow = workflow
        self.nodes = nodes
        self.limit = limit
        self._text = sum(map(_size, nodes.values()))
        self.undo: dict[str, Node | None] = {}
        self._existing = {node.name: key for key, node in nodes.items()}
        self._loaded = dict.fromkeys(nodes)  # which the garbage collector does not go through, as it does through a set
        self._places = {key: place for place, key in enumerate(nodes)}
        self.made = len(nodes)
        """How many nodes there have been."""
        self._failed_in = {
            node.boundary_id for node in nodes.values() if node.unsuccessful and node.type != SKIPPED_TYPE
        }
        self._done, self._total = self._committed = _sum(nodes.values()) if nodes else (0, 0)
        """How many of the leaves are done, of how many (Argo's progress updater), now and before the pass."""

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

    @property
    def room(self) -> int:
        """How many more nodes may be made or taken over."""
        return self.limit - len(self.nodes) + len(self._existing)

    @property
    def is_new(self) -> bool:
        """Whether there is no node that the document brought along and nobody has asked for yet."""
        return not self._existing

    def knows(self, name: str) -> bool:
        """Whether the document brought the node `name` along, and nobody has asked for it yet."""
        return name in self._existing

    def restored(self) -> None:
        """All that the document brought along and that can still change has been asked for."""
        self._existing, self._places, self._failed_in = {}, {}, set()

    def place(self, key: str) -> int:
        """The place of a node that was loaded, or has just been made, in the order of their making."""
        return self._places.get(key, self.made)

    def failed_inside(self, key: str) -> bool:
        """Whether anything had failed inside this node that the document brought along."""
        return key in self._failed_in

    def touch(self, key: str) -> Node:
        """The node, ready to be changed in this pass."""
        node = self.nodes[key]
        if key not in self.undo:
            self.undo[key] = node
            node = self.nodes[key] = replace(node)
            if node.children is not None:
                node.children = list(node.children)
        return node

    def before(self, key: str) -> Node:
        """The node as it was before this pass; one that is new was Pending, with nothing known of it."""
        node = self.nodes[key]
        old = self.undo.get(key, node)
        if old is None:
            old = replace(node)
            old.phase, old.message, old.progress = PENDING, "", PROGRESS.get(node.type, "")
            old.outputs = old.children = old.started_at = old.finished_at = None
        return old

    def id_for(self, name: str) -> str:
        """The id of the node `name`, if it were made now."""
        return node_id(self.workflow, name, self.nodes)

    def create(self, name: str, type_: str, phase: str, boundary: Node | None, **fields: Any) -> Node:
        """A new node; its id is unique, its display name as Argo derives it. Raises `TooManyNodes`."""
        node = Node(
            id=self.id_for(name),
            name=name,
            display_name=relative_name(name, boundary.name) if boundary is not None else name,
            type=type_,
            phase=phase,
            progress=PROGRESS.get(type_, ""),
            boundary_id=boundary.id if boundary is not None else "",
            **fields,
        )
        self.add_all([node])
        return node

    def add_all(self, new: Sequence[Node]) -> list[str]:
        """Take in nodes that are new, of one type and all as far as each other; one whose id is taken gets another.
        Their ids. Raises `TooManyNodes`."""
        nodes, undo, text = self.nodes, self.undo, 0
        keys: list[str] = []  # `list[str]()` takes longer than all else here
        if len(nodes) + len(new) > self.limit:
            raise TooManyNodes(f"the workflow would have more than {self.limit} nodes")
        for node in new:
            key = node.id
            if key in nodes:
                key = node.id = self.id_for(node.name)
            text += len(node.name) if node.inputs is None else _size(node)
            nodes[key] = node
            undo[key] = None
            keys.append(key)
        self._text += text
        if self._text > MAX_TEXT:
            raise TooManyNodes(f"the names and inputs of all nodes would have more than {MAX_TEXT >> 20} MiB")
        self.made += len(new)
        if new[0].type in EXECUTABLE:
            done, total = _amounts(new[0].progress)
            self._done += done * len(new)
            self._total += total * len(new)
        return keys

    def progressed(self, node: Node, progress: str) -> None:
        """A node that may be changed is that far."""
        if node.type in EXECUTABLE:
            before, after = _amounts(node.progress), _amounts(progress)
            self._done += after[0] - before[0]
            self._total += after[1] - before[1]
        node.progress = progress

    def link(self, parent: str, child: str) -> None:
        """Make a new node a child of `parent`. One that was loaded was linked when it was made."""
        if child in self._loaded:
            return
        children = self.nodes[parent].children
        if not children:
            self.touch(parent).children = [child]
        elif children[-1] != child:
            node = self.touch(parent)
            assert isinstance(node.children, list)
            node.children.append(child)

    def link_all(self, parent: str, children: Sequence[str]) -> None:
        """Make nodes that have just been made children of `parent`."""
        node = self.touch(parent)
        if node.children is None:
            node.children = list(children)
        else:
            assert isinstance(node.children, list)
            node.children.extend(children)

    def outbound(self, key: str) -> Iterator[str]:
        """The nodes after which a successor of this node is drawn (Argo's getOutboundNodes)."""
        stack = [key]
        while stack:
            node = self.nodes[stack.pop()]
            below: Sequence[str] = ()
            if node.type == RETRY and node.children:
                yield node.children[-1]
                continue
            if node.type in (POD, CONTAINER):
                below = self._containers(node)
            elif node.type == TASK_GROUP:
                below = node.children or ()
            elif node.type not in _ENDS and not (node.memoization_status or {}).get("hit"):
                stack.extend(reversed(node.outbound_nodes))
                continue
            if below:
                stack.extend(reversed(below))
            else:
                yield node.id

    def ends(self, keys: Iterable[str]) -> Generator[None, None, tuple[str, ...]]:
        """Those of several nodes, one after the other."""
        found: list[str] = []
        for key in keys:
            node = self.nodes[key]
            whole = node.type == POD and not (node.children and self.nodes[node.children[0]].type == CONTAINER)
            for end in (key,) if whole else self.outbound(key):
                found.append(end)
                if not len(found) % PIECE:
                    yield
        return tuple(found)

    def _containers(self, node: Node) -> list[str]:
        """The containers of a set right after this pod or container: its first children, made before others."""
        pod = node.id if node.type == POD else node.boundary_id
        return list(takewhile(lambda child: self._is_container_of(child, pod), node.children or ()))

    def _is_container_of(self, key: str, pod: str) -> bool:
        node = self.nodes[key]
        return node.type == CONTAINER and node.boundary_id == pod

    @property
    def progress(self) -> str:
        """How many of the leaves are done, of how many, as Argo writes it."""
        return f"{self._done}/{self._total}"

    def commit(self) -> dict[str, Node | None]:
        """Keep every change; returns what changed as it was, None for what is new."""
        changed, self.undo = self.undo, {}
        self._committed = self._done, self._total
        return changed

    def settled(self) -> Pieces:
        """Nothing follows any more: lists of children become tuples, of which the garbage collector takes no notice."""
        for number, node in enumerate(self.nodes.values()):
            if node.children:
                node.children = tuple(node.children)
            if not number % PIECE:
                yield

    def rollback(self) -> Pieces:
        """Take every change back."""
        while self.undo:
            key, old = self.undo.popitem()
            if old is None:
                self._text -= _size(self.nodes.pop(key))
            else:
                self.nodes[key] = old
            yield
        self._done, self._total = self._committed
