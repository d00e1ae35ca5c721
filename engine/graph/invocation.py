"""One call of a template, from the moment a step or task is due until its node is finished."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, Protocol

from engine.node import Node
from engine.template import Context, Template


class Parent(Protocol):
    """Whoever waits for an invocation: a step group, a DAG, a loop, a retry, a hooked task, the workflow."""

    def child_created(self, key: int, node_id: str) -> None:
        """Child number `key` has its node; said once a child, and not for one that never gets to run."""
        ...

    def child_done(self, key: int, node: Node) -> None:
        """Child number `key` is fulfilled, or is a daemon that is up; said once a child."""
        ...


class Body(Parent, Protocol):
    """What an invocation of a composite template does once it may execute."""

    def abandon(self, phase: str, message: str) -> None:
        """The invocation is about to be ended from outside: close the groups that are still open."""
        ...

    def start(self) -> None:
        """Begin, or go on from the nodes that the document brought along."""
        ...


class Inside:
    """What an invocation of steps or a DAG counts of those it is the boundary of."""

    __slots__ = ("active", "daemons", "failures", "pods", "waiting")

    def __init__(self) -> None:
        self.active = 0
        """Unfinished pods, steps and DAGs."""
        self.pods = 0
        """Unfinished pods."""
        self.failures = 0
        self.waiting: deque[Invocation] = deque()
        """Calls for which there was no room yet."""
        self.daemons: list[Invocation] = []


class Invocation:
    """A template called under a name. It has a node, `node_id`, once it was admitted.

    ``call`` is the substituted step (template reference and arguments), ``boundary`` the steps or DAG invocation in
    whose template the call stands, ``variables`` the ``inputs.*`` and others that hold inside its template.
    """

    __slots__ = (
        "attempt",
        "body",
        "boundary",
        "call",
        "context",
        "depth",
        "executing",
        "extra",
        "inside",
        "key",
        "locks",
        "memo",
        "name",
        "node_id",
        "on_exit",
        "parent",
        "parked",
        "queued",
        "requeue_at",
        "template",
        "variables",
    )

    def __init__(
        self,
        parent: Parent,
        key: int,
        name: str,
        call: Mapping[str, Any],
        context: Context,
        boundary: Invocation | None,
        *,
        on_exit: bool = False,
    ) -> None:
        self.parent = parent
        self.key = key
        self.name = name
        self.call = call
        self.context = context
        self.boundary = boundary
        self.on_exit = on_exit
        self.depth: int = boundary.depth + 1 if boundary is not None else 1
        self.node_id = ""
        self.template: Template | None = None
        self.variables: dict[str, Any] | None = None
        self.extra: dict[str, str] | None = None
        self.attempt: dict[str, Any] | None = None
        self.body: Body | None = None
        self.executing = False
        self.queued = False
        # Parked: its node exists and is not to be visited, since attempts stand for it or it waits for a lock.
        self.parked = False
        self.requeue_at: float | None = None
        self.locks: list[str] | None = None
        self.memo: tuple[str, str] | None = None
        self.inside: Inside | None = None

    @property
    def resolved(self) -> Template:
        """The template, of an invocation that was admitted."""
        assert self.template is not None
        return self.template

    def __repr__(self) -> str:
        return f"<Invocation {self.name}>"
