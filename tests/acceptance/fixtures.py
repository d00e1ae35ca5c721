"""What the fixtures of this folder hand to a test, by type."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from engine import Engine, Executor
from rpc.methods import Spelling
from tests.acceptance.peer import Answer, Peer


class StartPlugin(Protocol):
    """Starts a `Peer`."""

    async def __call__(
        self, answers: Mapping[str, Answer], *, spelling: Spelling | None = None, token: str | None = None
    ) -> Peer: ...


class StartEngine(Protocol):
    """Opens an engine that calls these, each by itself or with settings of its own; `options` are those of `Engine`."""

    async def __call__(
        self, *peers: Peer | tuple[Peer, dict[str, Any]], executor: Executor | None = None, **options: Any
    ) -> Engine: ...


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    code: int
    out: str
    err: str


class RunOarlock(Protocol):
    """Runs the command line in this process."""

    def __call__(self, *arguments: str, env: Mapping[str, str] | None = None) -> Ended: ...


class RunPython(Protocol):
    """Runs a Python of its own."""

    def __call__(self, *arguments: str) -> Ended: ...


class WriteWorkflow(Protocol):
    """Writes a workflow of these templates to a file, and gives its name; `spec` is what else its spec has."""

    def __call__(self, *templates: Mapping[str, Any], name: str = "work", **spec: Any) -> str: ...
