"""How a leaf runs is the embedder's: the Executor protocol, and the two executors that need no cluster."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import msgspec

from engine.executors.logs import Log
from engine.model.node import RUNNING, Node
from engine.model.workflow import Workflow
from engine.shape import Document
from engine.templates.catalog import Templates


class Result(msgspec.Struct, frozen=True, gc=False):
    """What became of a leaf. ``gc=False``: there may be hundreds of thousands, and JSON holds no cycles.

    ``phase`` is Succeeded, Failed, Error, Skipped, or Running for a daemon that is up; ``outputs`` has Argo's JSON
    shape (``result``, ``exitCode``, ``parameters``, ``artifacts``); ``containers`` tells the containers of a container
    set apart, by name. ``progress`` is how far it is, such as ``"3/10"``, empty where nothing is said of that; with
    Running it may be reported as often as it changes. ``host_node_name`` is the machine that a pod is on.
    """

    phase: str
    message: str = ""
    outputs: dict[str, Any] | None = None
    pod_ip: str = ""
    containers: dict[str, Result] | None = None
    progress: str = ""
    host_node_name: str = ""

    @property
    def ended(self) -> bool:
        """Whether the leaf is over: a daemon that is up is still to be stopped."""
        return self.phase != RUNNING


class Executor(Protocol):
    """Runs leaves. Called between passes of a workflow, never while one is under way."""

    def start(self, workflow: Workflow, template: Document, node: Node) -> Result | None:
        """Begin to run a leaf, its template substituted; a result, or None for "it runs".

        Leaves whose template is the same may be given the same `template` object, so it is not to be changed.

        What comes later is told with `Engine.report`; an end that is reported before this returns counts, and not what
        it returns or raises. The pass that decided this is committed; after a crash the same
        start comes again. An executor that starts real things keys them by `workflow.uid` and `node.id`, which are the
        same then (another workflow of the same name has another uid), and is `Adopting` where it knows which are there.
        An exception makes the node Error with its text.
        """
        ...

    def stop(self, workflow: Workflow, node: Node) -> None:
        """End what `start` began: a daemon whose boundary ended, a leaf that timed out or was terminated.

        Nothing is to be reported of it any more. `Engine.retry` says this of each leaf that is to run again, ended or
        not, and even where another process started it: `start` will come again with the same `node.id`.
        """
        ...


@runtime_checkable
class Hosted(Protocol):
    """What an executor may be besides: one that works for the engine that it is given to."""

    @property
    def busy(self) -> bool:
        """Whether it has leaves of which it will report something yet."""
        ...

    def attach(self, report: Callable[[Workflow, str, Result], None], templates: Templates) -> None:
        """Report by this from now on, which is `Engine.report`, but that what is refused is logged and not raised;
        ``templates`` are those of the engine."""
        ...


@runtime_checkable
class Adopting(Protocol):
    """What an executor is that outlives the engine's process, or knows of leaves that do."""

    def adopt(self, workflow: Workflow, template: Document, node: Node) -> bool:
        """Whether it has this leaf from an earlier process, be it that it runs or has ended: it will report it then.

        Asked, once the engine has opened its store again, of each leaf that was to be started and has not ended. What
        it does not have is given to it with `start`.
        """
        ...


@runtime_checkable
class StartingMany(Protocol):
    """What an executor is that only hands leaves on, a fleet's in a shard: it is given those together that share a
    template, nothing comes of it at once, and it asks nothing back."""

    def start_all(self, workflow: Workflow, template: Document, nodes: Sequence[Node]) -> None:
        """In place of `Executor.start` of each."""
        ...


@runtime_checkable
class Keeping(Protocol):
    """What an executor is that keeps the logs and artifacts of leaves in files, until it is to forget their workflow.

    Leaves are known by the uid of their workflow and the id of their node. All but `has` and `forget` may block for a
    moment.
    """

    def has(self, uid: str, node_id: str) -> bool:
        """Whether the leaf waits for its turn or runs: somebody may write to its log yet."""
        ...

    def log(self, uid: str, node_id: str, container: str = "main") -> Log | None:
        """The log of a container, None where there is none yet. Raises `LookupError` where there can be none."""
        ...

    def file_of(self, uid: str, artifact: Document) -> Path:
        """The file or folder of an artifact, as a node's inputs or outputs have it. Raises `LookupError`."""
        ...

    def forget(self, workflow: Workflow | str) -> Awaitable[None]:
        """Stop what runs of a workflow, also given by its uid, and remove what is kept of it; awaited, it is gone."""
        ...
