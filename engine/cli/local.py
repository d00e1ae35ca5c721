"""Leaves as processes, for commands: the executor, and that nothing outlives the command."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from engine.executors.local import PARALLEL_LEAVES, LocalExecutor
from engine.executors.local.folders import default_folder
from engine.model.workflow import Workflow
from engine.reconciler import Reconciler
from registry.cli import BadInput
from registry.terminal import tell


def local_executor(work_dir: Path | None, parallel_leaves: int | None) -> LocalExecutor:
    """The local executor as the options want it. Raises `BadInput`."""
    try:
        return LocalExecutor(work_dir, parallel_leaves=parallel_leaves or PARALLEL_LEAVES)
    except ValueError as error:
        raise BadInput(f"--work-dir: {error}") from None
    except OSError as error:
        where = error.filename or work_dir or default_folder()  # a disk that is full names no file
        raise BadInput(f"--work-dir: {where}: {error.strerror}") from None


@contextlib.asynccontextmanager
async def running_leaves(engine: Reconciler, workflows: Sequence[Workflow]) -> AsyncIterator[None]:
    """Processes begin with nothing that an earlier run of the same uid has left, and end with this block, which then
    says where their logs are."""
    executor = engine.executor
    assert isinstance(executor, LocalExecutor)
    try:
        for workflow in workflows:
            if not workflow.phase:
                executor.forget(workflow)
        yield
    finally:
        await executor.close(end_leaves=True)
        tell(f"logs and files: {executor.folder_of(workflows[0]) if len(workflows) == 1 else executor.folder}")
