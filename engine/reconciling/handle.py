"""What `Engine.submit` returns: a workflow as whoever submitted it sees it."""

from __future__ import annotations

from typing import Any

from engine.model.workflow import Workflow
from engine.operations.errors import UnknownWorkflow
from engine.reconciling.roll import Roll


class WorkflowHandle:
    """A workflow that was submitted. Wherever an engine is given a workflow, its handle will do."""

    __slots__ = ("_active", "workflow")

    def __init__(self, active: Roll[Any], workflow: Workflow) -> None:
        self._active = active
        self.workflow = workflow

    @property
    def key(self) -> str:
        """``namespace/name``."""
        return self.workflow.key

    @property
    def phase(self) -> str:
        """The workflow's phase as the last committed pass left it; empty before the first."""
        return self.workflow.phase

    @property
    def progress(self) -> str:
        """How many of its leaves are done, of how many there are so far: ``3/10``."""
        progress: str = self.workflow.document["status"].get("progress") or "0/0"
        return progress

    async def finished(self) -> Workflow:
        """Wait until the workflow is Succeeded, Failed or Error, and return it; at once where it is.

        It takes a `serve` or a `run` to get there. Raises `NotFinished` once it will not: it was forgotten or deleted,
        or the engine was drained or closed. Giving up waiting (`asyncio.timeout`) changes nothing for the workflow.
        """
        await self._active.finished(self.workflow)
        return self.workflow

    def __repr__(self) -> str:
        return f"<WorkflowHandle {self.key} {self.phase or 'new'} {self.progress}>"


def workflow_of(subject: Workflow | WorkflowHandle, active: Roll[Any]) -> Workflow:
    """The workflow that is meant. Raises `UnknownWorkflow` for a handle of another engine."""
    active.check_thread()
    if type(subject) is Workflow:
        return subject
    if isinstance(subject, WorkflowHandle):
        if subject._active is not active:
            raise UnknownWorkflow(f"{subject.key}: the handle is another engine's")
        return subject.workflow
    if not isinstance(subject, Workflow):
        raise TypeError(f"expected a Workflow, or the handle of one, got {subject!r}")
    return subject
