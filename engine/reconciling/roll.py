"""Whose workflows are whose: those that an engine has by key and by uid, or a fleet, and what is said of them."""

from __future__ import annotations

import asyncio
import threading
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from inspect import iscoroutine
from typing import Any, Final, Generic, Protocol, TypeVar
from weakref import WeakKeyDictionary, WeakSet, ref

from engine.executors.executor import Result
from engine.model.node import CONTAINER
from engine.model.workflow import Workflow
from engine.operations.errors import (
    AlreadySubmitted,
    LeafEnded,
    NotFinished,
    OperationError,
    TooManyWorkflows,
    UnknownLeaf,
    UnknownWorkflow,
)
from engine.reconciling.results import Commit
from engine.templates.kinds import EXECUTABLE
from rpc.logs import get_logger

_LEAVES: Final = EXECUTABLE - {CONTAINER}

_log = get_logger(__name__)


class Known(Protocol):
    """What is kept of one workflow."""

    workflow: Workflow
    waiting: dict[object, Callable[[], None]]
    """Whoever waits for the workflow to be over, and how they are told; once."""

    def reported(self, node_id: str) -> Result | None:
        """What was reported of a leaf and no committed pass has taken up."""
        ...

    def tell_waiting(self) -> None:
        """The workflow is over, or will not be here."""
        ...


R = TypeVar("R", bound=Known)


