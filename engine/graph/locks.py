"""Mutexes and semaphores, held by nodes and workflows of one engine (Argo's `synchronization`)."""

from __future__ import annotations

import heapq
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from engine.shape import Document
from engine.substitution.variables import absent_key, config_map_value, text_of

ConfigMaps = Callable[[str], Mapping[str, Document]]
"""The ConfigMaps of a namespace, by name."""

_INTEGER: Final = re.compile(r"[+-]?\d{1,9}")


class LockError(Exception):
    """A `synchronization` that cannot be: the message is that of the node or workflow that has it."""


class Request(NamedTuple):
    """One lock, by its full name, and how many may hold it at a time."""

    name: str
    size: int
    is_mutex: bool = False


class Priority(NamedTuple):
    """Where those of a workflow stand in a queue: before others of lower priority, or of the same and younger."""

    urgency: int = 0
    """The workflow's priority, negated."""
    created: str = ""


NORMAL: Final = Priority()


class Waiter(NamedTuple):
    """Somebody who waits for a lock."""

    priority: Priority
    number: int
    holder: str
    workflow: str


Place = tuple[str, Waiter]
"""A place in the queue for a lock."""


def lock_requests(synchronization: Document, namespace: str, config_maps: ConfigMaps) -> list[Request]:
    """The locks that a `synchronization` asks for, by Argo's names (sync/lock_name.go: ``default/Mutex/name``).

    They are those of ``namespace``, the workflow's, but for who names another one himself.

    A semaphore's size is in a ConfigMap; one that a database has is not known to us, and counts as 1. Raises
    `LockError`, also for a size that is nowhere, no number or none at all (newInternalSemaphore in sync/semaphore.go).
    """
    mutexes, semaphores = _asked_for(synchronization)
    requests = [Request(f"{_place(lock, namespace, 'Mutex')}/{lock.get('name') or ''}", 1, True) for lock in mutexes]
    requests += [_semaphore(lock, namespace, config_maps) for lock in semaphores]
    names = [request.name for request in requests]
    for name in names:
        if names.count(name) > 1:
            raise LockError(f"lock {name} is asked for twice")
    return requests


def lock_namespaces(synchronization: Document, namespace: str) -> set[str]:
    """In which namespaces the locks are that a `synchronization` asks for, ``namespace`` being the workflow's."""
    return {lock.get("namespace") or namespace for locks in _asked_for(synchronization) for lock in locks}


def _asked_for(synchronization: Document) -> tuple[list[Document], list[Document]]:
    """Mutexes and semaphores, each by the field of before Argo 3.6, which has one, and by the list."""
    fields = (("mutex", "mutexes"), ("semaphore", "semaphores"))
    both = [(synchronization.get(one), *(synchronization.get(many) or ())) for one, many in fields]
    mutexes, semaphores = ([lock for lock in locks if lock is not None] for locks in both)
    return mutexes, semaphores


def _place(lock: Document, namespace: str, kind: str) -> str:
    return f"{lock.get('namespace') or namespace}/{'Database' if lock.get('database') else kind}"


def _semaphore(lock: Document, namespace: str, config_maps: ConfigMaps) -> Request:
    reference, database = lock.get("configMapKeyRef"), lock.get("database")
    if reference and database:
        raise LockError("invalid semaphore with both ConfigMapKeyRef and Database")
    if not reference and not database:
        raise LockError("cannot get LockName for a Semaphore without a ConfigMapRef or Database")
    place = _place(lock, namespace, "ConfigMap")
    if not reference:
        return Request(f"{place}/{(database or {}).get('key') or ''}", 1)
    name = f"{place}/{reference.get('name')}/{reference.get('key')}"
    known = config_maps(lock.get("namespace") or namespace)
    text = config_map_value(reference, known)
    size = _size(text)
    if size is None:
        found = absent_key(reference, known) if text is None else f"expected a positive integer, got {text!r}"
        raise LockError(f"failed to initialize semaphore {name} with limit: {found}")
    return Request(name, size)


def _size(text: str | None) -> int | None:
    """How many may hold a semaphore, None for what says so of none."""
    return int(text) if text is not None and _INTEGER.fullmatch(text) and int(text) > 0 else None


_SLACK: Final = 64
"""How many that wait no longer a queue may keep."""


class _Lock:
    def __init__(self, size: int | None = None) -> None:
        self.size = size
        """None as long as nobody has asked for it."""
        self.holders: dict[str, None] = {}
        self.waiting: dict[str, Waiter] = {}
        self._queue: list[Waiter] = []

    def enqueue(self, waiter: Waiter) -> None:
        self.waiting[waiter.holder] = waiter
        heapq.heappush(self._queue, waiter)
        if len(self._queue) > 2 * len(self.waiting) + _SLACK:  # most have gone from behind the first
            self._queue = sorted(self.waiting.values())

    def front(self) -> Waiter | None:
        """The first of those that wait."""
        queue = self._queue
        while queue and self.waiting.get(queue[0].holder) is not queue[0]:
            heapq.heappop(queue)
        return queue[0] if queue else None


