"""What the driver of a fleet knows of workflows under way: which shard has each, and how it stands with its leaves.

The driver starts leaves, so it is the one who knows which were started, whatever becomes of the shard that wanted it.
A shard that has a workflow from another one says ``start`` again of all its leaves; those that were started are not
started again. What a leaf reports is kept until a change is durable in which the leaf is gone, and goes to the next
shard as well.

A leaf is known from its start until then. Behind that, the same start is another one, as `Engine.retry` has it.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Final

from engine.cluster.mail import Committed
from engine.executors.executor import Result
from engine.operations.errors import LeafEnded, UnknownLeaf
from engine.reconciling.entries import LEAF

NOBODY: Final = 0
"""The epoch of no shard."""


class Start(Enum):
    """What to do where a shard wants a leaf to be started."""

    NEW = "start it"
    FOUND = "an earlier process may have started it: adopt it, or start it"
    KNOWN = "nothing: it was started, or the workflow is another shard's by now"


class _Leaf(Enum):
    """How it stands with a leaf, but for one that has reported something: that is its last `Result`."""

    FOUND = "an earlier process was to start it"
    STARTED = "started"
    STOPPED = "stopped"


class _Kept:
    __slots__ = ("epoch", "leaves")

    def __init__(self, found: Iterable[str]) -> None:
        self.epoch = NOBODY
        self.leaves: dict[str, _Leaf | Result] = dict.fromkeys(found, _Leaf.FOUND)


class Custody:
    """Told what happens, in the order in which it does; says what is to be done. It awaits nothing and has no store.

    Whoever has a workflow is named by the epoch of its incarnation. What one says counts as long as `has` is true:
    items of a letter are asked for one by one, since a workflow may be another's by the time it is their turn.
    """

    def __init__(self) -> None:
        self._workflows: dict[str, _Kept] = {}
        self._shards: dict[int, set[str]] = {}

    def __contains__(self, uid: str) -> bool:
        return uid in self._workflows

    def __len__(self) -> int:
        return len(self._workflows)

    # Workflows

    def take_in(self, uid: str, found: Iterable[str] = ()) -> None:
        """Know a workflow, which no shard has yet. ``found`` are the leaves that it has in a store which was opened
        again: their ids are the keys of the `LEAF` entries."""
        self._workflows[uid] = _Kept(found)

    def give(self, uid: str, epoch: int) -> list[tuple[str, Result]]:
        """A shard has the workflow from now on: it is sent `Take` with what the store has, then these reports.

        What the shard before it has said is either asked of the store by now, and so in what is read for `Take`, or is
        never to be.
        """
        kept = self._workflows[uid]
        kept.epoch = epoch
        self._shards.setdefault(epoch, set()).add(uid)
        return [(node_id, state) for node_id, state in kept.leaves.items() if isinstance(state, Result)]

    def has(self, uid: str, epoch: int) -> bool:
        """Whether that shard has the workflow. Before a change is handed to the store: else it does not count."""
        kept = self._workflows.get(uid)
        return kept is not None and kept.epoch == epoch

    def holder(self, uid: str) -> int:
        """The epoch of the shard that has the workflow; `NOBODY`, also of one that is not known."""
        kept = self._workflows.get(uid)
        return NOBODY if kept is None else kept.epoch

    def gone(self, epoch: int) -> list[str]:
        """A shard is no more: the workflows that it had, which nobody has now. What it says is not heard any more."""
        uids = sorted(self._shards.pop(epoch, ()))
        for uid in uids:
            self._workflows[uid].epoch = NOBODY
        return uids

    def forget(self, uid: str) -> None:
        """The workflow is over, forgotten or deleted; what is still said of it does not count."""
        kept = self._workflows.pop(uid, None)
        if kept is not None and kept.epoch:
            self._shards[kept.epoch].discard(uid)

    # What a shard says

    def committed(self, change: Committed) -> None:
        """A change is durable, whoever has the workflow by now. What it says has ended is not known any more, be it a
        leaf or, where nothing is left to be done, the workflow."""
        uid = change.head.uid
        kept = self._workflows.get(uid)
        if kept is None:
            return
        if change.head.finished:
            self.forget(uid)
        elif change.whole:
            left = change.put.get(LEAF, {})
            kept.leaves = {node_id: state for node_id, state in kept.leaves.items() if node_id in left}
        else:
            for node_id in change.gone.get(LEAF, ()):
                kept.leaves.pop(node_id, None)

    def start(self, uid: str, epoch: int, node_id: str) -> Start:
        """A shard wants a leaf to be started, and all that it said before is durable; see `Start`."""
        kept = self._workflows.get(uid)
        if kept is None or kept.epoch != epoch:
            return Start.KNOWN
        state = kept.leaves.get(node_id, _Leaf.STOPPED)
        if state is _Leaf.STOPPED:
            kept.leaves[node_id] = _Leaf.STARTED
            return Start.NEW
        if state is _Leaf.FOUND:
            kept.leaves[node_id] = _Leaf.STARTED
            return Start.FOUND
        return Start.KNOWN

    def stop(self, uid: str, epoch: int, node_id: str) -> bool:
        """A shard wants a leaf to be stopped; whether the executor is to be told.

        It need not where the leaf has said that it ended, and the shard has not heard of that. One that is not known is
        stopped: `Engine.retry` says so of leaves that ended long ago.
        """
        kept = self._workflows.get(uid)
        if kept is None or kept.epoch != epoch:
            return False
        state = kept.leaves.get(node_id)
        if state is _Leaf.STOPPED or (isinstance(state, Result) and state.ended):
            return False
        kept.leaves[node_id] = _Leaf.STOPPED
        return True

    # What leaves say

    def running(self, uid: str) -> list[str]:
        """The leaves of a workflow that were started and have not said that they ended."""
        leaves = self._workflows[uid].leaves.items() if uid in self._workflows else ()
        ended = (_Leaf.STOPPED,)
        return [key for key, state in leaves if state not in ended and not (isinstance(state, Result) and state.ended)]

    def reported(self, uid: str, node_id: str) -> Result | None:
        """What a leaf has said last that no durable change has taken up."""
        kept = self._workflows.get(uid)
        state = kept.leaves.get(node_id) if kept is not None else None
        return state if isinstance(state, Result) else None

    def note(self, uid: str, node_ids: list[str], result: Result) -> list[str]:
        """Somebody has said the same of several leaves, among which there may be some that are not to be started,
        suspended nodes: those of which the shard is to hear. What has ended has."""
        leaves, told = self._workflows[uid].leaves, list[str]()
        for node_id in node_ids:
            state = leaves.get(node_id)
            if state is not _Leaf.STOPPED and state != result and not (isinstance(state, Result) and state.ended):
                leaves[node_id] = result
                told.append(node_id)
        return told

    def report(self, uid: str, node_id: str, result: Result) -> int:
        """A leaf has something to say: the epoch of the shard to tell, `NOBODY` where that is to be told later or not
        at all, since it was said before or the leaf was stopped.

        Raises `LeafEnded` where the leaf has said that it ended otherwise, and `UnknownLeaf` for one that was not
        started or has ended, a suspended node for instance: what to make of that only the shard knows.
        """
        kept = self._workflows.get(uid)
        state = kept.leaves.get(node_id) if kept is not None else None
        if kept is None or state is None:
            raise UnknownLeaf(f"{uid}: node {node_id!r}: expected the id of a leaf that was started and has not ended")
        if isinstance(state, Result):
            if state == result:
                return NOBODY
            if state.ended:
                raise LeafEnded(f"{uid}: node {node_id!r} was reported before, as {state.phase}")
        elif state is _Leaf.STOPPED:
            return NOBODY
        kept.leaves[node_id] = result
        return kept.epoch