class Roll(Generic[R]):
    """Unfinished workflows by key and by uid. A synchronous state machine of one thread; who uses it does the waiting.

    A workflow is *known* from the first time that it is meant by anything; it is *claimed* by `submit`, or by a `run`
    for as long as that lasts, and nobody can have it twice, not even two engines.
    """

    def __init__(self, limit: int | None) -> None:
        self.runs: dict[str, R] = {}
        self.limit = limit
        self.listeners: list[Callable[[Commit], None]] = []
        self.loop: asyncio.AbstractEventLoop | None = None
        self.settled = False
        """Whether no more passes will be made, unless somebody has them made again."""
        self._thread: int | None = None
        self._by_uid: dict[str, R] = {}
        self._parting: WeakSet[Workflow] = WeakSet()
        """Of those that were dropped the ones with a pass that is yet to be undone, with leaves that are yet to be
        stopped, or yet to leave the store."""
        self._stopped: WeakKeyDictionary[Workflow, set[str]] = WeakKeyDictionary()
        """Leaves that the executor was told to stop, for as long as anybody has their workflow."""

    @abstractmethod
    def _new(self, workflow: Workflow) -> R:
        """What is to be kept of a workflow that was not known."""

    @abstractmethod
    def wake(self, key: str) -> None:
        """The workflow wants a pass, if it is known."""

    @abstractmethod
    def note(self, run: R, node_id: str, result: Result) -> None:
        """What became of a leaf, to be taken up by the next pass."""

    # Of one thread

    def bind(self) -> None:
        """The event loop that runs is the engine's. Raises `RuntimeError` where it has another one."""
        loop = asyncio.get_running_loop()
        if self.loop is not None and loop is not self.loop and self.loop.is_running():
            raise RuntimeError("expected the event loop that the engine runs in: one engine belongs to one event loop")
        self.loop, self._thread = loop, threading.get_ident()

    def check_thread(self) -> None:
        """Raises `RuntimeError` in any thread but the event loop's."""
        if self._thread is not None and threading.get_ident() != self._thread:
            raise RuntimeError(
                f"expected to be called in the thread of the engine's event loop, not in"
                f" {threading.current_thread().name}: use report_threadsafe, or loop.call_soon_threadsafe"
            )

    # Which they are

    @property
    def workflows(self) -> list[Workflow]:
        """All of them."""
        return [run.workflow for run in list(self.runs.values())]

    def nodes_by_phase(self) -> Counter[str]:
        """How many nodes they have, counted now."""
        return Counter(node.phase for each in self.workflows for node in list(each.nodes.values()))

    def find(self, workflow: Workflow) -> R | None:
        """The run of this very workflow, if it is known."""
        run = self.runs.get(workflow.key)
        return run if run is not None and run.workflow is workflow else None

    def check(self, workflows: Iterable[Workflow]) -> None:
        """Whether all of them may be known. Raises `AlreadySubmitted` or `TooManyWorkflows`."""
        keys: set[str] = set()
        uids: set[str] = set()
        new = 0
        for workflow in workflows:
            self._check_other_engines(workflow)
            if workflow.key in keys or workflow.uid in uids:
                raise AlreadySubmitted(f"{workflow.key}: given twice, by its name or its uid {workflow.uid}")
            keys.add(workflow.key)
            uids.add(workflow.uid)
            if self.find(workflow) is not None:
                continue
            new += 1
            if workflow in self._parting:
                raise AlreadySubmitted(f"{workflow.key}: it is not gone yet: await what `forget` returned")
            same = self.runs.get(workflow.key)
            if same is not None:
                raise AlreadySubmitted(
                    f"{workflow.key}: there is an unfinished workflow of that name already,"
                    f" with the uid {same.workflow.uid}"
                )
            same = self._by_uid.get(workflow.uid)
            if same is not None:
                raise AlreadySubmitted(
                    f"{workflow.key}: there is an unfinished workflow of the uid {workflow.uid} already,"
                    f" {same.workflow.key}"
                )
        if self.limit is not None and new and len(self.runs) + new > self.limit:
            raise TooManyWorkflows(
                f"the engine may have {self.limit} workflows and has {len(self.runs)}: expected at most"
                f" {max(self.limit - len(self.runs), 0)} more, got {new}"
            )

    def _check_other_engines(self, workflow: Workflow) -> None:
        if _holder(workflow) not in (None, self):
            raise AlreadySubmitted(f"{workflow.key}: another engine has this workflow")

    def know(self, workflow: Workflow) -> R:
        """What is kept of the workflow. Raises what `check` does."""
        run = self.find(workflow)
        if run is None:
            self.check((workflow,))
            run = self._add(self._new(workflow))
        return run

    def _add(self, run: R) -> R:
        self.runs[run.workflow.key] = self._by_uid[run.workflow.uid] = run
        return run

    def restored(self, run: R) -> None:
        """A store had the workflow: it is known and claimed."""
        self._add(run)
        _claims[run.workflow] = ref(self)
        self.wake(run.workflow.key)

    def _remove(self, run: R) -> None:
        """It is known no more."""
        del self.runs[run.workflow.key], self._by_uid[run.workflow.uid]
        self.release(run.workflow)

    def is_claimed(self, workflow: Workflow) -> bool:
        """Whether somebody has it: who submitted it, or a `run` under way."""
        return _holder(workflow) is self

    def claim(self, workflow: Workflow) -> R:
        """Know a workflow, have it for oneself, and want a pass over it. Raises what `check` does."""
        self._check_other_engines(workflow)
        if self.is_claimed(workflow):
            raise AlreadySubmitted(f"{workflow.key}: this workflow was submitted before, and is not finished")
        run = self.know(workflow)
        _claims[workflow] = ref(self)
        self.wake(workflow.key)
        return run

    @contextmanager
    def claimed(self, workflows: Iterable[Workflow]) -> Iterator[list[Workflow]]:
        """Have those that are not finished for a while, which are given. Raises what `check` does, with none taken in;
        what others have is theirs."""
        unfinished = [each for each in workflows if not each.finished]
        self.check(unfinished)
        mine = [each for each in unfinished if not self.is_claimed(each)]
        for each in mine:
            self.claim(each)
        try:
            yield unfinished
        finally:
            for each in mine:
                self.release(each)

    def release(self, workflow: Workflow) -> None:
        """Nobody has it any more; it is still known."""
        if self.is_claimed(workflow):
            del _claims[workflow]

    def settle(self) -> None:
        """No more passes will be made: whoever waits for a workflow hears of that, and nobody has any."""
        self.settled = True
        for run in list(self.runs.values()):
            self.release(run.workflow)
            run.tell_waiting()

    async def finished(self, workflow: Workflow) -> None:
        """Wait until the workflow is over. Raises `NotFinished` where it will not be."""
        self.check_thread()
        run = self.find(workflow)
        if run is not None and not self.settled:
            over = asyncio.get_running_loop().create_future()
            run.waiting[over] = lambda: None if over.done() else over.set_result(None)
            try:
                await over
            finally:
                run.waiting.pop(over, None)
        if workflow.finished and self.find(workflow) is None:
            return
        reason = "the engine makes no more passes" if self.find(workflow) is not None else "the engine has it no more"
        raise NotFinished(f"{workflow.key} is not finished, and {reason}")

    # What is told of them

    def report(self, workflow: Workflow, node_id: str, result: Result) -> None:
        """What somebody says of a leaf. Raises `UnknownWorkflow`, `UnknownLeaf` and `LeafEnded`.

        A leaf that the executor was told to stop may have ended by itself at the same time: what is said of it does not
        count, and is no mistake either. Nor is it one to say the same again.
        """
        if not isinstance(result, Result):
            raise TypeError(f"expected a Result, got {result!r}")
        if node_id in self._stopped.get(workflow, ()):
            return
        run = self.find(workflow)
        if run is None and workflow.finished:
            raise LeafEnded(f"{workflow.key}: node {node_id!r} cannot be reported, the workflow is {workflow.phase}")
        if run is None:
            raise UnknownWorkflow(f"{workflow.key}: this engine does not have the workflow: submit it first")
        node = run.workflow.committed_node(node_id)
        if node is None or node.type not in _LEAVES:
            what = "there is none" if node is None else f"it is a {node.type}"
            raise UnknownLeaf(f"{workflow.key}: node {node_id!r}: expected the id of a leaf, {what}")
        if node.fulfilled:
            raise LeafEnded(f"{workflow.key}: node {node_id!r} had ended before, as {node.phase}")
        before = run.reported(node_id)
        if before is not None and before.ended and before != result:
            raise LeafEnded(f"{workflow.key}: node {node_id!r} was reported before, as {before.phase}")
        self.note(run, node_id, result)

    def hear(self, workflow: Workflow, node_id: str, result: Result) -> None:
        """What an executor of ours says of a leaf: that nobody wants to hear it any more is no affair of its."""
        try:
            self.report(workflow, node_id, result)
        except OperationError as error:
            _log.warning("report refused", workflow=workflow.key, node=node_id, reason=str(error))

    def soon(self, report: Callable[[], None], node_id: str) -> Future[None]:
        """Have a report made in the event loop, from any thread. Raises `RuntimeError` where that does not run."""
        loop, future = self.loop, Future[None]()
        if loop is None or not loop.is_running():
            raise RuntimeError("the engine's event loop does not run: nothing can be reported")

        def take_in() -> None:
            try:
                report()
                future.set_result(None)
            except Exception as error:
                _log.warning("report refused", node=node_id, reason=str(error))
                future.set_exception(error)

        loop.call_soon_threadsafe(take_in)
        return future

    def started(self, workflow: Workflow, *node_ids: str) -> None:
        """The executor is given leaves, perhaps once more: what it says of them counts."""
        if workflow in self._stopped:
            self._stopped[workflow].difference_update(node_ids)

    def stopped(self, workflow: Workflow, node_id: str) -> None:
        """The executor is told to stop a leaf: what it says of it does not count any more."""
        self._stopped.setdefault(workflow, set()).add(node_id)

    def tell(self, commit: Commit) -> None:
        """Let the listeners know."""
        for listener in list(self.listeners):
            try:
                said: object = listener(commit)
                if iscoroutine(said):
                    said.close()
                    raise TypeError("expected a function that is no `async def`: begin a task, or fill a queue")
            except Exception:
                _log.bind(workflow=commit.workflow.key).exception("a listener failed")


_claims: Final[WeakKeyDictionary[Workflow, ref[Roll[Any]]]] = WeakKeyDictionary()
"""Who sees to which workflow. Of all engines, since a workflow in two of them would be changed by both."""


def _holder(workflow: Workflow) -> Roll[Any] | None:
    claim = _claims.get(workflow)
    return claim() if claim is not None else None
