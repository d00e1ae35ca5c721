"""What an engine and a fleet of them have in common: what is said to them, and what the rooms above need."""

from __future__ import annotations

import concurrent.futures
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self, TypedDict

from engine.executors.executor import Executor, Result
from engine.model.figures import Figures
from engine.model.node import Node
from engine.model.statistics import EngineHealth, EngineStats
from engine.model.workflow import Workflow
from engine.operations.errors import Draining
from engine.reconciling.handle import WorkflowHandle, workflow_of
from engine.reconciling.observing import Observer
from engine.reconciling.operating import begin_again
from engine.reconciling.promise import DONE
from engine.reconciling.results import Commit
from engine.reconciling.roll import Roll
from engine.reconciling.starting import check_executor
from engine.storage.store import WorkflowStore, check_store
from engine.templates.catalog import Documents, Templates

if TYPE_CHECKING:  # most engines have no use for it
    from engine.recording.recorder import Recorder

Subject = Workflow | WorkflowHandle


class Options(TypedDict, total=False):
    """Those that both take; see `Engine`."""

    executor: Executor | None
    workflow_templates: Documents | None
    cluster_workflow_templates: Documents | None
    config_maps: Documents | None
    clock: Callable[[], float] | None
    workers: int
    max_nodes: int
    max_workflows: int | None
    observer: Observer | None
    recorder: Recorder | None
    store: WorkflowStore | None


def check_options(registry: object, executor: object, store: object, recorder: object, **bounds: int | None) -> None:
    """Raises `TypeError` for what is none of these, and `ValueError` for a bound below 1."""
    if registry is not None and not hasattr(registry, "lease"):
        raise TypeError(f"registry: expected a Registry, as `from_config` makes one of a file, got {registry!r}")
    check_executor(executor)
    if store is not None:
        check_store(store)
    if recorder is not None and not hasattr(recorder, "listeners"):
        raise TypeError(f"recorder: expected a Recorder, got {recorder!r}")
    for name, bound in bounds.items():
        if bound is not None and (not isinstance(bound, int) or bound < 1):
            raise ValueError(f"{name}: expected 1 or more, got {bound!r}")


class Seen(Protocol):
    """What there is to see, as `Engine` describes it. All but `look` may be asked in any thread."""

    @property
    def figures(self) -> Figures: ...

    @property
    def stats(self) -> EngineStats: ...

    @property
    def health(self) -> EngineHealth: ...

    @property
    def workflows(self) -> list[Workflow]: ...

    def nodes_by_phase(self) -> Mapping[str, int]: ...

    async def look(self) -> None: ...


