"""Mutexes and semaphores, held by nodes and workflows of one engine (Argo's `synchronization`)."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from engine.variables import config_map_value

Document = Mapping[str, Any]
Request = tuple[str, int]
"""A lock's full name, and how many may hold it at a time."""


def lock_requests(synchronization: Document, namespace: str, config_maps: Mapping[str, Document]) -> list[Request]:
    """The locks that a `synchronization` asks for, named as Argo names them (``default/Mutex/name``).

    A semaphore's size is in a ConfigMap; where that is not among the given documents, or no number, the size is 1.
    """
    mutexes = [synchronization.get("mutex"), *(synchronization.get("mutexes") or ())]
    requests = [(f"{lock.get('namespace') or namespace}/Mutex/{lock.get('name') or ''}", 1) for lock in mutexes if lock]
    for lock in [synchronization.get("semaphore"), *(synchronization.get("semaphores") or ())]:
        reference = (lock or {}).get("configMapKeyRef")
        if not lock or not reference:
            continue
        size = config_map_value(reference, config_maps) or ""
        name = f"{lock.get('namespace') or namespace}/ConfigMap/{reference.get('name')}/{reference.get('key')}"
        requests.append((name, int(size) if size.isdigit() and int(size) > 0 else 1))
    return requests


class Locks:
    """Who holds what, and who waits: first come, first served."""

    def __init__(self) -> None:
        self._holders: dict[str, set[str]] = {}
        self._waiting: dict[str, deque[tuple[str, str]]] = {}

    def acquire(self, requests: Sequence[Request], holder: str, workflow: str) -> bool:
        """Take all the locks for `holder`, or none; then it waits for each, and `workflow` is named by `release`."""
        if all(self._free(name, size, holder) for name, size in requests):
            for name, _ in requests:
                self._holders.setdefault(name, set()).add(holder)
            self.forget(holder)
            return True
        for name, _ in requests:
            queue = self._waiting.setdefault(name, deque())
            if (holder, workflow) not in queue:
                queue.append((holder, workflow))
        return False

    def _free(self, name: str, size: int, holder: str) -> bool:
        holders = self._holders.get(name, set())
        if holder in holders:
            return True
        room = size - len(holders)
        ahead = [waiting for waiting, _ in list(self._waiting.get(name, ()))[:room]]
        return room > 0 and (holder in ahead or len(ahead) < room)

    def release(self, name: str, holder: str) -> set[str]:
        """Give a lock back; returns the keys of the workflows that wait for it."""
        self._holders.get(name, set()).discard(holder)
        return {workflow for _, workflow in self._waiting.get(name, ())}

    def forget(self, holder: str) -> None:
        """`holder` no longer waits for anything."""
        for name, queue in list(self._waiting.items()):
            left = deque(entry for entry in queue if entry[0] != holder)
            if left:
                self._waiting[name] = left
            else:
                del self._waiting[name]

    def blocking(self, requests: Sequence[Request]) -> str:
        """The first of the locks that cannot be had, to name it in a message."""
        full = (name for name, size in requests if len(self._holders.get(name, ())) >= size)
        return next(full, requests[0][0])

    def status(self, name: str, requests: Sequence[Request]) -> str:
        """How many places are taken of how many, as Argo's message shows it."""
        size = dict(requests)[name]
        return f"{len(self._holders.get(name, ()))}/{size}"
