"""What an engine is made of, as the options of a command name it: its plugins, and what runs leaves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from engine.cli.options import EngineOptions
from engine.executors.executor import Executor
from engine.executors.outcomes import Outcomes
from engine.executors.simulated import PendingExecutor
from engine.reconciler import Reconciler
from registry.cli import BadInput

if TYPE_CHECKING:
    from engine.recording.recorder import Recorder
    from registry import Registry


def read_registry(config: Path | None) -> Registry | None:
    """The plugins of a configuration. Raises `ConfigError`."""
    if config is None:
        return None
    from registry import Registry  # without plugins there is no waiting for it

    return Registry(config)


def executor_of(options: EngineOptions, outcomes: Outcomes | None, simulated: Callable[[], Executor]) -> Executor:
    """The executor that is asked for; ``simulated`` makes the one of that name. Raises `BadInput`."""
    if outcomes is not None and options.executor != "simulated":
        raise BadInput("--outcomes: only the simulated executor has any")
    if options.executor == "local":
        from engine.cli.local import local_executor

        return local_executor(options.work_dir, options.parallel_leaves)
    for option, given in (("--work-dir", options.work_dir), ("--parallel-leaves", options.parallel_leaves)):
        if given is not None:
            raise BadInput(f"{option}: only the local executor has one")
    return PendingExecutor() if options.executor == "pending" else simulated()


def recorder_of(options: EngineOptions) -> Recorder | None:
    """Who writes down calls, where they are to be."""
    if options.record is None:
        return None
    from engine.recording.recorder import Recorder

    return Recorder(options.record)


@contextmanager
def recorded(engine: Reconciler) -> Iterator[None]:
    """Run an engine; a record that cannot be written, be it at the beginning or later, is a `BadInput`."""
    if engine.recorder is None:
        yield
        return
    from engine.recording.format import RecordError

    try:
        yield
    except RecordError as error:
        raise BadInput(f"--record: {error}") from None
    if engine.recorder.error:
        raise BadInput(f"--record: {engine.recorder.error}: what was to be recorded is not all there")
