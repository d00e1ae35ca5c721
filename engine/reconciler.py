"""What serving, metrics and the command line need of whatever reconciles workflows: an engine, or a fleet of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from engine.executors.executor import Executor
from engine.model.figures import Figures
from engine.model.statistics import EngineHealth, EngineStats
from engine.model.workflow import Workflow
from engine.reconciling.results import Commit
from engine.templates.catalog import Templates

if TYPE_CHECKING:  # most engines have no use for it
    from engine.recording.recorder import Recorder


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


class Reconciler(Seen, Protocol):
    """An async context manager with what `Engine` has of these names. What an operation returns need not be awaited:
    of a fleet it is done when a shard has done it, and raises then what cannot be known before."""

    @property
    def executor(self) -> Executor: ...

    @property
    def templates(self) -> Templates: ...

    @property
    def recorder(self) -> Recorder | None: ...

    @property
    def listeners(self) -> list[Callable[[Commit], None]]: ...

    @property
    def clock(self) -> Callable[[], float]: ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def waiting_for(self, workflow: Workflow, /) -> str: ...

    def submit(self, workflow: Workflow, /) -> object: ...

    async def saved(self, workflow: Workflow, /) -> None: ...

    async def run(self, workflows: Iterable[Workflow] = (), *, timeout: float | None = None) -> None: ...

    async def serve(self) -> None: ...

    def drain(self, grace: float) -> None: ...

    def delete(self, workflow: Workflow, /) -> Awaitable[None]: ...

    def stop(self, workflow: Workflow, /, *, node_field_selector: str = "", message: str = "") -> Awaitable[None]: ...

    def terminate(self, workflow: Workflow, /, *, message: str = "") -> Awaitable[None]: ...

    def suspend(self, workflow: Workflow, /) -> Awaitable[None]: ...

    def resume(
        self, workflow: Workflow, /, *, node_field_selector: str = "", parameters: Mapping[str, str] | None = None
    ) -> Awaitable[None]: ...

    def set(
        self,
        workflow: Workflow,
        /,
        *,
        node_field_selector: str,
        phase: str = "",
        message: str = "",
        parameters: Mapping[str, str] | None = None,
    ) -> Awaitable[None]: ...

    def retry(
        self,
        workflow: Workflow,
        /,
        *,
        restart_successful: bool = False,
        node_field_selector: str = "",
        parameters: Mapping[str, str] | None = None,
    ) -> Awaitable[None]: ...
