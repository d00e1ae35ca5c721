"""The Store protocol: where an engine writes down what must not be lost, and finds it again.

A store knows nothing of graphs. A workflow is a `Head`, by which it is found, and entries, each a JSON value under a
kind and a key; what they mean is for whoever writes them (`engine.reconciling.ledger`). A `Change` is written as a
whole or not at all.
"""

from __future__ import annotations

from collections.abc import Awaitable, Collection, Mapping
from types import TracebackType
from typing import Any, Final, NamedTuple, Protocol, Self, runtime_checkable

import msgspec


class StoreError(Exception):
    """A store that cannot be opened, read or written: the message names it and what was expected, in one line."""


class Head(msgspec.Struct, frozen=True, gc=False):
    """By what a stored workflow is found. ``revision`` is that of its last change, 0 in what is to be written."""

    uid: str
    namespace: str
    name: str
    phase: str = ""
    finished: bool = False
    revision: int = 0


class Entry(NamedTuple):
    """One value of a workflow as it is read: its kind, its key, and JSON."""

    kind: str
    key: str
    value: bytes


Values = Mapping[str, Mapping[str, Any]]
"""What msgspec encodes as JSON, by kind and key."""


class Change(msgspec.Struct, frozen=True):
    """What is to become of a workflow: it loses those of its entries whose keys are in ``gone``, by kind, or with
    ``whole`` all that it had; then it has what is in ``put``, in place of what it had of that kind and key.

    One that is ``patient`` may be put off for some milliseconds, so that others are written with it. Once it is written
    it is the engine's again, which empties what is large: a store copies what it keeps."""

    head: Head
    put: Values = {}
    gone: Mapping[str, Collection[str]] = {}
    whole: bool = False
    patient: bool = False


class Item(msgspec.Struct, frozen=True):
    """A document that is no workflow under way: a template, a ConfigMap, a CronWorkflow. Named as in Kubernetes."""

    kind: str
    namespace: str
    name: str
    document: dict[str, Any]
    revision: int


@runtime_checkable
class WorkflowStore(Protocol):
    """What an engine needs of a `Store`, which see."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def commit(self, change: Change) -> Awaitable[int]:
        """Write a change; returns its revision, once it is awaited."""
        ...

    async def heads(
        self, *, finished: bool | None = None, namespace: str | None = None, name: str | None = None
    ) -> list[Head]:
        """The workflows that are like that, in the order in which they were first written."""
        ...

    async def entries(self, uid: str, kinds: Collection[str] | None = None) -> Collection[Entry]:
        """A workflow's entries, or those of some kinds, with values in JSON; within a kind in the order in which they
        were first written since they were gone last. Empty where there is no such workflow."""
        ...

    async def delete(self, uid: str) -> bool:
        """Forget a workflow; whether there was one."""
        ...


def check_store(store: object) -> None:
    """Raises `TypeError` for what is none."""
    if isinstance(store, type) or not isinstance(store, WorkflowStore):
        raise TypeError(f"store: expected a Store, such as SqliteStore(path), got {store!r}")


class Store(WorkflowStore, Protocol):
    """An async context manager; one that is open may be entered again. Every method raises `StoreError`.

    What `commit`, `put`, `delete` and `remove` have returned from outlives the process, and a failure of power. One
    that raised has changed nothing; an engine writes the `whole` workflow next, in case a store cannot promise that. A
    revision is a number that no two changes of a store have; later ones are greater, also after a restart. Changes may
    be asked for all at once, and are written in the order in which they were asked for; what was asked for before is
    seen by whoever reads.
    """

    @property
    def revision(self) -> int:
        """That of the last change, 0 where there was none."""
        ...

    async def put(self, kind: str, namespace: str, name: str, document: Mapping[str, Any]) -> int:
        """Keep a document in place of the one of that name; returns its revision. ``namespace`` may be empty."""
        ...

    async def get(self, kind: str, namespace: str, name: str) -> Item | None:
        """The document of that name."""
        ...

    async def items(self, kind: str, namespace: str | None = None) -> list[Item]:
        """All documents of a kind, or those of a namespace; by namespace and name."""
        ...

    async def remove(self, kind: str, namespace: str, name: str) -> bool:
        """Forget a document; whether there was one."""
        ...


AT_ONCE: Final = 2048
"""Entries that are encoded in one turn of the event loop, which takes a millisecond."""


def has_many(change: Change) -> bool:
    """Whether to encode what a change puts is for another thread."""
    return sum(map(len, change.put.values())) > AT_ONCE


def refused(what: str, error: Exception) -> StoreError:
    """What is not to be put into JSON: text that is none, objects of no such type."""
    return StoreError(f"{what}: expected what JSON can say, got {type(error).__name__}: {error}")
