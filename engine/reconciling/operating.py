"""What `argo stop`, `terminate`, `suspend`, `resume` and `retry` do (workflow/util/util.go).

One that raises has changed nothing; else the workflow's next pass acts on it, whatever becomes of one under way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from engine.executors.executor import Result
from engine.model.node import FAILED, FULFILLED, RUNNING, SUCCEEDED, Node
from engine.model.workflow import Workflow
from engine.operations import OperationError, answers, retried
from engine.reconciling.active import Active
from engine.reconciling.pass_ import is_suspended
from engine.reconciling.results import Commit
from engine.reconciling.roll import R, Roll
from engine.reconciling.starting import Leaves


class Operations:
    """Operations on workflows that are known, or will be by this; what they do is described at `Engine`."""

    def __init__(self, active: Active, leaves: Leaves, clock: Callable[[], float]) -> None:
        self._active = active
        self._leaves = leaves
        self._clock = clock

    def stop(self, workflow: Workflow, selector: str, message: str) -> None:
        """As Failed, with exit handlers; or only the suspended nodes that match."""
        if selector:
            self._answer(workflow, self._answers(workflow, selector, FAILED, message))
        else:
            self.amend(workflow, message, shutdown="Stop")

    def resume(self, workflow: Workflow, selector: str, parameters: Mapping[str, str] | None) -> None:
        """The workflow and its suspended nodes, or those that match."""
        told = self._answers(workflow, selector, SUCCEEDED, parameters=parameters)
        if not selector:
            self.amend(workflow, suspend=None)
        elif is_suspended(workflow.document):
            raise OperationError(f"{workflow.key} is suspended as a whole: resume it without a node field selector")
        self._answer(workflow, told)

    def set_nodes(
        self, workflow: Workflow, selector: str, phase: str, message: str, parameters: Mapping[str, str] | None
    ) -> None:
        """The suspended nodes that match: end them, or without a phase only tell them something."""
        if not selector:
            raise OperationError(f"{workflow.key}: expected a node field selector that says which nodes are meant")
        if phase and phase not in FULFILLED:
            raise OperationError(f"{workflow.key}: expected one of {', '.join(sorted(FULFILLED))}, got {phase!r}")
        told = self._answers(workflow, selector, phase or RUNNING, message, parameters)
        if phase:
            self._answer(workflow, told)
            return
        run = self._active.know(workflow)
        for node_id, result in told.items():
            self._active.note(run, node_id, result)

    def retry(
        self, workflow: Workflow, selector: str, parameters: Mapping[str, str] | None, *, restart_successful: bool
    ) -> None:
        """Have a finished workflow go on, with the leaves stopped that are to run again."""
        run, dropped, changed = begin_again(
            self._active, workflow, self._clock(), selector, parameters, restart_successful=restart_successful
        )
        for node in dropped:
            self._leaves.stop(workflow, node, run.log)
        self._changed(workflow, changed)

    def amend(self, workflow: Workflow, why: str = "", **fields: Any) -> None:
        """Change fields of the spec, None taking one away."""
        _refuse_finished(workflow)
        self._active.know(workflow).amend(why, **fields)
        self._changed(workflow)

    def _changed(self, workflow: Workflow, nodes: Sequence[str] = ()) -> None:
        self._active.wake(workflow.key)
        self._active.tell(Commit(workflow, tuple(nodes)))

    def _answers(
        self,
        workflow: Workflow,
        selector: str,
        phase: str,
        message: str = "",
        parameters: Mapping[str, str] | None = None,
    ) -> dict[str, Result]:
        """What suspended nodes are told, whatever a pass under way has made of them."""
        _refuse_finished(workflow)
        run = self._active.find(workflow)
        said = run.record.reports if run is not None else {}
        return answers(workflow.committed().values(), said, selector, phase, message, parameters)

    def _answer(self, workflow: Workflow, told: Mapping[str, Result]) -> None:
        """Report on suspended nodes. A simulated executor may have meant to do that later, and need not."""
        run = self._active.know(workflow)
        for node_id in sorted(run.record.leaves & told.keys()):
            run.drop(node_id)
            self._leaves.stop(workflow, workflow.nodes[node_id], run.log)
        for node_id, result in told.items():
            self._active.note(run, node_id, result)


def begin_again(
    roll: Roll[R],
    workflow: Workflow,
    now: float,
    selector: str,
    parameters: Mapping[str, str] | None,
    *,
    restart_successful: bool,
) -> tuple[R, Sequence[Node], Sequence[str]]:
    """Have a finished workflow go on, claimed by who has the roll: what is kept of it, the leaves to be stopped that
    are to run again, and the ids of nodes that have changed, where anybody listens."""
    if workflow.finished and roll.find(workflow) is not None:
        raise OperationError(f"{workflow.key}: its last pass is not over yet")
    roll.check((workflow,))
    again = retried(
        workflow,
        now,
        restart_successful=restart_successful,
        selector=selector,
        parameters=parameters,
    )
    changed = _differing(workflow.nodes, again.nodes) if roll.listeners else []
    workflow.document, workflow.nodes = again.document, again.nodes
    return roll.claim(workflow), again.dropped, changed


def _differing(before: Mapping[str, Node], after: Mapping[str, Node]) -> list[str]:
    """The ids of nodes that are new, others now, or gone."""
    gone = before.keys() - after.keys()
    return sorted([*gone, *(key for key, node in after.items() if before.get(key) is not node)])


def _refuse_finished(workflow: Workflow) -> None:
    if workflow.finished:
        raise OperationError(f"{workflow.key}: expected a workflow that is not finished, this one is {workflow.phase}")
