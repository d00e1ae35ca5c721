"""What a fleet's shards are made of, and what of it changes while they are there: it is the driver's, and handed on."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from msgspec.structs import replace

from engine.cluster.configuring import packed, packed_executor
from engine.cluster.mail import Configure, Document, Down, Hide
from engine.cluster.shard import Settings
from engine.cluster.watching import level
from engine.executors.executor import Executor
from engine.executors.simulated import SimulatedExecutor
from engine.recording.recorder import Recorder
from engine.templates.catalog import Change, Templates
from registry import Registry, Reload
from rpc import Secret


class Handing:
    """``plain`` are the settings of a shard, by its epoch and number, without what is the driver's."""

    def __init__(
        self,
        executor: Executor,
        templates: Templates,
        registry: Registry | None,
        recorder: Recorder | None,
        plain: Callable[[int, int], Settings],
    ) -> None:
        """Raises `TypeError` for a simulated executor that other processes cannot have."""
        self._executor = executor
        if isinstance(executor, SimulatedExecutor):
            packed_executor(executor)
        self._templates = templates
        self._registry = registry
        self._recorder = recorder
        self._plain = plain

    def settings(self, epoch: int, number: int) -> bytes:
        """What a shard is made of that is started now."""
        simulated, recorder = self._executor, self._recorder
        return replace(
            self._plain(epoch, number),
            documents=[
                Document(kind, namespace, name, dict(document))
                for (kind, namespace), shelf in self._templates.shelves.items()
                for name, document in shelf.items()
            ],
            config=packed(self._registry.config) if self._registry is not None else None,
            simulated=packed_executor(simulated) if isinstance(simulated, SimulatedExecutor) else None,
            recorded=recorder is not None,
            max_body=recorder.max_body if recorder is not None else None,
            secrets=_others(recorder.secrets.known) if recorder is not None else [],
            driver=os.getpid(),
            level=level(),
        ).encode()

    @contextmanager
    def to(self, put: Callable[[Down], None]) -> Iterator[None]:
        """What changes is said to all shards."""

        def changed(change: Change) -> None:
            document = dict(change.document) if change.document is not None else None
            put(Document(change.kind, change.namespace, change.name, document))

        def reloaded(reload: Reload) -> None:
            if self._registry is not None:
                put(Configure(packed(self._registry.config)))

        def hide(secrets: list[str]) -> None:
            put(Hide(_others(secrets)))

        self._templates.listeners.append(changed)
        if self._registry is not None:
            self._registry.listeners.append(reloaded)
        if self._recorder is not None:
            self._recorder.secrets.listeners.append(hide)
        try:
            yield
        finally:
            self._templates.listeners.remove(changed)
            if self._registry is not None:
                self._registry.listeners.remove(reloaded)
            if self._recorder is not None:
                self._recorder.secrets.listeners.remove(hide)


def _others(secrets: list[str]) -> list[str]:
    """Those that are nobody's credentials: these a shard reads itself."""
    return [each for each in secrets if not isinstance(each, Secret)]
