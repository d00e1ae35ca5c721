"""The executor that runs leaves as processes of this machine."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from engine.executors.executor import Result
from engine.executors.local import lifeline
from engine.executors.local.artifacts import file_of
from engine.executors.local.configuration import ConfigMaps
from engine.executors.local.folders import Runs, default_folder, named
from engine.executors.local.leaf import Leaf, Limits, alive_in, has_started, mark_stopped, may_go_on, remove
from engine.executors.local.paths import PLAIN
from engine.executors.local.pods import lay_out_tools
from engine.executors.local.readiness import until_ready
from engine.executors.logs import Log, follow
from engine.model.node import ERROR, RUNNING, Node
from engine.model.workflow import Workflow
from engine.shape import Document
from engine.templates.catalog import Templates
from rpc.permits import Permits

_T = TypeVar("_T")

PARALLEL_LEAVES: Final = 4 * (os.cpu_count() or 1)
"""How many leaves run at a time. Of those on one machine most wait for something else."""

GRACE: Final = 10.0
"""Seconds between SIGTERM and SIGKILL. In a cluster it is 30, but nobody waits at a terminal for that long."""

LOG_BYTES: Final = 64 << 20
"""Bytes of what a container writes that are kept."""

_LAST: Final = 5.0
"""Seconds to wait for what was killed."""

_THREADS: Final = 4
"""For what blocks: files to be copied, processes to be started."""

_log = logging.getLogger(__name__)


class LocalExecutor:
    """Runs `container`, `script` and `containerSet` templates as processes of this machine and this user.

    ``folder`` is where all runs are kept, ``~/.local/state/oarlock/runs`` by default. ``parallel_leaves`` run at a
    time, and the others wait in order; ``grace`` is in seconds, ``log_bytes`` bounds the log of each container. It
    works for the engine that it is given to, in that one's event loop.

    What runs has a supervisor of its own and outlives this process: an executor with the same folder goes on with it
    when it is asked to `adopt` or to `start` it. Raises `ValueError` for a folder whose path has characters that mean
    something in shell scripts, and `OSError` where it cannot be made.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str] | None = None,
        *,
        parallel_leaves: int = PARALLEL_LEAVES,
        grace: float = GRACE,
        log_bytes: int = LOG_BYTES,
    ) -> None:
        place = Path(os.path.realpath(default_folder() if folder is None else folder))
        if PLAIN.fullmatch(str(place)) is None:
            raise ValueError(f"{str(place)!r}: expected a path of letters, digits and @%+=:,./_-")
        if parallel_leaves < 1:
            raise ValueError(f"parallel_leaves: expected 1 or more, got {parallel_leaves}")
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._report: Callable[[Workflow, str, Result], None] = _nobody
        self._templates = Templates()
        self._runs = Runs(place)
        self._limits = Limits(grace, log_bytes, lay_out_tools(place))
        self._slots = Permits(parallel_leaves)
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="oarlock-local")
        self._leaves: dict[tuple[str, str], Leaf] = {}
        self._removals: dict[str, asyncio.Task[None]] = {}
        self._tasks: dict[asyncio.Task[None], Leaf | None] = {}

    def attach(self, report: Callable[[Workflow, str, Result], None], templates: Templates) -> None:
        """Work for an engine: tell it by its `report`, and have containers read its ConfigMaps."""
        self._report, self._templates = report, templates

    @property
    def folder(self) -> Path:
        """The folder for all runs."""
        return self._runs.folder

    def folder_of(self, workflow: Workflow) -> Path:
        """The folder of a workflow. Raises `ValueError` for a uid that cannot name one."""
        return self._runs.run(workflow.uid)

    # What an engine asks

    def start(self, workflow: Workflow, template: Document, node: Node) -> Result | None:
        """Begin to run a leaf, or go on with it where it was begun and not stopped."""
        try:
            leaf = Leaf(self._runs, workflow, template, node)
        except ValueError as error:
            return Result(ERROR, str(error))
        if not self.adopt(workflow, template, node):
            before = self._leaves.get((leaf.uid, leaf.node_id))
            self._see_to(leaf, before.task if before is not None else None)
        return None

    def adopt(self, workflow: Workflow, template: Document, node: Node) -> bool:
        """Whether the leaf was begun, by this process or one before it; then it is reported when it has ended."""
        try:
            leaf = Leaf(self._runs, workflow, template, node)
        except ValueError:
            return False
        known = self._leaves.get((leaf.uid, leaf.node_id))
        if known is not None and not known.stopped:
            return True
        leaf.folder = self._runs.latest(leaf.uid, leaf.node_id) if known is None else None
        if leaf.folder is None or not may_go_on(leaf.folder):
            return False
        self._see_to(leaf, None)
        return True

    def stop(self, workflow: Workflow, node: Node) -> None:
        """End a leaf's processes; where it is started again, it begins anew."""
        uid = workflow.uid
        leaf = self._leaves.get((uid, node.id))
        if leaf is not None:
            self._stop(leaf)
        else:
            self._stop_unseen(uid, node.id)

    # What else there is to ask

    def forget(self, workflow: Workflow | str) -> asyncio.Future[None]:
        """Stop what runs of a workflow, also given by its uid, and remove its folder with logs and artifacts.

        That happens in the background: what is returned is done when it has, and `close` waits for it. Raises
        `ValueError` for what can be no uid.
        """
        uid = workflow if isinstance(workflow, str) else workflow.uid
        folder = self._runs.run(uid)
        leaves = folder / "leaves"
        for name in os.listdir(leaves) if leaves.is_dir() else ():
            if (uid, name) not in self._leaves:
                self._stop_unseen(uid, name)
        tasks = []
        for task, leaf in self._tasks.items():
            if leaf is not None and leaf.uid == uid:
                self._stop(leaf)
                tasks.append(task)
        removal = self._spawn(self._remove(folder, tasks, self._removals.get(uid)), None)
        self._removals[uid] = removal
        return asyncio.shield(removal)

    def logs(self, uid: str, node_id: str, container: str = "main", *, follow_it: bool = False) -> AsyncIterator[bytes]:
        """What a container of a leaf has written to both its streams, in chunks; with ``follow_it`` until it ends.

        Raises `LookupError` where there is no such leaf or container.
        """
        try:
            named("container", container)
            folder = self._runs.latest(uid, node_id)
        except ValueError as error:
            raise LookupError(str(error)) from None
        leaf = self._leaves.get((uid, node_id))
        if folder is None and leaf is None:
            raise LookupError(f"no leaf {node_id!r} of the workflow {uid!r} was started here")
        if leaf is None and folder is not None and not (folder / "containers" / container).is_dir():
            raise LookupError(f"the leaf {node_id!r} has no container {container!r} that was started")

        return follow(lambda: self.log(uid, node_id, container), lambda: follow_it and self.has(uid, node_id))

    def log(self, uid: str, node_id: str, container: str = "main") -> Log | None:
        """The log of a container of a leaf, None where it has none yet; looking for it blocks, for a moment.

        Raises `LookupError` where there can be no such leaf or container.
        """
        try:
            folder = self._runs.latest(uid, node_id)
            return None if folder is None else Log(folder / "containers" / named("container", container))
        except ValueError as error:
            raise LookupError(str(error)) from None

    def has(self, uid: str, node_id: str) -> bool:
        """Whether a leaf waits for its turn or runs, be it that it was told to stop."""
        return (uid, node_id) in self._leaves

    def file_of(self, uid: str, artifact: Document) -> Path:
        """The file or folder of an artifact that a node of a workflow has among its inputs or outputs.

        Raises `LookupError` where there is none.
        """
        try:
            place = file_of(self._runs, uid, artifact)
        except ValueError as error:
            raise LookupError(str(error)) from None
        if not place.exists():
            raise LookupError(f"the workflow {uid!r} has no artifact {artifact.get('name')!r} any more")
        return place

    @property
    def busy(self) -> bool:
        """Whether there is a leaf of which there is something to be heard yet."""
        return bool(self._leaves)

    async def close(self, *, end_leaves: bool) -> None:
        """See to no leaf any more: they are ended, or they go on, to be adopted later. Nothing more is reported."""
        self._report = _nobody
        for task, leaf in list(self._tasks.items()):
            if leaf is not None and end_leaves:
                self._stop(leaf)
            elif leaf is not None:
                task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self._limits.grace + _LAST)
        self._threads.shutdown(wait=False)

    # One leaf

    def _see_to(self, leaf: Leaf, before: asyncio.Task[None] | None) -> None:
        self._leaves[leaf.uid, leaf.node_id] = leaf
        leaf.task = self._spawn(self._run(leaf, before), leaf)
        leaf.task.add_done_callback(
            lambda _: self._let_go(leaf)
        )  # one cancelled before its first step has done nothing

    def _let_go(self, leaf: Leaf) -> None:
        if self._leaves.get((leaf.uid, leaf.node_id)) is leaf:
            del self._leaves[leaf.uid, leaf.node_id]

    def _spawn(self, what: Coroutine[Any, Any, None], leaf: Leaf | None) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(what)
        self._tasks[task] = leaf
        task.add_done_callback(self._tasks.pop)
        return task

    def _stop(self, leaf: Leaf) -> None:
        leaf.stop()
        if leaf.waits and leaf.task is not None:
            leaf.task.cancel()

    def _stop_unseen(self, uid: str, node_id: str) -> None:
        """Stop a leaf that another process began, if there is one."""
        folder = self._runs.latest(uid, node_id)
        if folder is not None:
            mark_stopped(folder)

    async def _run(self, leaf: Leaf, before: asyncio.Task[None] | None) -> None:
        """From its turn to its end. What was begun before under its name is over first."""
        try:
            if before is not None:
                await asyncio.wait([before])
            result = await self._end_of(leaf)
        except (ValueError, OSError) as error:
            result = Result(ERROR, str(error))
        except Exception as error:
            _log.exception("the local executor failed", extra={"workflow": leaf.workflow.key, "node": leaf.node_id})
            result = Result(ERROR, f"internal error: {type(error).__name__}: {error}")
        self._let_go(leaf)
        if not leaf.stopped:
            self._report(leaf.workflow, leaf.node_id, result)

    async def _end_of(self, leaf: Leaf) -> Result:
        """Wait for its turn and its end. Raises `ValueError` and `OSError` where it cannot be run."""
        if leaf.folder is None and self._slots.in_flight >= self._slots.limit:
            await self._slots.wait()
        else:  # what runs already when it is found has one even where there is none
            self._slots.in_flight += 1
        slot = ExitStack()
        slot.callback(self._slots.release)
        leaf.waits = False
        coming_up: list[asyncio.Task[None]] = []

        def news() -> None:
            if leaf.is_daemon and not coming_up and has_started(leaf.folder):
                coming_up.append(asyncio.create_task(self._come_up(leaf, slot)))

        try:
            if leaf.folder is None:
                await self._begin(leaf)
            assert leaf.folder is not None
            await lifeline.watch(leaf.folder, news)
            return await self._in_thread(leaf.result)
        finally:
            for task in coming_up:
                task.cancel()
            slot.close()

    async def _begin(self, leaf: Leaf) -> None:
        while (removal := self._removals.get(leaf.uid)) is not None:
            await asyncio.wait([removal])
        latest = self._runs.latest(leaf.uid, leaf.node_id)
        if latest is not None and lifeline.is_alive(latest):  # another process began it, and it was stopped
            await lifeline.watch(latest, lambda: None)
        maps = ConfigMaps(self._templates.config_maps(leaf.workflow.namespace))
        await self._in_thread(partial(leaf.begin, maps, self._limits))

    async def _come_up(self, leaf: Leaf, slot: ExitStack) -> None:
        """A daemon: others may run as soon as it is ready, also in its place."""
        assert leaf.folder is not None
        await until_ready(leaf.probe, leaf.main, leaf.folder)
        slot.close()
        if not leaf.stopped:
            self._report(leaf.workflow, leaf.node_id, Result(RUNNING, pod_ip="127.0.0.1"))

    async def _remove(self, folder: Path, tasks: list[asyncio.Task[None]], before: asyncio.Task[None] | None) -> None:
        """A workflow's folder, once nothing runs in it any more."""
        awaited = [*tasks, *([before] if before is not None else ())]
        try:
            if awaited:
                await asyncio.wait(awaited)
            for each in await self._in_thread(partial(alive_in, folder)):
                await lifeline.watch(each, lambda: None)
            if not await self._in_thread(partial(remove, folder)):
                raise OSError(f"{folder}: not all that is in it could be removed")
        finally:
            if self._removals.get(folder.name) is asyncio.current_task():
                del self._removals[folder.name]

    async def _in_thread(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


def _nobody(workflow: Workflow, node_id: str, result: Result) -> None:
    """Nobody is to be told."""
