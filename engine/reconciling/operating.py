"""What `argo stop`, `terminate`, `suspend`, `resume` and `retry` do (workflow/util/util.go).

One that raises has changed nothing; else the workflow's next pass acts on it, whatever becomes of one under way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from engine.executors.executor import Result
from engine.model.node import FAILED, FULFILLED, RUNNING, SUCCEEDED, Node
from engine.model.workflow import Workflow
from engine.operations import OperationError, answers, retried
from engine.reconciling.active import Active
from engine.reconciling.pass_ import is_suspended
from engine.reconciling.results import Commit
from engine.reconciling.roll import R, Roll
from engine.reconciling.starting import Leaves

Said = Mapping[str, Result]
Parameters = Mapping[str, str] | None

_NOTHING: Final[Mapping[str, Any]] = {}


class Decision(NamedTuple):
    """What an operation comes to: fields of the ``spec`` to change, None taking one away, and ``why``; what suspended
    nodes are ``told``, and whether that ``ends`` them."""

    spec: Mapping[str, Any] = _NOTHING
    why: str = ""
    told: Mapping[str, Result] = _NOTHING
    ends: bool = True


def decide(workflow: Workflow, said: Said, name: str, arguments: Mapping[str, Any]) -> Decision:
    """What an operation of `engine.reconciler.Reconciler` is to change, ``said`` being what was reported of nodes that
    no pass has taken up. Raises `OperationError` where it cannot be."""
    refuse_finished(workflow)
    return _DECISIONS[name](workflow, said, **arguments)


def refuse_finished(workflow: Workflow) -> None:
    """Raises `OperationError` for a workflow that is."""
    if workflow.finished:
        raise OperationError(f"{workflow.key}: expected a workflow that is not finished, this one is {workflow.phase}")


def _stop(workflow: Workflow, said: Said, *, node_field_selector: str, message: str) -> Decision:
    if node_field_selector:
        return Decision(told=_answers(workflow, said, node_field_selector, FAILED, message))
    return Decision({"shutdown": "Stop"}, message)


def _terminate(workflow: Workflow, said: Said, *, message: str) -> Decision:
    return Decision({"shutdown": "Terminate"}, message)


def _suspend(workflow: Workflow, said: Said) -> Decision:
    return Decision({"suspend": True})


def _resume(workflow: Workflow, said: Said, *, node_field_selector: str, parameters: Parameters) -> Decision:
    told = _answers(workflow, said, node_field_selector, SUCCEEDED, parameters=parameters)
    if not node_field_selector:
        return Decision({"suspend": None}, told=told)
    if is_suspended(workflow.document):
        raise OperationError(f"{workflow.key} is suspended as a whole: resume it without a node field selector")
    return Decision(told=told)


def _set(
    workflow: Workflow, said: Said, *, node_field_selector: str, phase: str, message: str, parameters: Parameters
) -> Decision:
    if not node_field_selector:
        raise OperationError(f"{workflow.key}: expected a node field selector that says which nodes are meant")
    if phase and phase not in FULFILLED:
        raise OperationError(f"{workflow.key}: expected one of {', '.join(sorted(FULFILLED))}, got {phase!r}")
    told = _answers(workflow, said, node_field_selector, phase or RUNNING, message, parameters)
    return Decision(told=told, ends=bool(phase))


_DECISIONS: Final[Mapping[str, Callable[..., Decision]]] = {
    "stop": _stop,
    "terminate": _terminate,
    "suspend": _suspend,
    "resume": _resume,
    "set": _set,
}


def _answers(
    workflow: Workflow, said: Said, selector: str, phase: str, message: str = "", parameters: Parameters = None
) -> dict[str, Result]:
    """What suspended nodes are told, whatever a pass under way has made of them."""
    return answers(workflow.committed().values(), said, selector, phase, message, parameters)


def operate(active: Active, leaves: Leaves, workflow: Workflow, name: str, arguments: Mapping[str, Any]) -> None:
    """Have a workflow be as an operation wants it, which is known by this if it was not."""
    known = active.find(workflow)
    decision = decide(workflow, known.record.reports if known is not None else _NOTHING, name, arguments)
    run = active.know(workflow)
    if decision.spec:
        run.amend(decision.why, **decision.spec)
        active.wake(workflow.key)
        active.tell(Commit(workflow, ()))
    if decision.ends:  # a simulated executor may have meant to end them later, and need not
        for node_id in sorted(run.record.leaves & decision.told.keys()):
            run.drop(node_id)
            leaves.stop(workflow, workflow.nodes[node_id], run.log)
    for node_id, result in decision.told.items():
        active.note(run, node_id, result)


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
