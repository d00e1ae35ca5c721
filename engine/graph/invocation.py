"""One call of a template, from the moment a step or task is due until its node is finished."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import msgspec

from engine.model.node import Node
from engine.templates.template import Resolving, Template


class Parent(Protocol):
    """Whoever waits for an invocation: a step group, a DAG, a loop, a retry, a hooked task, the workflow."""

    def child_created(self, key: int, node_id: str) -> None:
        """Child number `key` has its node; said once a child."""
        ...

    def child_done(self, key: int, node: Node) -> None:
        """Child number `key` is fulfilled, or is a daemon that is up; said once a child."""
        ...

    def child_raised(self, key: int, node: Node) -> None:
        """Child number `key` could not be executed as it stands: its node is Error, and to some parents that is more.

        Argo tells a node that errored from an error in executing a template (`executeTemplate` returning one): the
        latter ends a step group, or the workflow, at once. Said instead of `child_done`.
        """
        ...

    def child_lost(self, key: int, node: Node) -> None:
        """Child number `key` was a daemon that was up, and has ended before its boundary did."""
        ...


class HookedParent(Parent, Protocol):
    """Whoever waits for a call that may have hooks: a step group, a DAG, a loop."""

    def child_blamed(self, key: int, node: Node) -> bool:
        """Child number `key` has raised; whether its exit handler runs all the same, and `child_done` is to follow."""
        ...

    def child_hook_failed(self, key: int, message: str, *, exiting: bool) -> None:
        """A hook of child number `key` cannot be called; ``exiting`` tells its exit handler from the others."""
        ...


class Body(Parent, Protocol):
    """What an invocation does that others make up: steps, a DAG, or the attempts of a retried one."""

    def abandon(self, phase: str, message: str) -> None:
        """The invocation is about to be ended from outside: close the groups that are still open."""
        ...

    @property
    def begun(self) -> Iterable[str]:
        """The nodes right below that are not over: what came before one may have left nothing for it to hang under."""
        return ()

    @property
    def running(self) -> Invocation | None:
        """The attempt under way, of a retried invocation."""
        return None

    def start(self) -> None:
        """Begin, or go on from the nodes that the document brought along."""
        ...


class Inside:
    """What an invocation of steps or a DAG counts of those it is the boundary of."""

    __slots__ = ("active", "daemons", "depth", "failed", "pods", "waiting")

    def __init__(self, depth: int) -> None:
        self.depth = depth
        """In how many calls of templates the invocation is, its own counted."""
        self.active = 0
        """Unfinished pods, steps and DAGs."""
        self.pods = 0
        """Unfinished pods."""
        self.failed = False
        """Whether anything failed, where that matters (`failFast`)."""
        self.waiting: deque[Invocation] = deque()
        """Calls for which there was no room yet."""
        self.daemons: list[Invocation] = []
        """Those that came up."""


class Invocation(msgspec.Struct, eq=False):
    """A template called under a name. It has a node, `node_id`, once it was admitted.

    ``call`` is the substituted step (template reference and arguments), ``boundary`` the steps or DAG invocation in
    whose template the call stands, ``variables`` the ``inputs.*`` and others that hold inside its template. A struct,
    since a loop makes hundreds of thousands of them.
    """

    parent: Parent
    key: int
    name: str
    call: Mapping[str, Any]
    context: Resolving
    boundary: Invocation | None
    exits: bool = False
    """Whether it is an exit handler."""
    flag: str = ""
    """Which of `engine.model.node.FLAGS` its node gets."""
    node_type: str = ""
    """The type of its node where that is not what its template says."""
    node_id: str = ""
    order: int = 0
    """The place of its node in the order of their making."""
    template: Template | None = None
    variables: dict[str, Any] | None = None
    extra: dict[str, str] | None = None
    attempt: dict[str, Any] | None = None
    body: Body | None = None
    executing: bool = False
    since: float | None = None
    """When it began to execute, in seconds since the epoch."""
    queued: bool = False
    touched: bool = False
    """Whether the record may have to say something else of it than it does."""
    parked: bool = False
    """Its node exists and is not to be visited, since attempts stand for it or it waits for a lock."""
    ended: bool = False
    """Whether the graph itself ended it; a plugin may make a node fulfilled, too."""
    up: bool = False
    """Whether it is a daemon of which its parent knows that it runs."""
    gone: bool = False
    """Whether nobody waits for it any more: its node stays as it is."""
    raised: bool = False
    """Whether its end is told with `child_raised`."""
    requeue_at: float | None = None
    deadline: float | None = None
    """When it is over for this attempt, in seconds since the epoch, whatever its template says."""
    inside: Inside | None = None

    @property
    def depth(self) -> int:
        """In how many calls of templates it is, its own counted."""
        boundary = self.boundary
        if boundary is None:
            return 1
        return 1 + (boundary.inside.depth if boundary.inside is not None else boundary.depth)

    @property
    def on_exit(self) -> bool:
        """Whether it belongs to an exit handler: neither `stop` nor the workflow's deadline keeps that from running."""
        return self.exits or (self.boundary is not None and self.boundary.on_exit)

    @property
    def resolved(self) -> Template:
        """The template, of an invocation that was admitted."""
        assert self.template is not None
        return self.template

    def is_inside(self, other: Invocation) -> bool:
        """Whether `other` is this invocation's boundary, or that of one around it."""
        boundary = self.boundary
        while boundary is not None and boundary is not other:
            boundary = boundary.boundary
        return boundary is other

    def __repr__(self) -> str:
        return f"<Invocation {self.name}>"


class Turn(Invocation, gc=False):
    """One of a loop's turns, which an executor runs and nothing else is to be done about.

    The garbage collector does not know of it: one look at a hundred thousand takes a twentieth of a second. So it does
    not see the circle from the graph to a turn, its boundary and back either, which `Graph.let_go` breaks.
    """