class Reconciler(Seen, ABC):
    """An `Engine` or a `Fleet`, an async context manager. Where a workflow is expected its handle will do."""

    executor: Executor
    templates: Templates
    recorder: Recorder | None
    clock: Callable[[], float]

    def __init__(self, roll: Roll[Any]) -> None:
        self._roll = roll
        self.listeners: list[Callable[[Commit], None]] = roll.listeners
        """Called, in the event loop, with each `Commit`: after every pass that was committed, and every operation.

        Append yours. The last one of a workflow has `Commit.finished`. One that raises is logged, and the others are
        called all the same.
        """

    @abstractmethod
    async def __aenter__(self) -> Self: ...

    @abstractmethod
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    # What there is to see

    @abstractmethod
    async def look(self, *workflows: Subject) -> None: ...

    @abstractmethod
    def waiting_for(self, workflow: Subject) -> str: ...

    @abstractmethod
    async def saved(self, workflow: Subject | None = None) -> None: ...

    @property
    def workflows(self) -> list[Workflow]:
        """Those that it has and are not finished: once it is entered, those that its store had."""
        return self._roll.workflows

    def nodes_by_phase(self) -> Counter[str]:
        """How many nodes of unfinished workflows there are, those that a pass under way here has made included. They
        are counted when this is asked."""
        return self._roll.nodes_by_phase()

    def find(self, key: str) -> WorkflowHandle | None:
        """The handle of the unfinished workflow of a key, ``namespace/name``; None where there is none."""
        run = self._roll.runs.get(key)
        return WorkflowHandle(self._roll, run.workflow) if run is not None else None

    # Passes

    @abstractmethod
    async def run(self, workflows: Iterable[Subject] = (), *, timeout: float | None = None) -> None: ...

    @abstractmethod
    async def serve(self, *, timeout: float | None = None) -> None: ...

    @abstractmethod
    def drain(self, grace: float) -> None: ...

    def submit(self, workflow: Workflow) -> WorkflowHandle:
        """Take in a workflow: a `serve` or `run` under way, or the next one, sees to it. Of a finished one nothing is
        left to do.

        Raises `AlreadySubmitted` where there is an unfinished workflow of its name or uid, this very one included,
        `TooManyWorkflows` above `max_workflows`, and `Draining` after `drain`; a `Fleet` raises `StoreError` for one
        that JSON cannot say.
        """
        subject = self._workflow(workflow)
        handle = WorkflowHandle(self._roll, subject)
        if subject.finished:
            return handle
        self._check_draining(subject)
        self._roll.claim(subject)
        return handle

    def forget(self, workflow: Subject) -> Awaitable[None]:
        """Know a workflow no more. Nothing of it is stopped; a pass under way is aborted, locks are given back.

        That is so at once. What is returned may be awaited: until a pass that was under way has been undone, and a
        fleet's shard and store have forgotten it; only then may the workflow be submitted again. A report of one of its
        leaves raises `UnknownWorkflow` from now on. Raises that itself where an unfinished workflow is not this
        engine's; of one that is finished it knows nothing anyway.
        """
        return self._part(self._workflow(workflow), "forget")

    def delete(self, workflow: Subject) -> Awaitable[None]:
        """As `forget`, and the executor is told to stop what runs of it: at once, or after the pass under way, and more
        than a few hundred leaves in turns of the event loop to come."""
        return self._part(self._workflow(workflow), "delete")

    # What leaves come to

    def report(self, workflow: Subject, node_id: str, result: Result) -> None:
        """Say what became of a leaf that the executor started; the workflow's next pass takes it up.

        The first end that is reported of a leaf counts: another one raises `LeafEnded`, the same once more does
        nothing. Of a leaf that the executor was told to stop nothing is expected, and what comes is let pass without
        error, since the two may have crossed. A workflow that the engine does not have raises `UnknownWorkflow`, a node
        that is not there, or no leaf, `UnknownLeaf`.
        """
        self._roll.report(self._workflow(workflow), node_id, result)

    def report_threadsafe(self, workflow: Subject, node_id: str, result: Result) -> concurrent.futures.Future[None]:
        """`report` from any thread, soon. The future is done once it was taken in, or has what `report` raised; that
        is logged as well. Raises `RuntimeError` where the engine's event loop does not run."""
        return self._roll.soon(lambda: self.report(workflow, node_id, result), node_id)

    # Operations: what `argo stop`, `terminate`, `suspend`, `resume` and `retry` do. The workflow's next pass acts on
    # it, whatever becomes of one that is under way. Of an engine they count at once, and what they return need not be
    # awaited. Of a fleet they are done once that was awaited, which raises what cannot be known before.

    def stop(self, workflow: Subject, *, node_field_selector: str = "", message: str = "") -> Awaitable[None]:
        """Have a workflow end now, as Failed, but for its exit handlers; ``message`` is added to what its nodes say.

        With a selector (as in ``displayName=approve``) only the suspended nodes that match are ended, as Failed,
        with ``message``. Raises `OperationError` where the workflow is finished, or no node matches.
        """
        return self._operate(workflow, "stop", node_field_selector=node_field_selector, message=message)

    def terminate(self, workflow: Subject, *, message: str = "") -> Awaitable[None]:
        """Have a workflow end now, as Failed, without its exit handlers.

        ``message`` is added to what its nodes say. Raises `OperationError` where the workflow is finished.
        """
        return self._operate(workflow, "terminate", message=message)

    def suspend(self, workflow: Subject) -> Awaitable[None]:
        """Have nothing happen to a workflow any more until it is resumed; what runs goes on and is heard later.

        Raises `OperationError` where the workflow is finished.
        """
        return self._operate(workflow, "suspend")

    def resume(
        self, workflow: Subject, *, node_field_selector: str = "", parameters: Mapping[str, str] | None = None
    ) -> Awaitable[None]:
        """Have a workflow go on that is suspended, and all its suspended nodes succeed; or only the nodes that match.

        ``parameters`` are the values of outputs that somebody is to supply. Where nothing is suspended nothing happens.
        Raises `OperationError` where the workflow is finished, no node matches, one lacks a value or expects no such.
        """
        return self._operate(workflow, "resume", node_field_selector=node_field_selector, parameters=parameters)

    def set(
        self,
        workflow: Subject,
        *,
        node_field_selector: str,
        phase: str = "",
        message: str = "",
        parameters: Mapping[str, str] | None = None,
    ) -> Awaitable[None]:
        """Have the suspended nodes that match end in a ``phase``, or without one wait on, with what is given here.

        ``parameters`` are the values of outputs that somebody is to supply. Raises `OperationError` where the workflow
        is finished, no node matches, the phase is none that a node ends in, or a node lacks a value or expects no such.
        """
        said = {"phase": phase, "message": message, "parameters": parameters}
        return self._operate(workflow, "set", node_field_selector=node_field_selector, **said)

    def retry(
        self,
        workflow: Subject,
        *,
        restart_successful: bool = False,
        node_field_selector: str = "",
        parameters: Mapping[str, str] | None = None,
    ) -> Awaitable[None]:
        """Have a workflow that failed go on from where it did: it is submitted again, and its handle is good again.

        Failed leaves run again, with everything after them, and so does the exit handler. With ``restart_successful``
        nodes that match the selector do, too, and the workflow may have succeeded. ``parameters`` override the
        workflow's arguments. The executor is told to stop, that is to forget, the leaves that are to run again. Raises
        `OperationError` where the workflow is not finished, or nothing of it would run again; and what `submit` does.
        It counts at once.
        """
        subject = self._workflow(workflow)
        self._check_draining(subject)
        run, dropped, changed = begin_again(
            self._roll,
            subject,
            self.clock(),
            node_field_selector,
            parameters,
            restart_successful=restart_successful,
        )
        for node in dropped:
            self._stop_leaf(run, node)
        self._roll.tell(Commit(subject, changed))
        return DONE

    # What differs

    @property
    @abstractmethod
    def _is_draining(self) -> bool: ...

    @abstractmethod
    def _part(self, workflow: Workflow, how: str) -> Awaitable[None]: ...

    @abstractmethod
    def _operate(self, subject: Subject, name: str, **arguments: Any) -> Awaitable[None]: ...

    @abstractmethod
    def _stop_leaf(self, run: Any, node: Node) -> None: ...

    def _workflow(self, subject: Subject) -> Workflow:
        return workflow_of(subject, self._roll)

    def _check_draining(self, subject: Workflow) -> None:
        if self._is_draining:
            raise Draining(f"{subject.key}: the engine is draining, and takes in no more workflows")
