"""Whether a call may become a node now: recursion depth, parallelism, fail-fast, locks and memoized answers."""

from __future__ import annotations

import re
from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec
import orjson

from engine.graph.arguments import BindingError, bind, variables_of
from engine.graph.deadlines import limit_waiting
from engine.graph.invocation import Inside, Invocation
from engine.graph.locks import LockError, Request, lock_requests
from engine.graph.memo import Key, Memo, MemoError, Memos, memo_request
from engine.graph.queueing import LockQueue
from engine.graph.record import Waiting, WalkRecord
from engine.graph.retry import Retry
from engine.model.node import DAG, ERROR, FAILED, FLAGS, PENDING, POD, RETRY, RUNNING, STEPS, SUCCEEDED, Node
from engine.substitution.scope import Scope
from engine.substitution.text import SubstitutionError, render_string
from engine.templates.template import InvalidTemplate

if TYPE_CHECKING:
    from engine.graph.graph import Graph

Document = Mapping[str, Any]

MAX_DEPTH: Final = 100
"""How deep templates may call templates (the default of Argo's controller)."""

_COUNTED: Final = (POD, STEPS, DAG)
_DISPLAY_NAME: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9-.]{0,61}[a-zA-Z0-9]")


class Admission:
    """The gate in front of every node. What it turns away waits here in order and is let in as soon as it may."""

    def __init__(
        self, spec: Document, namespace: str, config_maps: Mapping[str, Document], locks: LockQueue, memos: Memos
    ) -> None:
        self.parallelism: int | None = spec.get("parallelism")
        self.default_retry: Document | None = spec.get("retryStrategy")
        claims = [claim.get("metadata") or {} for claim in spec.get("volumeClaimTemplates") or ()]
        self.volumes = frozenset(each.get("name") for each in (*(spec.get("volumes") or ()), *claims))
        """The names of the volumes that the workflow has for its pods to mount."""
        self.config_maps = config_maps
        self.namespace = namespace
        self.locks = locks
        self.memos = memos
        self.active_pods = 0
        self._waiting: deque[Invocation] = deque()
        """Calls for which the workflow had no room yet; those for which their boundary had none wait there."""
        self._freed: OrderedDict[Invocation, None] = OrderedDict()
        """Boundaries in which calls wait, and something ended."""
        self._memoized: dict[Key, Memo] = {}
        """What finished nodes left, remembered by all when the pass commits, by this workflow at once."""
        self._references: dict[tuple[str, bytes], Document] = {}
        self._noted: dict[str, Waiting | None] = {}
        """Calls that began to wait for room since the last commit, or do so no more (None), by name."""

    def admit(
        self, graph: Graph, invocation: Invocation, existing: Node | None = None, *, waited: bool = False
    ) -> None:
        """Give the call its node, or let it wait for its turn; ``waited`` says that its turn has come."""
        if invocation.template is None:
            if not self._resolve(graph, invocation):
                return
            if invocation.depth >= MAX_DEPTH:
                message = f"Maximum recursion depth exceeded: templates call each other {MAX_DEPTH} deep"
                graph.refuse(invocation, message, raised=False)
                return
        if existing is not None or self._has_room(invocation, waited=waited):
            self._open(graph, invocation, existing)

    @staticmethod
    def _resolve(graph: Graph, invocation: Invocation) -> bool:
        try:
            invocation.template = invocation.context.resolve(invocation.call)
        except InvalidTemplate as error:
            graph.refuse(invocation, str(error))
            return False
        return True

    # Parallelism

    def is_limited(self, invocation: Invocation) -> bool:
        """Whether there may be no room for the call."""
        boundary = invocation.boundary
        limited = boundary is not None and boundary.resolved.parallelism is not None
        return limited or self.parallelism is not None

    def _wait(self, invocation: Invocation, *, inside: bool) -> None:
        if inside:
            assert invocation.boundary is not None
            assert invocation.boundary.inside is not None
            invocation.boundary.inside.waiting.append(invocation)
        else:
            self._waiting.append(invocation)
        self._note(invocation, Waiting(invocation.call, inside))

    def _note(self, invocation: Invocation, waiting: Waiting | None) -> None:
        self._noted.pop(invocation.name, None)
        self._noted[invocation.name] = waiting

    def _forget(self, inside: Inside) -> None:
        """Nobody waits for those any more that wait in there."""
        for invocation in inside.waiting:
            self._note(invocation, None)
        inside.waiting.clear()

    def resume(self, graph: Graph, held: Iterable[Invocation]) -> list[Invocation]:
        """Let calls wait again that waited when the record was written, as they did; returns the others."""
        found = {invocation.name: invocation for invocation in held}
        for name, waiting in graph.record.waiting.items():
            invocation = found.pop(name, None)
            if invocation is None:
                self._noted[name] = None
                continue
            invocation.call = waiting.call
            if invocation.template is not None or self._resolve(graph, invocation):
                self._wait(invocation, inside=waiting.inside)
                del self._noted[name]
        for key in graph.record.freed:
            if key in graph.live:
                self._freed[graph.live[key]] = None
        self.locks.restored()
        return list(found.values())

    def _is_full(self) -> bool:
        return self.parallelism is not None and self.active_pods >= self.parallelism

    def _has_room(self, invocation: Invocation, *, waited: bool) -> bool:
        """Argo's checkParallelism; where there is no room, the invocation waits for `retry_waiting`."""
        first = invocation.attempt is None
        # The first attempt has the room that its Retry node was given.
        if (self._is_full() or (self._waiting and not waited)) and (first or invocation.key > 0):
            self._wait(invocation, inside=False)
            return False
        boundary = invocation.boundary
        if boundary is None or not first or self._is_open_to(boundary):
            return True
        self._wait(invocation, inside=True)
        return False

    @staticmethod
    def _is_open_to(boundary: Invocation) -> bool:
        template, inside = boundary.resolved, boundary.inside
        assert inside is not None
        if template.fail_fast and inside.failed:
            return False
        return template.parallelism is None or inside.active < template.parallelism

    def retry_waiting(self, graph: Graph) -> None:
        """Let in what may come in now."""
        while self._freed and not self._is_full():
            boundary, _ = self._freed.popitem(last=False)
            assert boundary.inside is not None
            waiting = boundary.inside.waiting
            if not graph.is_open(boundary):
                self._forget(boundary.inside)
            while waiting and self._is_open_to(boundary):
                if self._is_full():
                    self._freed[boundary] = None
                    break
                self._let_in(graph, waiting.popleft())
        while self._waiting and not self._is_full():
            self._let_in(graph, self._waiting.popleft())
        for invocation in self.locks.retry(graph):
            self._enter(graph, invocation, graph.store[invocation.node_id], self.settings(graph, invocation))

    def _let_in(self, graph: Graph, invocation: Invocation) -> None:
        self._note(invocation, None)
        if invocation.boundary is not None and not graph.is_open(invocation.boundary):
            return
        parent = invocation.parent
        if isinstance(parent, Retry) and not graph.is_open(parent.invocation):
            return
        self.admit(graph, invocation, waited=True)

    def _count(self, invocation: Invocation, node: Node, change: int) -> None:
        if node.type == POD:
            self.active_pods += change
        boundary = invocation.boundary
        if boundary is not None and node.type in _COUNTED:
            inside = boundary.inside
            assert inside is not None
            inside.active += change
            inside.pods += change * (node.type == POD)
            if inside.waiting and change < 0:
                self._freed[boundary] = None

    # Nodes

    def _open(self, graph: Graph, invocation: Invocation, existing: Node | None) -> None:
        """Give the call its node, and let that go on as far as locks and memos allow."""
        template, first = invocation.resolved, invocation.attempt is None
        if existing is not None:
            invocation.node_id = existing.id
        try:
            inputs = self._bind(graph, invocation, existing)
            invocation.call = call = self._reference(invocation.call)
            settings = self.settings(graph, invocation)
            requests = []
            if first and settings.get("synchronization"):
                requests = lock_requests(settings["synchronization"], self.namespace, self.config_maps)
            if first and settings.get("memoize"):
                memo_request(settings["memoize"])
        except (BindingError, SubstitutionError, LockError, MemoError) as error:
            if existing is None:
                graph.refuse(invocation, str(error))
            else:
                self._park(graph, invocation, existing)
                graph.finish(invocation, ERROR, str(error), raised=True)
            return
        retried = first and settings.get("retryStrategy", self.default_retry) is not None
        node = existing or graph.create(
            invocation.name,
            RETRY if retried else invocation.node_type or template.node_type,
            RUNNING if retried else PENDING,
            invocation.boundary,
            template_name=call["template"],
            template_ref=call["templateRef"],
            template_scope=invocation.context.scope,
            inputs=inputs,
        )
        if existing is None:
            invocation.node_id = node.id
            if invocation.flag:
                node.node_flag = FLAGS[invocation.flag]
        invocation.order = graph.store.place(node.id)
        invocation.parent.child_created(invocation.key, node.id)
        if first and template.display_name is not None and not self._name(graph, invocation, node):
            return
        if requests and graph.replaying and (node.synchronization_status or {}).get("waiting"):
            self._park(graph, invocation, node)
            self.locks.wait(invocation, requests)
            limit_waiting(graph, invocation, node)
        elif requests and not self.locks.acquire(invocation, requests):
            self._wait_for_locks(graph, invocation, node, requests)
        else:
            self._enter(graph, invocation, node, settings)

    def _wait_for_locks(self, graph: Graph, invocation: Invocation, node: Node, requests: Sequence[Request]) -> None:
        """Let the node wait for its locks, unless nothing begins any more."""
        self._park(graph, invocation, node)
        node = graph.store.touch(node.id)
        node.phase, node.started_at = PENDING, node.started_at or graph.timestamp
        node.message, node.synchronization_status = self.locks.explain(requests)
        reason = graph.closing.reason(invocation)
        if reason is None:
            limit_waiting(graph, invocation, node)
        else:
            graph.finish(invocation, FAILED, reason)

    def _enter(self, graph: Graph, invocation: Invocation, node: Node, settings: Document) -> None:
        """The node has the locks that it needs: it runs, unless somebody left its outputs while it waited."""
        if node.synchronization_status is not None:
            node = graph.store.touch(node.id)
            node.message, node.synchronization_status = "", None
        if invocation.attempt is None and settings.get("memoize"):
            self._remember(graph, invocation, node, settings)
        else:
            self._proceed(graph, invocation, node)

    def _bind(self, graph: Graph, invocation: Invocation, existing: Node | None) -> msgspec.Raw | None:
        if existing is not None:
            return existing.inputs
        if isinstance(invocation.parent, Retry):
            if invocation.variables is None:
                invocation.variables = variables_of(graph.store[invocation.parent.invocation.node_id].inputs)
            return graph.store[invocation.parent.invocation.node_id].inputs
        scope = Scope(graph.scope, invocation.resolved.fixed)
        inputs, invocation.variables = bind(
            invocation.resolved, invocation.call.get("arguments") or {}, scope, self.config_maps
        )
        return inputs

    def _reference(self, call: Document) -> Document:
        """What is still needed of a call once its arguments are bound; the same object for all turns of a loop."""
        ref = call.get("templateRef")
        key = (call.get("template") or "", orjson.dumps(ref) if ref else b"")
        found = self._references.get(key)
        if found is None:
            found = self._references[key] = {"template": key[0], "templateRef": ref}
        return found

    def _name(self, graph: Graph, invocation: Invocation, node: Node) -> bool:
        """A template may say what its nodes are called (Argo's display-name annotation); False where it is no name."""
        try:
            text = invocation.resolved.display_name or ""
            name = render_string(text, graph.scope_of(invocation), allow_unresolved=True)
            if not _DISPLAY_NAME.fullmatch(name):
                raise SubstitutionError(f"displayName must match the regex ^{_DISPLAY_NAME.pattern}$")
        except SubstitutionError as error:
            self._park(graph, invocation, node)
            graph.finish(invocation, ERROR, str(error), raised=True)
            return False
        if node.display_name != name:
            graph.store.touch(node.id).display_name = name
        return True

    def _park(self, graph: Graph, invocation: Invocation, node: Node) -> None:
        """The node is there and unfinished, but not to be visited."""
        graph.live[node.id] = invocation
        invocation.parked = True

    def _proceed(self, graph: Graph, invocation: Invocation, node: Node) -> None:
        """The node may be visited; a retried one is represented by its attempts."""
        if node.type == RETRY:
            strategy = self.settings(graph, invocation).get("retryStrategy", self.default_retry)
            if node.phase != RUNNING or not node.started_at:
                node = graph.store.touch(node.id)
                node.phase, node.started_at = RUNNING, node.started_at or graph.timestamp
            self._park(graph, invocation, node)
            invocation.body = Retry(graph, invocation, strategy or {})
            invocation.body.start()
            return
        invocation.parked = False
        self._count(invocation, node, 1)
        graph.queue(invocation)

    def release(self, graph: Graph, invocation: Invocation, node: Node) -> None:
        """The node is fulfilled: its place is free, its locks are given back, its outputs remembered."""
        if not invocation.parked:
            self._count(invocation, node, -1)
        self.locks.release(invocation)
        if invocation.inside is not None:
            self._forget(invocation.inside)
        if invocation.memo is not None and node.phase == SUCCEEDED:
            self._memoized[invocation.memo] = Memo(node.outputs, node.finished_at)

    def settings(self, graph: Graph, invocation: Invocation) -> Document:
        """The template's own fields other than its body, tags substituted."""
        template = invocation.resolved
        if not template.settings.tags:
            return template.document
        settings: Document = orjson.loads(template.settings.render(graph.scope_of(invocation), allow_unresolved=True))
        return settings

    # Memos

    def _remember(self, graph: Graph, invocation: Invocation, node: Node, settings: Document) -> None:
        """Take the outputs that were remembered, or see to it that those to come are."""
        known = node.memoization_status
        if known is not None:  # it was asked before this walk began
            invocation.memo = Key(known.get("cacheName") or "", known.get("key") or "")
            self._proceed(graph, invocation, node)
            return
        key, longest = memo_request(settings["memoize"])
        found = self._memoized.get(key) or self.memos.find(key, longest, graph.now)
        node = graph.store.touch(node.id)
        node.memoization_status = {"hit": found is not None, "key": key.key, "cacheName": key.cache}
        if found is None:
            invocation.memo = key
            self._proceed(graph, invocation, node)
            return
        self._park(graph, invocation, node)
        graph.finish(invocation, SUCCEEDED, "", outputs=found.outputs)

    # The end of a pass

    def commit(self, record: WalkRecord) -> None:
        """Make locks and memos final, and write down which calls wait."""
        for name, waiting in self._noted.items():
            record.waiting.pop(name, None)
            if waiting is not None:
                record.waiting[name] = waiting
        self._noted = {}
        record.freed = [invocation.node_id for invocation in self._freed]
        self.locks.commit()
        for key, memo in self._memoized.items():
            self.memos.save(key, memo)
        self._memoized = {}

    def rollback(self) -> None:
        """As if the pass had not been."""
        self.locks.rollback()
        self._memoized = {}
