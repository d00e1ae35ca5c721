"""Whether a call may become a node now: recursion depth, parallelism, fail-fast, locks and memoized answers."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec
import orjson

from engine.graph.arguments import BindingError, bind, variables_of
from engine.graph.invocation import Invocation
from engine.graph.retry import Retry
from engine.locks import Locks, lock_requests
from engine.memo import Memos
from engine.node import DAG, ERROR, FAILED, PENDING, POD, RETRY, RUNNING, STEPS, SUCCEEDED, Node
from engine.scope import Scope
from engine.substitution import SubstitutionError, render_string
from engine.template import InvalidTemplate

if TYPE_CHECKING:
    from engine.graph.graph import Graph

Document = Mapping[str, Any]

MAX_DEPTH: Final = 100
"""How deep templates may call templates (the default of Argo's controller)."""

FAIL_FAST: Final = "template has failed or errored children and failFast enabled"
_COUNTED: Final = (POD, STEPS, DAG)


class Admission:
    """The gate in front of every node. What it turns away waits here in order and is let in as soon as it may."""

    def __init__(
        self, spec: Document, key: str, config_maps: Mapping[str, Document], locks: Locks, memos: Memos
    ) -> None:
        self.parallelism: int | None = spec.get("parallelism")
        self.default_retry: Document | None = spec.get("retryStrategy")
        self.config_maps = config_maps
        self.key = key
        self.locks = locks
        self.memos = memos
        self.active_pods = 0
        self.locked: list[Invocation] = []
        """Invocations whose node waits for a lock."""
        self.acquired: list[tuple[str, str]] = []
        """Locks taken since the last commit, as (lock, holder); an abort gives them back."""
        self.released: list[tuple[str, str]] = []
        """Locks that are given back when the pass commits."""
        self.memoized: list[tuple[tuple[str, str], Node]] = []
        """Finished nodes whose outputs are remembered when the pass commits."""
        self._waiting: deque[Invocation] = deque()
        self._references: dict[tuple[Any, str, bytes], Document] = {}
        self._boundaries: list[Invocation] = []

    def admit(self, graph: Graph, invocation: Invocation, existing: Node | None) -> None:
        """Give the call its node, or let it wait for its turn."""
        if invocation.template is None:
            if invocation.depth > MAX_DEPTH:
                graph.refuse(
                    invocation, f"Maximum recursion depth exceeded: templates call each other {MAX_DEPTH} deep"
                )
                return
            try:
                invocation.template = invocation.context.resolve(invocation.call)
            except InvalidTemplate as error:
                graph.refuse(invocation, str(error))
                return
        if existing is None and invocation.attempt is None and not self._has_room(graph, invocation):
            return
        self._open(graph, invocation, existing)

    def _has_room(self, graph: Graph, invocation: Invocation) -> bool:
        """Argo's checkParallelism; where there is no room, the invocation is queued for `retry_waiting`."""
        if self.parallelism is not None and self.active_pods >= self.parallelism:
            self._waiting.append(invocation)
            return False
        boundary = invocation.boundary
        if boundary is None:
            return True
        template, inside = boundary.resolved, boundary.inside
        assert inside is not None
        failed = template.fail_fast and inside.failures
        full = template.parallelism is not None and inside.active >= template.parallelism
        if not failed and not full:
            return True
        if not inside.waiting:
            self._boundaries.append(boundary)
        inside.waiting.append(invocation)
        return False

    def retry_waiting(self, graph: Graph) -> None:
        """Let in what may come in now."""
        for boundary in list(self._boundaries):
            template, inside = boundary.resolved, boundary.inside
            assert inside is not None
            waiting, failed = inside.waiting, template.fail_fast and inside.failures
            if failed and inside.pods == 0 and boundary.body is not None:
                boundary.body.abandon(FAILED, FAIL_FAST)
                graph.finish(boundary, FAILED, FAIL_FAST)
            if graph.store[boundary.node_id].fulfilled:
                waiting.clear()
            if not waiting:
                self._boundaries.remove(boundary)
                continue
            while waiting and not failed and (template.parallelism is None or inside.active < template.parallelism):
                if self.parallelism is not None and self.active_pods >= self.parallelism:
                    break
                self._open(graph, waiting.popleft(), None)
        while self._waiting and (self.parallelism is None or self.active_pods < self.parallelism):
            self.admit(graph, self._waiting.popleft(), None)
        for invocation in self.locked[:]:
            if graph.store[invocation.node_id].fulfilled:
                self.locked.remove(invocation)
            elif self._take_locks(graph, invocation, self.settings(graph, invocation)):
                self.locked.remove(invocation)
                node = graph.store.touch(invocation.node_id)
                node.message, node.synchronization_status = "", None
                self._proceed(graph, invocation, node)

    def _open(self, graph: Graph, invocation: Invocation, existing: Node | None) -> None:
        template = invocation.resolved
        inputs: msgspec.Raw | None
        if existing is not None:
            invocation.node_id, inputs = existing.id, existing.inputs
        elif isinstance(invocation.parent, Retry):
            inputs = graph.store[invocation.parent.invocation.node_id].inputs
            if invocation.variables is None:
                invocation.variables = variables_of(inputs)
        else:
            try:
                scope = Scope(graph.scope, template.fixed)
                arguments = invocation.call.get("arguments") or {}
                inputs, invocation.variables = bind(template, arguments, scope, self.config_maps)
            except BindingError as error:
                graph.refuse(invocation, str(error))
                return
        invocation.call = call = self._reference(invocation.call)
        try:
            settings = self.settings(graph, invocation)
        except SubstitutionError as error:
            graph.refuse(invocation, str(error))
            return
        strategy = None if invocation.attempt is not None else settings.get("retryStrategy", self.default_retry)
        node = existing or graph.create(
            invocation.name,
            RETRY if strategy is not None else template.node_type,
            RUNNING if strategy is not None else PENDING,
            invocation.boundary,
            template_name=call["template"],
            template_ref=call["templateRef"],
            template_scope=invocation.context.scope,
            inputs=inputs,
        )
        invocation.node_id = node.id
        if existing is None and template.display_name is not None:
            node.display_name = render_string(template.display_name, graph.scope_of(invocation), allow_unresolved=True)
        invocation.parent.child_created(invocation.key, node.id)
        if invocation.attempt is None:
            if self._remembered(graph, invocation, settings, node):
                return
            if not self._take_locks(graph, invocation, settings):
                self._mark_waiting(graph, invocation, settings)
                self.locked.append(invocation)
                return
        self._proceed(graph, invocation, node)

    def _reference(self, call: Document) -> Document:
        """What is still needed of a call once its arguments are bound; the same object for all turns of a loop."""
        ref = call.get("templateRef")
        key = (call.get("name"), call.get("template") or "", orjson.dumps(ref) if ref else b"")
        return self._references.setdefault(key, {"name": key[0], "template": key[1], "templateRef": ref})

    def _proceed(self, graph: Graph, invocation: Invocation, node: Node) -> None:
        """The node may be visited; a retried one is represented by its attempts."""
        if node.type == RETRY:
            strategy = self.settings(graph, invocation).get("retryStrategy", self.default_retry)
            if node.phase != RUNNING or not node.started_at:
                node = graph.store.touch(node.id)
                node.phase, node.started_at = RUNNING, node.started_at or graph.timestamp
            graph.live[node.id] = invocation
            invocation.parked = True
            invocation.body = Retry(graph, invocation, strategy or {})
            invocation.body.start()
            return
        invocation.parked = False
        self._count(invocation, node, 1)
        graph.queue(invocation)

    def _count(self, invocation: Invocation, node: Node, change: int) -> None:
        if node.type == POD:
            self.active_pods += change
        if invocation.boundary is not None and node.type in _COUNTED:
            inside = invocation.boundary.inside
            assert inside is not None
            inside.active += change
            inside.pods += change * (node.type == POD)

    def release(self, graph: Graph, invocation: Invocation, node: Node) -> None:
        """The node is fulfilled: its place is free, its locks are given back, its outputs remembered."""
        if node.type != RETRY and invocation not in self.locked:
            self._count(invocation, node, -1)
        for name in invocation.locks or ():
            self.released.append((name, node.id))
        invocation.locks = None
        if invocation.memo is not None and node.phase == SUCCEEDED:
            self.memoized.append((invocation.memo, node))

    def settings(self, graph: Graph, invocation: Invocation) -> Document:
        """The template's own fields other than its body, tags substituted."""
        template = invocation.resolved
        if not template.settings.tags:
            return template.document
        settings: Document = orjson.loads(template.settings.render(graph.scope_of(invocation), allow_unresolved=True))
        return settings

    # Locks

    def _take_locks(self, graph: Graph, invocation: Invocation, settings: Document) -> bool:
        if not settings.get("synchronization"):
            return True
        requests = lock_requests(settings["synchronization"], self.key.partition("/")[0], self.config_maps)
        if not self.locks.acquire(requests, f"{self.key}/{invocation.node_id}", self.key):
            return False
        invocation.locks = [name for name, _ in requests]
        self.acquired.extend((name, invocation.node_id) for name in invocation.locks)
        return True

    def _mark_waiting(self, graph: Graph, invocation: Invocation, settings: Document) -> None:
        requests = lock_requests(settings["synchronization"], self.key.partition("/")[0], self.config_maps)
        name = self.locks.blocking(requests)
        node = graph.store.touch(invocation.node_id)
        node.phase, node.message = PENDING, f"Waiting for {name} lock. Lock status: {self.locks.status(name, requests)}"
        node.synchronization_status = {"waiting": name}
        graph.live[node.id] = invocation
        invocation.parked = True

    def commit(self) -> set[str]:
        """Make locks and memos final; returns the keys of workflows that waited for a lock now free."""
        woken: set[str] = set()
        for name, holder in self.released:
            woken |= self.locks.release(name, f"{self.key}/{holder}")
        for key, node in self.memoized:
            self.memos.save(key, node)
        self.acquired, self.released, self.memoized = [], [], []
        return woken

    def rollback(self) -> None:
        """Give back the locks that an aborted pass had taken."""
        for name, holder in self.acquired:
            self.locks.release(name, f"{self.key}/{holder}")
        for invocation in self.locked:
            self.locks.forget(f"{self.key}/{invocation.node_id}")
        self.acquired, self.released, self.memoized = [], [], []

    # Memos

    def _remembered(self, graph: Graph, invocation: Invocation, settings: Document, node: Node) -> bool:
        memoize = settings.get("memoize")
        if not memoize or node.memoization_status is not None:
            return False
        cache = ((memoize.get("cache") or {}).get("configMap") or {}).get("name") or ""
        key = (cache, str(memoize.get("key") or ""))
        try:
            found = self.memos.find(key, memoize.get("maxAge"), graph.now)
        except ValueError as error:
            graph.live[node.id] = invocation
            graph.finish(invocation, ERROR, f"memoize.maxAge: {error}")
            return True
        node = graph.store.touch(node.id)
        node.memoization_status = {"hit": found is not None, "key": key[1], "cacheName": cache}
        if found is None:
            invocation.memo = key
            return False
        graph.live[node.id] = invocation
        self._count(invocation, node, 1)
        graph.finish(invocation, SUCCEEDED, "", outputs=found.outputs)
        return True
