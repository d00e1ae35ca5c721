"""An engine under observation: each pass is looked at from outside, before and after."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from weakref import WeakSet

from engine import Engine, PassResult, Workflow
from registry import Registry
from rpc import Client, Method
from tests.soak.executor import Leaves
from tests.soak.ledger import Ledger, Promise
from tests.soak.peers.sound import BEGUN, ENDED, SEEN, visits
from tests.soak.workloads import Work

_VISITED = ("Pod", "Steps", "DAG", "Plugin", "Suspend")
"""Types of nodes that plugins are asked about in every pass; the others are groups of them."""


@dataclass
class Watched:
    """A workflow that is not over, and how many passes over it were committed."""

    work: Work
    commits: int = 0


class WitnessedEngine(Engine):
    """Puts the engine's promises to the test with every pass, and keeps no workflow that is over."""

    def __init__(self, registry: Registry, leaves: Leaves, ledger: Ledger, methods: Collection[Method]) -> None:
        super().__init__(registry, executor=leaves)
        self.watched: dict[str, Watched] = {}
        self.clients: WeakSet[Client] = WeakSet()
        """Every client that a pass may have used, for as long as anybody else has it."""
        self.cancelled = 0
        self._plugins = registry
        self._leaves = leaves
        self._ledger = ledger
        self._methods = methods

    def take(self, work: Work) -> None:
        """Submit a workflow and watch it."""
        self.watched[work.workflow.key] = Watched(work)
        self.submit(work.workflow)

    async def reconcile(self, workflow: Workflow) -> PassResult:
        key, expect = workflow.key, self._ledger.expect
        expect(Promise.ALONE, key not in self._leaves.busy, f"{key}: two passes at a time")
        self._leaves.busy.add(key)
        self.clients.update(plugin.client for plugin in self._plugins.snapshot())
        before, nodes = workflow.encode(), _visits(workflow)
        try:
            result = await super().reconcile(workflow)
        except BaseException:
            self.cancelled += 1
            if workflow.encode() == before:
                expect(Promise.UNTOUCHED, True, "")
            elif key in self.watched:  # it was about to commit, and did so
                self._witness_commit(self.watched[key], nodes)
            raise
        finally:
            self._leaves.busy.discard(key)
        if result.aborted is not None:
            expect(Promise.UNTOUCHED, workflow.encode() == before, f"{key}: changed by an aborted pass")
        elif key in self.watched:
            self._witness_commit(self.watched[key], nodes)
        return result

    def _witness_commit(self, watched: Watched, before: dict[str, int]) -> None:
        workflow, expect = watched.work.workflow, self._ledger.expect
        watched.commits += 1
        counts = _annotations(workflow)
        said = f"{workflow.key}: {watched.commits} commits, counted {counts}"
        expect(Promise.APPLIED_ONCE, counts == [watched.commits] * 2, said)
        wrong = [
            f"{node_id} went from {before[node_id]} to {count}"
            for node_id, count in _visits(workflow).items()
            if node_id in before and count != before[node_id] + 1
        ]
        expect(Promise.APPLIED_ONCE, not wrong, f"{workflow.key}: visits counted wrongly: {wrong[:3]}")
        if workflow.finished:
            del self.watched[workflow.key]
            self._judge(watched)

    def _judge(self, watched: Watched) -> None:
        work, workflow, expect = watched.work, watched.work.workflow, self._ledger.expect
        expect(Promise.ENDS, True, "")
        expect(Promise.OUTCOME, workflow.phase == work.phase, f"{workflow.key}: {workflow.phase} {workflow.message}")
        expect(Promise.OUTCOME, b"tampered" not in workflow.encode(), f"{workflow.key} was tampered with")
        self._leaves.judge(workflow, work.starts)
        for node in workflow.nodes.values():
            if node.type == "Pod" and Method.NODE_POST_EXECUTE in self._methods:
                once = node.message.count(SEEN) == 1
                expect(Promise.APPLIED_ONCE, once, f"{workflow.key} {node.name}: {node.message!r}")


def _visits(workflow: Workflow) -> dict[str, int]:
    """How often plugins have been asked about each unfinished node, by their own count."""
    return {
        node.id: visits(node.progress)
        for node in workflow.nodes.values()
        if node.type in _VISITED and not node.fulfilled
    }


def _annotations(workflow: Workflow) -> list[Any]:
    annotations = workflow.document["metadata"].get("annotations") or {}
    return [int(annotations.get(name, 0)) for name in (BEGUN, ENDED)]
