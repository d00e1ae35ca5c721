"""One workflow's nodes before the locks that they ask for: which hold some, which wait."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from engine.graph.invocation import Invocation
from engine.graph.locks import Locks, Place, Priority, Request
from engine.shape import Document


class LockQueue:
    """Locks are taken at once and, where the pass is aborted, given back; they are given back when it commits."""

    def __init__(self, locks: Locks, workflow: str, priority: Priority) -> None:
        self._locks = locks
        self._workflow = workflow
        self.priority = priority
        self._waiting: dict[str, tuple[Invocation, Sequence[Request]]] = {}
        """Invocations whose node waits, by node."""
        self._by_lock: dict[str, OrderedDict[str, Request]] = {}
        self._held: dict[str, list[str]] = {}
        """Locks by holder."""
        self._acquired: dict[str, list[Place]] = {}
        """Holders that got their locks since the last commit, and where they had waited for them."""
        self._released: dict[str, list[str]] = {}
        """Locks to be given back when the pass commits, by holder."""
        self._wanted: dict[str, list[str]] = {}
        """Locks by who waits for them, whether or not the walk has met him again since it was begun anew."""
        self._queued: set[str] = set()
        """Holders that began to wait since the last commit."""
        self._forgotten: set[str] = set()
        """Holders that need wait no longer, when the pass commits."""
        self._mutexes: set[str] = set()
        """Which of the locks that it held or waited for are mutexes."""
        self._told: set[str] = set()
        """The locks of which its status says that it waits for them as a whole."""
        self._seen = -1

    def _holder(self, node_id: str) -> str:
        return f"{self._workflow}/{node_id}" if node_id else self._workflow

    def begin_anew(self) -> None:
        """The walk begins from its beginning: whoever waits says so again."""
        self._waiting, self._by_lock, self._seen = {}, {}, -1

    # Of the workflow as a whole

    def enter(self, requests: Sequence[Request]) -> bool:
        """Whether the workflow has the locks that it asks for as a whole."""
        return self._acquire(self._workflow, requests)

    def leave(self) -> None:
        """The workflow is finished: everything is given back, by itself and its nodes."""
        for holder, names in self._held.items():
            self._locks.release(names, holder)
        for holder in list(self._wanted):
            self._forget(holder)
        self._held, self._waiting, self._by_lock = {}, {}, {}

    # Of nodes

    def acquire(self, invocation: Invocation, requests: Sequence[Request]) -> bool:
        """Whether the node has its locks now; if not, it waits for them."""
        if self._acquire(self._holder(invocation.node_id), requests):
            return True
        self.wait(invocation, requests)
        return False

    def wait(self, invocation: Invocation, requests: Sequence[Request]) -> None:
        """The node waits for these, and has its place in the queues already."""
        self._mutexes.update(request.name for request in requests if request.is_mutex)
        self._waiting[invocation.node_id] = (invocation, requests)
        for request in requests:
            self._by_lock.setdefault(request.name, OrderedDict())[invocation.node_id] = request

    def restored(self) -> None:
        """All that waited are there again: the older come first, as they did."""
        for name, waiting in self._by_lock.items():
            ordered = sorted(waiting.items(), key=lambda each: self._waiting[each[0]][0].order)
            self._by_lock[name] = OrderedDict(ordered)

    def _acquire(self, holder: str, requests: Sequence[Request]) -> bool:
        if holder in self._held:
            return True
        names = [name for name, *_ in requests]
        self._mutexes.update(request.name for request in requests if request.is_mutex)
        places = self._locks.places(names, holder)
        if not self._locks.acquire(requests, holder, self._workflow, self.priority):
            if not places:
                self._queued.add(holder)
            self._wanted[holder] = names
            return False
        self._wanted.pop(holder, None)
        self._held[holder] = names
        self._acquired[holder] = places
        return True

    def retry(self, is_open: Callable[[Invocation], bool]) -> Iterator[Invocation]:
        """The nodes that have their locks now and had not before."""
        if not self._waiting or self._seen == self._locks.version:
            return
        self._seen = self._locks.version
        for name in sorted(self._by_lock):
            position = 0
            while waiting := self._by_lock.get(name):
                node_id, request = next(islice(waiting.items(), position, None), ("", None))
                if request is None or self._locks.free(request) <= 0:
                    break
                invocation, requests = self._waiting[node_id]
                if is_open(invocation) and not self._acquire(self._holder(node_id), requests):
                    position += 1
                    continue
                self._remove(node_id)
                if is_open(invocation):
                    yield invocation

    def _remove(self, node_id: str) -> None:
        _, requests = self._waiting.pop(node_id)
        for name, *_ in requests:
            waiting = self._by_lock[name]
            del waiting[node_id]
            if not waiting:
                del self._by_lock[name]

    def release(self, invocation: Invocation) -> None:
        """The node is over."""
        if not self._held and not self._waiting:
            return
        holder = self._holder(invocation.node_id)
        if holder in self._held:
            self._released[holder] = self._held[holder]
        elif invocation.node_id in self._waiting:
            self._forgotten.add(holder)
            self._remove(invocation.node_id)

    def explain(self, requests: Sequence[Request]) -> tuple[str, dict[str, Any]]:
        """What a node says that waits, and its `synchronizationStatus`."""
        request = self._locks.blocking(requests)
        message = f"Waiting for {request.name} lock. Lock status: {self._locks.free(request)}/{request.size}"
        return message, {"waiting": request.name}

    # The end of a pass

    def commit(self) -> None:
        """Give back what is to be given back."""
        for holder, names in self._released.items():
            self._locks.release(names, holder)
            self._held.pop(holder, None)
        for holder in self._forgotten:
            self._forget(holder)
        self._begin_pass()

    def rollback(self) -> None:
        """As if the pass had not been: whoever waited before it waits again, at the same place."""
        for holder, places in self._acquired.items():
            self._locks.release(self._held.pop(holder), holder)
            self._locks.put_back(places)
            self._wanted[holder] = [name for name, _ in places]
        for holder in self._queued:
            self._forget(holder)
        self._begin_pass()

    def _begin_pass(self) -> None:
        self._acquired, self._released, self._queued, self._forgotten = {}, {}, set(), set()

    def _forget(self, holder: str) -> None:
        self._locks.forget(self._wanted.pop(holder, ()), holder)

    # In the workflow's status

    def load(self, synchronization: Document, waiting: Iterable[tuple[str, str]] = ()) -> None:
        """Take what the workflow held before the engine was there, and let it wait where it did.

        ``waiting`` are nodes, or the workflow as an empty one, and what they wait for.
        """
        held: dict[str, list[str]] = {}
        for entry in (synchronization.get("mutex") or {}).get("holding") or ():
            held.setdefault(entry["holder"], []).append(entry["mutex"])
            self._mutexes.add(entry["mutex"])
        for entry in (synchronization.get("semaphore") or {}).get("holding") or ():
            for holder in entry.get("holders") or ():
                held.setdefault(holder, []).append(entry["semaphore"])
        for holder, names in held.items():
            for name in names:
                self._locks.regain(name, holder)
        self._held = held
        for node_id, name in waiting:
            holder = self._holder(node_id)
            self._locks.wait(name, holder, self._workflow, self.priority)
            self._wanted.setdefault(holder, []).append(name)
            if not node_id:
                self._told.add(name)

    def saved(self, document: dict[str, Any], *, finished: bool) -> dict[str, Any]:
        """The workflow with what it holds in its status, as Argo writes it, and what it waits for as a whole.

        What nodes wait for they say themselves.
        """
        status = document["status"]
        wanted = set() if finished else {*self._wanted.get(self._workflow, ())}
        changed = self._acquired or self._released or wanted != self._told
        if not changed and not (finished and "synchronization" in status):
            return document
        self._told = wanted
        mutexes: list[Document] = []
        semaphores: dict[str, list[str]] = {}
        for holder, names in self._held.items():
            for name in names if not finished and holder not in self._released else ():
                if name in self._mutexes:
                    mutexes.append({"holder": holder, "mutex": name})
                else:
                    semaphores.setdefault(name, []).append(holder)
        holding = [{"semaphore": name, "holders": holders} for name, holders in semaphores.items()]
        waiting: dict[bool, list[Document]] = {True: [], False: []}
        for name in sorted(wanted):
            others, is_mutex = self._locks.holders(name), name in self._mutexes
            one = {"mutex": name, "holder": next(iter(others), "")}
            waiting[is_mutex].append(one if is_mutex else {"semaphore": name, "holders": others})
        fields: dict[str, dict[str, list[Any]]] = {
            "mutex": {"holding": mutexes, "waiting": waiting[True]},
            "semaphore": {"holding": holding, "waiting": waiting[False]},
        }
        held = {
            kind: {field: entries for field, entries in lists.items() if entries}
            for kind, lists in fields.items()
            if any(lists.values())
        }
        status = {key: value for key, value in status.items() if key != "synchronization"}
        return {**document, "status": {**status, "synchronization": held} if held else status}
