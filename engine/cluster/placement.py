"""Which shard has which workflow.

A workflow is placed by rendezvous hashing (Thaler and Ravishankar, 1998) of its uid: where a shard is gone only its
workflows move, to all others alike. Locks and memos are an engine's own, so workflows that contend for them share one:
those that synchronize are placed by the namespaces of their locks, those that memoize by their own, which are their
*groups*. While a workflow is live its groups are where it is, and nothing that is live is moved.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable
from itertools import chain
from typing import Final

import orjson
from xxhash import xxh3_64_intdigest

from engine.graph.locks import lock_namespaces
from engine.model.workflow import Workflow
from engine.templates.catalog import Templates
from engine.templates.specification import InvalidSpec, UnknownTemplate, spec_in_force
from engine.templates.storing import callable_templates, library_of

Groups = frozenset[str]

ANYWHERE: Final = "*"
"""The group of a workflow that asks for locks of a namespace which is only known at runtime: it is with all others."""

NONE: Final[Groups] = frozenset()

_CONTENDING: Final = re.compile(rb'"(?:synchronization|memoize|templateRef|workflowTemplateRef)"')
"""What a spec has somewhere that contends for something, or refers to what does."""


def groups_of(workflow: Workflow, templates: Templates) -> Groups:
    """The groups of a workflow, none where it contends for nothing, as far as its spec and the templates say that now.

    Templates are looked through that it may come to call, at any depth. One that gets its first lock later than this,
    and before the workflow's first pass, is not seen; from there on a workflow has the templates that there were.
    """
    document, namespace = workflow.document, workflow.namespace
    if _CONTENDING.search(orjson.dumps(document["spec"])) is None:
        return NONE
    library = library_of(document, templates.library(namespace))
    try:
        spec = spec_in_force(document, library)
    except (InvalidSpec, UnknownTemplate):  # its first pass will say so, unless the template comes to be before that
        return frozenset((namespace,))
    context = library.local(spec)
    found: set[str] = set()
    for each in chain((spec, context.defaults), callable_templates(spec, context)):
        if each.get("synchronization"):
            found |= lock_namespaces(each["synchronization"], namespace)
        if each.get("memoize"):
            found.add(namespace)
    return frozenset(ANYWHERE if "{{" in group else group for group in found)


def rendezvous(key: str, shards: Collection[int]) -> int:
    """The shard of a key: that of the highest hash of both. Raises `ValueError` where there are none."""
    data = key.encode()
    return max(shards, key=lambda number: (xxh3_64_intdigest(data, number), number))


class Placement:
    """Told which shards and workflows there are; `settle` says what goes where. It awaits nothing.

    A workflow whose groups are at two shards, since others that are live brought them there, waits until one of the
    two is empty of them, and those that come after it and share a group wait behind it.
    """

    def __init__(self) -> None:
        self._shards: dict[int, set[str]] = {}
        """The shards that are alive, and which workflows each has."""
        self._placed: dict[str, tuple[int, Groups]] = {}
        self._displaced: dict[str, Groups] = {}
        """Those that were live where nobody is any more: what they hold they hold on."""
        self._waiting: dict[str, Groups] = {}
        """Those that have not begun, the first in front."""
        self._homes: dict[str, int] = {}
        """Where the groups are of which somebody is placed."""
        self._live: Counter[str] = Counter()
        """How many of a group are."""

    def shard_of(self, uid: str) -> int | None:
        """The number of the shard that has the workflow, None while it waits for one."""
        placed = self._placed.get(uid)
        return None if placed is None else placed[0]

    def joined(self, number: int) -> None:
        """There is a shard of this number, with no workflows."""
        self._shards.setdefault(number, set())

    def gone(self, number: int) -> None:
        """There is none of this number: its workflows are to be placed anew, before all others."""
        for uid in sorted(self._shards.pop(number, ())):
            _, groups = self._placed.pop(uid)
            self._leave(groups)
            self._displaced[uid] = groups

    def add(self, uid: str, groups: Groups, *, live: bool = False) -> None:
        """A workflow is to be placed; ``live`` is one that has begun, in a store that is opened again."""
        (self._displaced if live else self._waiting)[uid] = groups

    def remove(self, uid: str) -> None:
        """The workflow is over, or nobody is to have it."""
        self._displaced.pop(uid, None)
        self._waiting.pop(uid, None)
        number, groups = self._placed.pop(uid, (None, NONE))
        if number is not None:
            self._shards[number].discard(uid)
            self._leave(groups)

    def settle(self) -> dict[str, int]:
        """The shards of those that waited for one and do no more, by uid. Ask whenever something else was told."""
        settled: dict[str, int] = {}
        if not self._shards:
            return settled
        if self._displaced:
            displaced, self._displaced = self._displaced, {}
            connected = _connected(displaced.values())
            for uid, groups in displaced.items():
                settled[uid] = self._place(uid, groups, connected.get(next(iter(groups), ""), groups))
        held_up: set[str] = set()
        for uid, groups in list(self._waiting.items()):
            if len(self._homes_of(groups)) > 1 or _meet(groups, held_up):
                held_up |= groups
            else:
                settled[uid] = self._place(uid, self._waiting.pop(uid), groups)
        return settled

    def _place(self, uid: str, groups: Groups, together: Collection[str]) -> int:
        """Place one where the groups are that it is to be together with."""
        home = next(iter(self._homes_of(together)), None)
        if home is None:
            home = rendezvous(min(together, default=uid), self._shards)
        self._shards[home].add(uid)
        self._placed[uid] = home, groups
        for group in groups:
            self._homes[group] = home
            self._live[group] += 1
        return home

    def _homes_of(self, groups: Collection[str]) -> set[int]:
        if not groups:
            return set()
        if ANYWHERE in groups:
            return set(self._homes.values())
        return {self._homes[group] for group in (*groups, ANYWHERE) if group in self._homes}

    def _leave(self, groups: Groups) -> None:
        for group in groups:
            self._live[group] -= 1
            if not self._live[group]:
                del self._live[group], self._homes[group]


def _meet(some: Collection[str], others: Collection[str]) -> bool:
    """Whether they have a group in common."""
    if not some or not others:
        return False
    return ANYWHERE in some or ANYWHERE in others or any(group in others for group in some)


def _connected(workflows: Iterable[Groups]) -> dict[str, set[str]]:
    """By group those that are to be at one shard with it, since a workflow is of both, or of one that is with both."""
    connected: dict[str, set[str]] = {}
    for groups in workflows:
        if any(connected.get(group, groups) is not connected.get(next(iter(groups))) for group in groups):
            together = set(groups).union(*(connected.get(group, ()) for group in groups))
            connected.update(dict.fromkeys(together, together))
    if ANYWHERE in connected:
        together = set(connected)
        connected = dict.fromkeys(together, together)
    return connected
