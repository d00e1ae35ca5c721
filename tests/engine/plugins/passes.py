"""Passes that do nothing but ask plugins about some nodes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import orjson

from engine.graph.invocation import Invocation
from engine.graph.nodes import NodeStore
from engine.model.node import Node
from engine.model.pace import Pace
from engine.model.statistics import Counts
from engine.plugins import Jobs
from engine.plugins.asking import Asking
from engine.plugins.calling import Caller
from engine.plugins.chain import Chain, Course
from engine.plugins.memory import Memory, Rooms
from engine.plugins.question import Question
from engine.templates.template import Template
from registry import Plugin
from rpc import Method
from rpc.replies import EMPTY, NodeReply, NodeResult
from tests.engine.plugins.doubles import PRE, Answer

POST = Method.NODE_POST_EXECUTE
DOCUMENT: dict[str, Any] = {"metadata": {"name": "work"}, "spec": {"entrypoint": "main"}}
NOWHERE: Any = None


class Ground:
    """As much of a graph as questions and answers have to do with."""

    def __init__(self, store: NodeStore) -> None:
        self.store = store
        self.now = 1000.0
        self.wishes: dict[str, float | None] = {}

    def render(self, invocation: Invocation) -> bytes:
        return orjson.dumps(invocation.resolved.document)

    def requeue(self, invocation: Invocation, at: float | None) -> None:
        self.wishes[invocation.node_id] = at


class Workflow:
    """Some nodes of one workflow, whose passes do nothing but ask."""

    def __init__(self, *names: str, kind: str = "container") -> None:
        template = Template({"name": "leaf", kind: {}}, NOWHERE)
        nodes = {name: Node(id=name, name=name, display_name=name, type="Pod", phase="Pending") for name in names}
        self.store = NodeStore("work", nodes)
        self.ground = Ground(self.store)
        self.counts = Counts()
        self.memory = Memory(self.counts, Rooms())
        self.questions: list[Question] = []
        self._invocations = [
            Invocation(NOWHERE, 0, name, {}, NOWHERE, None, node_id=name, template=template, extra={}) for name in names
        ]

    def __getitem__(self, name: str) -> Node:
        return self.store[name]

    async def make_pass(self, *plugins: Plugin, method: Method = PRE, now: float = 0.0) -> None:
        """A pass that commits, unless it raises."""
        self.memory.begin(plugins, now)
        before = dict(self.store.nodes) if method is POST else {}
        text = b'{"name":"leaf"}' if method is Method.PARAMETERS_ADD else None
        self.questions = [Question(each, before.get(each.node_id), text) for each in self._invocations]
        caller = Caller(self.memory, self.counts, Pace(), None, Jobs())
        graph: Any = self.ground
        try:
            course = Course(method, plugins, chunks=1, workers=7)
            await Chain(Asking.about(graph, DOCUMENT, plugins, caller), course).run(self.questions)
        except BaseException:
            deque(self.store.rollback(), maxlen=0)
            self.memory.abort(now)
            raise
        self.store.commit()
        self.memory.journal.clear()


def about(name: str, answer: Answer) -> Callable[[dict[str, Any]], Answer]:
    """To say this about one node, and nothing about the others."""
    return lambda args: answer if args["node"]["displayName"] == name else EMPTY


def fulfilling(name: str) -> Callable[[dict[str, Any]], Answer]:
    return about(name, NodeReply(NodeResult(phase="Succeeded")))
