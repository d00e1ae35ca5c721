"""What the driver of a fleet knows of workflows under way: which shard has each, and how it stands with its leaves.

The driver starts leaves, so it is the one who knows which were started, whatever becomes of the shard that wanted it.
A shard that has a workflow from another one says ``start`` again of all its leaves; those that were started are not
started again. What a leaf reports is kept until a change is durable in which the leaf is gone, and goes to the next
shard as well.

A leaf is known from its start until then. Behind that, the same start is another one, as `Engine.retry` has it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import Enum
from typing import Final

from engine.cluster.mail import Committed, of_kind
from engine.executors.executor import Result
from engine.reconciling.entries import LEAF

NOBODY: Final = 0
"""The epoch of no shard."""


class _Leaf(Enum):
    """How it stands with a leaf, but for one that has reported something: that is its last `Result`."""

    FOUND = "an earlier process was to start it"
    STARTED = "started"
    STOPPED = "stopped"


_FOUND: Final = _Leaf.FOUND
_STARTED: Final = _Leaf.STARTED
_STOPPED: Final = _Leaf.STOPPED


class Leaves:
    """Those of one workflow, and the ``epoch`` of the shard that has it, `NOBODY` where none has."""

    __slots__ = ("epoch", "states")

    def __init__(self, found: Iterable[str] = ()) -> None:
        self.epoch = NOBODY
        self.states: dict[str, _Leaf | Result] = dict.fromkeys(found, _FOUND)

    def reported(self, node_id: str) -> Result | None:
        """What a leaf has said last that no durable change has taken up."""
        state = self.states.get(node_id)
        return state if isinstance(state, Result) else None

    def first(self, node_id: str, result: Result) -> bool:
        """Somebody has said something of a leaf: whether it was started, and that is the first that is said of it."""
        if self.states.get(node_id) is not _STARTED:
            return False
        self.states[node_id] = result
        return True

    def note(self, node_ids: list[str], result: Result) -> list[str]:
        """Somebody has said the same of several leaves, among which there may be some that are not to be started,
        suspended nodes: those of which the shard is to hear. What has ended has."""
        states, told = self.states, list[str]()
        for node_id in node_ids:
            state = states.get(node_id)
            if not (state == result or _is_over(state)):
                states[node_id] = result
                told.append(node_id)
        return told


class Custody:
    """Told what happens, in the order in which it does; says what is to be done. It awaits nothing and has no store.

    Whoever has a workflow is named by the epoch of its incarnation. What one says counts as long as `has` is true:
    items of a letter are asked for one by one, since a workflow may be another's by the time it is their turn.
    """

    def __init__(self) -> None:
        self._workflows: dict[str, Leaves] = {}
        self._shards: dict[int, set[str]] = {}

    def __contains__(self, uid: str) -> bool:
        return uid in self._workflows

    def __len__(self) -> int:
        return len(self._workflows)

    # Workflows

    def take_in(self, uid: str, found: Iterable[str] = ()) -> Leaves:
        """Know a workflow, which no shard has yet. ``found`` are the leaves that it has in a store which was opened
        again: their ids are the keys of the `LEAF` entries."""
        leaves = self._workflows[uid] = Leaves(found)
        return leaves

    def give(self, uid: str, epoch: int) -> list[tuple[str, Result]]:
        """A shard has the workflow from now on: it is sent `Take` with what the store has, then these reports.

        What the shard before it has said is either asked of the store by now, and so in what is read for `Take`, or is
        never to be.
        """
        leaves = self._workflows[uid]
        leaves.epoch = epoch
        self._shards.setdefault(epoch, set()).add(uid)
        return [(node_id, state) for node_id, state in leaves.states.items() if isinstance(state, Result)]

    def has(self, uid: str, epoch: int) -> bool:
        """Whether that shard has the workflow. Before a change is handed to the store: else it does not count."""
        leaves = self._workflows.get(uid)
        return leaves is not None and leaves.epoch == epoch

    def holder(self, uid: str) -> int:
        """The epoch of the shard that has the workflow; `NOBODY`, also of one that is not known."""
        leaves = self._workflows.get(uid)
        return NOBODY if leaves is None else leaves.epoch

    def gone(self, epoch: int) -> list[str]:
        """A shard is no more: the workflows that it had, which nobody has now. What it says is not heard any more."""
        uids = sorted(self._shards.pop(epoch, ()))
        for uid in uids:
            self._workflows[uid].epoch = NOBODY
        return uids

    def forget(self, uid: str) -> None:
        """The workflow is over, forgotten or deleted; what is still said of it does not count."""
        leaves = self._workflows.pop(uid, None)
        if leaves is not None and leaves.epoch:
            self._shards[leaves.epoch].discard(uid)

    # What a shard says

    def committed(self, change: Committed) -> None:
        """A change is durable, whoever has the workflow by now. What it says has ended is not known any more, be it a
        leaf or, where nothing is left to be done, the workflow."""
        uid = change.head.uid
        leaves = self._workflows.get(uid)
        if leaves is None:
            return
        if change.head.finished:
            self.forget(uid)
        elif change.whole:
            left = of_kind(change.put, LEAF)
            leaves.states = {node_id: state for node_id, state in leaves.states.items() if node_id in left}
        else:
            pop = leaves.states.pop
            for node_id in change.gone.get(LEAF, ()):
                pop(node_id, None)

    def start(self, uid: str, epoch: int, node_ids: Iterable[str]) -> Iterator[tuple[str, bool]]:
        """A shard wants leaves to be started, and all that it said before is durable: those that are to be, one after
        the other, and of each whether an earlier process may have started it, so that it may be adopted.

        The others were started, or the workflow is another shard's by now, be it since the one before was started.
        """
        for node_id in node_ids:
            leaves = self._workflows.get(uid)
            if leaves is None or leaves.epoch != epoch:
                return
            state = leaves.states.get(node_id, _STOPPED)
            if state is _STOPPED or state is _FOUND:
                leaves.states[node_id] = _STARTED
                yield node_id, state is _FOUND

    def stop(self, uid: str, epoch: int, node_id: str) -> bool:
        """A shard wants a leaf to be stopped; whether the executor is to be told.

        It need not where the leaf has said that it ended, and the shard has not heard of that. One that is not known is
        stopped: `Engine.retry` says so of leaves that ended long ago.
        """
        leaves = self._workflows.get(uid)
        if leaves is None or leaves.epoch != epoch:
            return False
        state = leaves.states.get(node_id)
        if _is_over(state):
            return False
        leaves.states[node_id] = _STOPPED
        return True

    def running(self, uid: str) -> list[str]:
        """The leaves of a workflow that may run: started, now or by an earlier process, and not said to have ended."""
        states = self._workflows[uid].states.items() if uid in self._workflows else ()
        return [node_id for node_id, state in states if not _is_over(state)]


def _is_over(state: _Leaf | Result | None) -> bool:
    """Whether a leaf was stopped, or has said that it ended."""
    return state is _STOPPED or (isinstance(state, Result) and state.ended)
