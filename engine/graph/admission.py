"""Whether a call may become a node now: recursion depth, parallelism, fail-fast, locks and memoized answers."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec
import orjson

from engine.graph.arguments import BindingError, attempted, bind, variables_of
from engine.graph.deadlines import limit_waiting
from engine.graph.ends import finish, note_end, refuse, tell
from engine.graph.graph import Graph
from engine.graph.invocation import Invocation
from engine.graph.locks import LockError, Request
from engine.graph.memo import Key, MemoError, given_memo, memo_request
from engine.graph.retry import Retry
from engine.graph.series import Many, Series
from engine.model.node import ERROR, FAILED, FLAGS, PENDING, RETRY, RUNNING, SUCCEEDED, Node
from engine.model.pace import Pieces
from engine.shape import Document
from engine.substitution.scope import Scope
from engine.substitution.text import SubstitutionError, render_string
from engine.templates.template import InvalidTemplate, Plain, Step

MAX_DEPTH: Final = 100
"""How deep templates may call templates (the default of Argo's controller)."""

_DISPLAY_NAME: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9-.]{0,61}[a-zA-Z0-9]")


class Admission:
    """The gate in front of every node. What it turns away waits in order and is let in as soon as it may."""

    def __init__(
        self,
        graph: Graph,
        spec: Document,
        namespace: str,
        config_maps: Mapping[str, Document],
        locking: Callable[[Document], list[Request]],
    ) -> None:
        """``config_maps`` are those that inputs are taken from, ``locking`` reads a `synchronization`."""
        self.graph = graph
        self._room, self._locks = graph.room, graph.room.locks
        self._default_retry: Document | None = spec.get("retryStrategy")
        self._namespace = namespace
        self._config_maps = config_maps
        self._locking = locking
        self._references: dict[tuple[str, bytes], Document] = {}

    def invoke(self, invocation: Invocation, existing: Node | None) -> None:
        """Make a call: it gets its node, now or when limits allow, and is visited after that."""
        graph = self.graph
        if existing is not None and existing.fulfilled:
            invocation.node_id = existing.id
            invocation.ended = True
            invocation.parent.child_created(invocation.key, existing.id)
            tell(graph, invocation, existing)
        elif graph.restoring and existing is None and (graph.exact or self._room.is_limited(invocation)):
            graph.held.append(invocation)
        else:
            self._admit(invocation, existing)

    def series(self, parent: Many, boundary: Invocation, prefix: str, step: Step) -> Series | None:
        """What is the same for all turns of a step's loop, whose names begin with `prefix`; None where something may
        hold them back."""
        graph, around = self.graph, boundary.resolved
        limited = self._room.parallelism is not None or around.parallelism is not None or around.fail_fast
        hooked = bool(step.hooks) or step.exit_hook is not None
        if limited or hooked or boundary.depth + 1 >= MAX_DEPTH:
            return None
        try:
            template = around.context.resolve(step.called) if step.called is not None else None
        except InvalidTemplate:
            return None
        if template is None or template.gated or self._default_retry is not None:
            return None
        if template.derived or template.located.tags:
            return None
        return Series(graph, self._config_maps, parent, boundary, prefix, template, self._reference(step.called or {}))

    def restored(self) -> Pieces:
        """All that there was is there again: calls wait that waited when the record was written, others are made."""
        graph, room = self.graph, self._room
        found = {invocation.name: invocation for invocation in graph.held}
        for name, waiting in graph.record.waiting.items():
            invocation = found.pop(name, None)
            if invocation is not None:
                invocation.call = waiting.call
                if invocation.template is None and not self._resolve(invocation):
                    continue
            room.restored(name, invocation, waiting)
            yield
        for key in graph.record.freed:
            if key in graph.live:
                room.free(graph.live[key])
        self._locks.restored()
        graph.restoring, graph.held = False, []
        for invocation in found.values():
            self._admit(invocation)
            yield

    def let_in(self) -> Pieces:
        """Admit who has waited for what there is now."""
        graph = self.graph
        if graph.restoring:
            return
        for invocation in self._room.admitted(graph.is_open):
            if invocation.boundary is not None and not graph.is_open(invocation.boundary):
                continue
            parent = invocation.parent
            if not isinstance(parent, Retry) or graph.is_open(parent.invocation):
                self._admit(invocation, waited=True)
                yield
        for invocation in self._locks.retry(graph.is_open):
            self._enter(invocation, graph.store[invocation.node_id], graph.settings(invocation))
            yield

    def _admit(self, invocation: Invocation, existing: Node | None = None, *, waited: bool = False) -> None:
        """Give the call its node, or let it wait for its turn; ``waited`` says that its turn has come."""
        if invocation.template is None:
            if not self._resolve(invocation):
                return
            if invocation.depth >= MAX_DEPTH:
                message = f"Maximum recursion depth exceeded: templates call each other {MAX_DEPTH} deep"
                refuse(self.graph, invocation, message, raised=False)
                return
        if existing is not None or self._room.has(invocation, waited=waited):
            self._open(invocation, existing)
        else:
            note_end(self.graph, invocation.boundary, failed=False)

    def _resolve(self, invocation: Invocation) -> bool:
        call = invocation.call
        if type(call) is Plain and call.template is not None:
            invocation.template = call.template
            return True
        try:
            invocation.template = template = invocation.context.resolve(call)
            if type(call) is Plain:
                call.template = template
        except InvalidTemplate as error:
            refuse(self.graph, invocation, str(error))
            return False
        return True

    # Nodes

    def _open(self, invocation: Invocation, existing: Node | None) -> None:
        """Give the call its node, and let that go on as far as locks and memos allow."""
        graph = self.graph
        template, first = invocation.resolved, invocation.attempt is None
        if existing is not None:
            invocation.node_id = existing.id
        try:
            inputs = self._bind(invocation, existing)
            reference = self._reference(invocation.call)
            if type(invocation.call) is not Plain:
                invocation.call = reference
            settings = graph.settings(invocation)
            requests = []
            if first and settings.get("synchronization"):
                requests = self._locking(settings["synchronization"])
            if first and settings.get("memoize"):
                given_memo(memo_request(settings["memoize"], self._namespace)[0], self._config_maps)
        except (BindingError, SubstitutionError, LockError, MemoError) as error:
            if existing is None:
                refuse(graph, invocation, str(error))
            else:
                self._park(invocation, existing)
                finish(graph, invocation, ERROR, str(error), raised=True)
            return
        retried = first and settings.get("retryStrategy", self._default_retry) is not None
        node = existing or graph.create(
            invocation.name,
            RETRY if retried else invocation.node_type or template.node_type,
            RUNNING if retried else PENDING,
            invocation.boundary,
            template_name=reference["template"],
            template_ref=reference["templateRef"],
            template_scope=graph.template_scope(invocation.context),
            inputs=inputs,
        )
        if existing is None:
            invocation.node_id = node.id
            if invocation.flag:
                node.node_flag = FLAGS[invocation.flag]
        invocation.order = graph.store.place(node.id)
        invocation.parent.child_created(invocation.key, node.id)
        if first and template.display_name is not None and not self._name(invocation, node):
            return
        if requests and graph.replaying and (node.synchronization_status or {}).get("waiting"):
            self._park(invocation, node)
            self._locks.wait(invocation, requests)
            limit_waiting(graph, invocation, node)
        elif requests and not self._locks.acquire(invocation, requests):
            self._wait_for_locks(invocation, node, requests)
        else:
            self._enter(invocation, node, settings)

    def _wait_for_locks(self, invocation: Invocation, node: Node, requests: Sequence[Request]) -> None:
        """Let the node wait for its locks, unless nothing begins any more."""
        graph = self.graph
        self._park(invocation, node)
        node = graph.store.touch(node.id)
        node.phase, node.started_at = PENDING, node.started_at or graph.timestamp
        node.message, node.synchronization_status = self._locks.explain(requests)
        reason = graph.closing.reason(invocation)
        if reason is None:
            limit_waiting(graph, invocation, node)
        else:
            finish(graph, invocation, FAILED, reason)

    def _enter(self, invocation: Invocation, node: Node, settings: Document) -> None:
        """The node has the locks that it needs: it runs, unless somebody left its outputs while it waited."""
        if node.synchronization_status is not None:
            node = self.graph.store.touch(node.id)
            node.message, node.synchronization_status = "", None
        if invocation.attempt is None and settings.get("memoize"):
            self._remember(invocation, node, settings)
        else:
            self._proceed(invocation, node)

    def _bind(self, invocation: Invocation, existing: Node | None) -> msgspec.Raw | None:
        graph, template = self.graph, invocation.resolved
        if template.derived:
            invocation.variables = None  # an attempt's are not those of the others
        if existing is not None:
            return existing.inputs
        if type(invocation.parent) is Retry:  # a protocol's `isinstance` takes longer than all else here
            inputs = graph.store[invocation.parent.invocation.node_id].inputs
            if template.derived:
                inputs = attempted(template, inputs, graph.names_of(invocation))
            if invocation.variables is None:
                invocation.variables = variables_of(inputs)
            return inputs
        call = invocation.call
        if type(call) is Plain and call.bound is not None:
            inputs, invocation.variables = call.bound
            return inputs
        arguments = call.get("arguments") or {}
        alike = not template.derived and not template.located.tags
        scope = Scope(graph.scope, template.fixed) if alike else graph.names_of(invocation)
        if not alike and template.document.get("retryStrategy", self._default_retry) is not None:
            scope.pop("pod.name", None)  # each attempt has one
        bound = bind(template, arguments, scope, self._config_maps)
        if type(call) is Plain and invocation.context.lasting and not (call.open or template.open):
            call.bound = bound
        inputs, invocation.variables = bound
        return inputs

    def _reference(self, call: Document) -> Document:
        """What is still needed of a call once its arguments are bound; the same object for all turns of a loop."""
        if type(call) is Plain:
            return call.reference
        ref = call.get("templateRef")
        key = (call.get("template") or "", orjson.dumps(ref) if ref else b"")
        found = self._references.get(key)
        if found is None:
            found = self._references[key] = {"template": key[0], "templateRef": ref}
        return found

    def _name(self, invocation: Invocation, node: Node) -> bool:
        """A template may say what its nodes are called (Argo's display-name annotation); False where it is no name."""
        graph = self.graph
        try:
            text = invocation.resolved.display_name or ""
            name = render_string(text, graph.scope_of(invocation))
            if not _DISPLAY_NAME.fullmatch(name):
                raise SubstitutionError(f"displayName must match the regex ^{_DISPLAY_NAME.pattern}$")
        except SubstitutionError as error:
            self._park(invocation, node)
            finish(graph, invocation, ERROR, str(error), raised=True)
            return False
        if node.display_name != name:
            graph.store.touch(node.id).display_name = name
        return True

    def _park(self, invocation: Invocation, node: Node) -> None:
        """The node is there and unfinished, but not to be visited."""
        self.graph.live[node.id] = invocation
        invocation.parked = True

    def _proceed(self, invocation: Invocation, node: Node) -> None:
        """The node may be visited; a retried one is represented by its attempts."""
        graph = self.graph
        if node.type == RETRY:
            strategy = graph.settings(invocation).get("retryStrategy", self._default_retry)
            if node.phase != RUNNING or not node.started_at:
                node = graph.store.touch(node.id)
                node.phase, node.started_at = RUNNING, node.started_at or graph.timestamp
            self._park(invocation, node)
            invocation.body = Retry(self, invocation, strategy or {})
            invocation.body.start()
            return
        invocation.parked = False
        self._room.count(invocation, node, 1)
        graph.queue(invocation)

    # Memos

    def _remember(self, invocation: Invocation, node: Node, settings: Document) -> None:
        """Take the outputs that were remembered, or see to it that those to come are."""
        graph = self.graph
        known = node.memoization_status
        if known is not None:  # it was asked before this walk began
            key = Key(self._namespace, known.get("cacheName") or "", known.get("key") or "")
            self._memoize(invocation, node, key, memo_request(settings["memoize"], self._namespace)[1])
            return
        key, longest = memo_request(settings["memoize"], self._namespace)
        found = self._room.remembered(key) or given_memo(key, self._config_maps)
        if found is not None and not found.good(longest, graph.now):
            found = None
        node = graph.store.touch(node.id)
        node.memoization_status = {"hit": found is not None, "key": key.key, "cacheName": key.cache}
        if found is None:
            self._memoize(invocation, node, key, longest)
            return
        self._park(invocation, node)
        finish(graph, invocation, SUCCEEDED, "", outputs=found.outputs)

    def _memoize(self, invocation: Invocation, node: Node, key: Key, longest: float | None) -> None:
        if invocation.resolved.kind.memoized:
            self._room.memoize(node.id, key, longest)
        self._proceed(invocation, node)