class Locks:
    """Who holds what, and who waits: by priority, then by the age of the workflow, then first come, first served."""

    def __init__(self) -> None:
        self._locks: dict[str, _Lock] = {}
        self._number = 0
        self._woken: set[str] = set()
        self.version = 0
        """How often it may have become somebody's turn."""

    def __len__(self) -> int:
        """How many locks somebody holds or waits for."""
        return len(self._locks)

    def acquire(self, requests: Sequence[Request], holder: str, workflow: str, priority: Priority = NORMAL) -> bool:
        """Take all the locks for `holder`, or none; then it waits for each, and `workflow` is woken at its turn."""
        if all(self._may_take(request, holder, workflow, priority) for request in requests):
            for request in requests:
                lock = self._lock(request)
                lock.holders[holder] = None
                lock.waiting.pop(holder, None)
                if self.free(request) > 0:
                    self._wake(lock)
            return True
        for request in requests:
            self._lock(request)
            self.wait(request.name, holder, workflow, priority)
        return False

    def _lock(self, request: Request) -> _Lock:
        lock = self._locks.setdefault(request.name, _Lock())
        lock.size = request.size if lock.size is None else lock.size
        return lock

    def wait(self, name: str, holder: str, workflow: str, priority: Priority = NORMAL) -> None:
        """Have `holder` wait for a lock, behind those that have waited longer, unless he does."""
        lock = self._locks.setdefault(name, _Lock())
        if holder not in lock.waiting:
            self._number += 1
            lock.enqueue(Waiter(priority, self._number, holder, workflow))

    def resize(self, namespace: str, config_map: str, data: Mapping[str, Any]) -> None:
        """The sizes in a ConfigMap are these now; one that is none leaves a semaphore as it is."""
        prefix = f"{namespace}/ConfigMap/{config_map}/"
        for name, lock in self._locks.items():
            size = _size(text_of(data.get(name.removeprefix(prefix)))) if name.startswith(prefix) else None
            if size is not None:
                lock.size = size
                self._wake(lock)

    def places(self, names: Iterable[str], holder: str) -> list[Place]:
        """Where `holder` waits."""
        found = ((name, self._locks[name].waiting.get(holder)) for name in names if name in self._locks)
        return [(name, waiter) for name, waiter in found if waiter is not None]

    def put_back(self, places: Iterable[Place]) -> None:
        """Have somebody wait again where he was."""
        for name, waiter in places:
            self._locks.setdefault(name, _Lock()).enqueue(waiter)

    def regain(self, name: str, holder: str) -> None:
        """`holder` had this lock before the engine was there."""
        self._locks.setdefault(name, _Lock()).holders[holder] = None

    def _may_take(self, request: Request, holder: str, workflow: str, priority: Priority) -> bool:
        """As in Argo all nodes of the workflow whose turn it is may take it, and who would be the first to wait."""
        lock = self._locks.get(request.name)
        if lock is None:
            return request.size > 0
        if holder in lock.holders:
            return True
        front = lock.front()
        is_next = front is None or front.workflow == workflow or priority < front.priority
        return self.free(request) > 0 and is_next

    def release(self, names: Iterable[str], holder: str) -> None:
        """Give locks back."""
        for name in names:
            lock = self._locks.get(name)
            if lock is not None and holder in lock.holders:
                del lock.holders[holder]
                self._given_back(name, lock)

    def forget(self, names: Iterable[str], holder: str) -> None:
        """`holder` no longer waits for these."""
        for name in names:
            lock = self._locks.get(name)
            if lock is not None and lock.waiting.pop(holder, None) is not None:
                self._given_back(name, lock)

    def _given_back(self, name: str, lock: _Lock) -> None:
        self._wake(lock)
        if not lock.holders and not lock.waiting:
            del self._locks[name]

    def _wake(self, lock: _Lock) -> None:
        front = lock.front()
        if front is not None:
            self.version += 1
            self._woken.add(front.workflow)

    def take_woken(self) -> set[str]:
        """The keys of the workflows whose turn it may have become since the last call."""
        woken, self._woken = self._woken, set()
        return woken

    def free(self, request: Request) -> int:
        """How many more may hold a lock."""
        lock = self._locks.get(request.name)
        if lock is None:
            return request.size
        return (request.size if lock.size is None else lock.size) - len(lock.holders)

    def holders(self, name: str) -> list[str]:
        """Who holds a lock, those first that have had it longest."""
        lock = self._locks.get(name)
        return [*lock.holders] if lock is not None else []

    def blocking(self, requests: Sequence[Request]) -> Request:
        """The first of the locks that cannot be had, to name it in a message."""
        return next((request for request in requests if self.free(request) <= 0), requests[0])
