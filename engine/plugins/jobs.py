"""Which nodes plugins were asked to execute and have not said to be over."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from engine.graph.record import Job
from engine.model.node import Node
from engine.model.pace import PIECE, Pieces


class Jobs:
    """By node; ``committed`` are those of the record, which only `commit` changes.

    What a plugin was asked in a pass that was aborted it may be executing all the same. So that is remembered here, and
    what was over is not over after all.
    """

    def __init__(self, committed: dict[str, Job] | None = None) -> None:
        self._committed = committed if committed is not None else {}
        self._asked: dict[str, tuple[Job, Node]] = {}
        self._over: set[str] = set()

    def __bool__(self) -> bool:
        """Whether there may be any: most workflows never have one."""
        return bool(self._committed or self._asked)

    def may_be(self, node: Node, job: Job) -> None:
        """A plugin is about to be asked to execute the node; whoever has done so up to now comes first."""
        if self.find(node.id) is None:
            self.taken(node, job)

    def taken(self, node: Node, job: Job) -> None:
        """A plugin executes the node."""
        self._asked[node.id] = job, node
        self._over.discard(node.id)

    def declined(self, node_id: str, plugin: str) -> None:
        """That plugin does not execute the node, or not any more."""
        job = self.find(node_id)
        if job is not None and job.plugin == plugin:
            self._asked.pop(node_id, None)
            self.over(node_id)

    def over(self, node_id: str) -> None:
        """The plugin knows that there is nothing to be executed any more."""
        self._over.add(node_id)

    def find(self, node_id: str) -> Job | None:
        """What is executed of a node, if anything is."""
        if node_id in self._over:
            return None
        asked = self._asked.get(node_id)
        return asked[0] if asked is not None else self._committed.get(node_id)

    def sent(self, node_id: str) -> Node | None:
        """The node that a plugin was sent last; None where only an earlier process knows."""
        asked = self._asked.get(node_id)
        return asked[1] if asked is not None else None

    def find_all(self, is_wanted: Callable[[str], bool], found: list[tuple[str, Job]]) -> Pieces:
        """Put those of them into ``found``, with their node's id, that are wanted by it."""
        for number, node_id in enumerate([*self._committed, *(self._asked.keys() - self._committed.keys())]):
            if is_wanted(node_id) and (job := self.find(node_id)) is not None:
                found.append((node_id, job))
            if not number % PIECE:
                yield

    def changes(self) -> Iterator[tuple[str, Job | None]]:
        """What a commit is going to change of the committed ones, None where one is over."""
        for node_id in self._over:
            if node_id in self._committed:
                yield node_id, None
        for node_id, (job, _) in self._asked.items():
            if node_id not in self._over and self._committed.get(node_id) != job:
                yield node_id, job

    def commit(self, *, finished: bool) -> Pieces:
        """The pass counts; with it the workflow may be ``finished``, and nothing is left to be executed."""
        if finished:
            self._committed.clear()
        else:
            for number, (node_id, job) in enumerate(self.changes()):
                if job is None:
                    del self._committed[node_id]
                else:
                    self._committed[node_id] = job
                if not number % PIECE:
                    yield
        self._asked, self._over = {}, set()

    def abort(self) -> None:
        """The pass does not count."""
        self._over.clear()
